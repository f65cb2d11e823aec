"""Lengths of buckets with little padding, few of them so that few shapes are compiled."""

import numpy as np
from numpy.typing import ArrayLike


def bucket_lengths(lengths: ArrayLike, batch_size: int, shapes: int) -> np.ndarray:
    """Finds the bucket lengths with the least padding, by dynamic programming.

    Every sequence goes to the shortest bucket that holds it, and all batches of a bucket have
    `batch_size` rows. No other choice has fewer time steps in all batches.

    Args:
        lengths: Array (n,) of positive lengths.
        batch_size: Rows of every batch.
        shapes: Largest number of buckets.

    Returns:
        Increasing array of bucket lengths; the last is that of the longest sequence.

    Example:

    >>> bucket_lengths([10, 11, 12, 98, 99, 100], batch_size=3, shapes=2).tolist()
    [12, 100]
    """
    distinct, counts = np.unique(lengths, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    # steps[i]: the fewest time steps for the i shortest distinct lengths with the buckets so far.
    steps = np.full(len(distinct) + 1, np.inf)
    steps[0] = 0
    choices = []
    for _ in range(min(shapes, len(distinct))):
        better, choice = steps.copy(), np.full(len(steps), -1)
        for end in range(1, len(steps)):
            rows = -(-(below[end] - below[:end]) // batch_size) * batch_size
            total = steps[:end] + rows * distinct[end - 1]
            first = int(np.argmin(total))
            if total[first] < better[end]:
                better[end], choice[end] = total[first], first
        steps = better
        choices.append(choice)
    limits, end = [], len(distinct)
    for choice in reversed(choices):
        if choice[end] >= 0:
            limits.append(distinct[end - 1])
            end = choice[end]
    return np.array(limits[::-1])

"""Lengths to which sequences are padded, so that little is padded and few shapes are compiled."""

import numpy as np
from numpy.typing import ArrayLike


def bucket_lengths(lengths: ArrayLike, batch_size: int, shapes: int) -> np.ndarray:
    """At most `shapes` lengths that pad the sequences with the fewest time steps.

    Every sequence goes to the shortest bucket that holds it, and a bucket's batches all have
    `batch_size` rows. The time steps of all batches are the least that any choice can have, found
    by dynamic programming over the sorted distinct lengths.

    Args:
        lengths: array (n,) of positive lengths.
        batch_size: rows of every batch.
        shapes: the largest number of buckets.

    Returns:
        Increasing array of bucket lengths; the last is the longest sequence's.

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

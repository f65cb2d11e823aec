"""Groups chorales by tune and splits them: made, and now tests, the split of `bach_chorales`.

Bach set many tunes more than once, and the corpus has some settings under two names. Two chorales
have the same tune if their melodies, as intervals between successive different top notes, have a
local alignment (match 1, mismatch and gap -1) with a score of at least half the length of the
shorter melody; few pairs have a score near this threshold. The transitive closure of these pairs
gives the groups, and each group is in one split.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

SAME_TUNE = 0.5
HELD_OUT = 0.1  # fraction of the chorales in validation, and in test


def melody(roll: np.ndarray) -> np.ndarray:
    """Intervals in semitones between successive different highest keys of a piano-roll.

    Example:

    >>> roll = np.zeros((4, 88)); roll[0, [20, 40]] = roll[1, 40] = roll[3, 45] = 1
    >>> melody(roll).tolist()
    [5]
    """
    top = [np.flatnonzero(frame)[-1] for frame in roll if frame.any()]
    intervals = np.diff(top)
    return intervals[intervals != 0]


def similarities(one: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Alignment scores of a melody with others, divided by the length of the shorter, (n,).

    Example:

    >>> similarities(np.array([2, 2, 1, -5]), [np.array([9, 2, 2, 1]), np.array([7])]).tolist()
    [0.75, 0.0]
    """
    lengths = np.array([len(other) for other in others])
    padded = np.full((len(others), lengths.max()), 1000)
    for row, other in zip(padded, others, strict=True):
        row[: len(other)] = other
    best = np.zeros(len(others))
    above = np.zeros((len(others), padded.shape[1] + 1))
    for interval in one:
        diagonal = above[:, :-1] + np.where(padded == interval, 1, -1)
        score = np.maximum(0, np.maximum(diagonal, above[:, 1:] - 1))
        row = np.zeros_like(above)
        for t in range(padded.shape[1]):
            row[:, t + 1] = np.maximum(score[:, t], row[:, t] - 1)
        best = np.maximum(best, row.max(axis=1))
        above = row
    return best / np.minimum(len(one), lengths)


def groups(melodies: Sequence[np.ndarray]) -> list[list[int]]:
    """Groups melodies by tune: lists of indices, in the order of their first."""
    tune = np.arange(len(melodies))
    for i, one in enumerate(melodies[:-1]):
        for j in i + 1 + np.flatnonzero(similarities(one, melodies[i + 1 :]) >= SAME_TUNE):
            tune[tune == tune[j]] = tune[i]
    return [np.flatnonzero(tune == t).tolist() for t in dict.fromkeys(tune.tolist())]


def split(names: Sequence[str], melodies: Sequence[np.ndarray]) -> dict[str, list[list[str]]]:
    """Splits the chorales by tune: {split: [[name, ...] of each tune]}.

    In the order of the sha256 of their first name, tunes go to test until it has a tenth of the
    chorales, to validation until it has a tenth, and the others to train.
    """
    tunes = [[names[i] for i in group] for group in groups(melodies)]
    splits = {"train": [], "validation": [], "test": []}
    for tune in sorted(tunes, key=lambda tune: hashlib.sha256(tune[0].encode()).digest()):
        for name in ("test", "validation", "train"):
            if name == "train" or sum(map(len, splits[name])) < HELD_OUT * len(names):
                splits[name].append(tune)
                break
    return splits

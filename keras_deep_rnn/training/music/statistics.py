"""Simple statistics of music, by which a sample is compared with the pieces of a data set."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ...data.midi_writer import notes

# Mean and standard deviation, by the name of the statistic.
Statistics: TypeAlias = dict[str, tuple[float, float]]
# Semitones within an octave: seconds, sevenths and the tritone.
DISSONANT = (1, 2, 6, 10, 11)


def statistics(pieces: Sequence[np.ndarray], quarter_length: float = 1.0) -> Statistics:
    """Computes mean and standard deviation of what a listener notices first.

    - voices sounding: keys that sound in a frame;
    - note length: in quarter notes, where a key that sounds in successive frames is one note;
    - interval: semitones between two notes of a frame, of every pair;
    - dissonances: of the pairs of a frame, the share that is a second, a seventh or a tritone, of
      frames with two notes or more.

    Args:
        pieces: Piano-rolls (T, 88).
        quarter_length: Length of a frame in quarter notes.

    Returns:
        {statistic: (mean, standard deviation)}; NaN where there is nothing to count.

    Example:

    >>> roll = np.zeros((2, 88), "uint8"); roll[:, 39] = roll[0, 43] = roll[1, 45] = 1
    >>> for name, (mean, deviation) in statistics([roll]).items():
    ...     print(f"{name}: {mean:.3f} ± {deviation:.3f}")
    voices sounding: 2.000 ± 0.000
    note length: 1.333 ± 0.471
    interval: 5.000 ± 1.000
    dissonances: 0.500 ± 0.500
    """
    frames = np.concatenate([np.zeros((0, 88), bool), *(piece > 0 for piece in pieces)])
    lengths = [stop - start for piece in pieces for _, start, stop in notes(piece)]
    # (frames, 87): the pairs of a frame that are so many semitones apart, from 1 on.
    pairs = np.stack(
        [(frames[:, d:] & frames[:, :-d]).sum(axis=1) for d in range(1, frames.shape[1])], axis=1
    )
    semitones = np.arange(1, frames.shape[1])
    total = pairs.sum(axis=1)
    dissonant = pairs[:, np.isin(semitones % 12, DISSONANT)].sum(axis=1)
    return {
        "voices sounding": _spread(frames.sum(axis=1)),
        "note length": _spread(np.array(lengths) * quarter_length),
        "interval": _spread(np.repeat(semitones, pairs.sum(axis=0))),
        "dissonances": _spread(dissonant[total > 0] / total[total > 0]),
    }


def distance(found: Statistics, expected: Statistics) -> float:
    """How far statistics are from those expected.

    Args:
        found: `statistics` of a sample.
        expected: `statistics` of a data set.

    Returns:
        The mean difference of means and of standard deviations, in expected standard deviations;
        infinite where there is nothing to compare.

    Example:

    >>> distance({"note length": (2.0, 0.5)}, {"note length": (1.0, 0.5)})
    1.0
    """
    differences = [
        np.abs(np.subtract(found[name], (mean, deviation))) / (deviation or 1.0)
        for name, (mean, deviation) in expected.items()
    ]
    mean = float(np.mean(differences))
    return mean if np.isfinite(mean) else float("inf")


def _spread(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    return float(np.mean(values)), float(np.std(values))

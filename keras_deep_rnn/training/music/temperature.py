"""Ranks temperatures by how much their samples are like the pieces of a data set."""

from collections.abc import Sequence

import keras
import numpy as np

from ..sample import sample_music
from .statistics import distance, statistics

TEMPERATURES = (0.7, 0.8, 0.9, 1.0)


def rank_temperatures(
    model: keras.Model,
    pieces: Sequence[np.ndarray],
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    length: int = 64,
    samples: int = 4,
    seed: int = 1,
) -> dict[float, float]:
    """Measures how far samples of each temperature are from pieces in their statistics.

    Args:
        model: Stateful network with a batch size of 1.
        pieces: Piano-rolls (T, 88), such as those of the validation split.
        temperatures: Temperatures to try.
        length: Frames of a sample.
        samples: Samples of each temperature.
        seed: Seed of the first sample; the others have the seeds after it.

    Returns:
        The `statistics.distance` of each temperature, the least first.
    """
    expected, found = statistics(pieces), {}
    for temperature in temperatures:
        seeds = range(seed, seed + samples)
        drawn = [sample_music(model, length, temperature=temperature, seed=s) for s in seeds]
        found[temperature] = distance(statistics(drawn), expected)
    return dict(sorted(found.items(), key=lambda item: item[1]))

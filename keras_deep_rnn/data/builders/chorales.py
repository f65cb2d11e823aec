"""Bach's chorales as piano-rolls, from the corpus that music21 ships.

A frame is a quarter note: a key is 1 in frame t if a voice sounds it t quarter notes after the
beginning. Only the voices (soprano, alto, tenor, bass) count, not the instruments of some scores.
Frames in which all voices rest for a bar or more are left out, and repeats are not played twice.
"""

import hashlib
import itertools
import math
from typing import Any

import numpy as np

from ...utils.errors import UserError, missing_extra
from .. import files
from ..dataset import KEYS, LOWEST_PITCH, Splits
from .chorale_split import SPLIT

VOICES = ("soprano", "alto", "tenor", "bass")
BAR = 4  # frames


def build(progress: bool = True) -> tuple[Splits, str]:
    """Reads the piano-rolls of all chorales.

    Args:
        progress: Whether to show a progress bar on stderr.

    Returns:
        {"train": pieces, "validation": pieces, "test": pieces}, lists of uint8 arrays (T, 88) in
        the order of `chorale_split.SPLIT`; and the sha256 of the checksums of the scores in that
        order.

    Raises:
        UserError: music21 is not installed, or lacks one of the scores.
    """
    try:
        from music21 import converter, corpus
        from tqdm import tqdm
    except ImportError as error:
        raise missing_extra(str(error.name), "music") from None
    paths = {p.stem: p for p in corpus.getComposer("bach") if p.suffix in (".mxl", ".xml")}
    scores = [(split, name) for split, names in SPLIT.items() for name in names]
    missing = [name for _, name in scores if name not in paths]
    if missing:
        raise UserError(
            f"The corpus of music21 lacks {len(missing)} of the chorales, such as {missing[0]}: "
            "pip install music21==10.5.1, which has them."
        )
    splits = {split: [] for split in SPLIT}
    checksum = hashlib.sha256()
    bar = tqdm(scores, "bach_chorales", unit=" chorales", mininterval=0.5, disable=not progress)
    for split, name in bar:
        splits[split].append(piano_roll(converter.parse(paths[name], forceSource=True)))
        checksum.update(files.sha256(paths[name]).encode())
    return splits, checksum.hexdigest()


def piano_roll(score: Any) -> np.ndarray:
    """Piano-roll of the voices of a music21 score, a uint8 array (T, 88)."""
    notes = [
        (note.offset, note.offset + note.quarterLength, pitch.midi - LOWEST_PITCH)
        for part in score.parts
        if (part.partName or "").lower().startswith(VOICES)
        for note in part.flatten().notes
        for pitch in note.pitches
    ]
    roll = np.zeros((math.ceil(max(end for _, end, _ in notes)), KEYS), "uint8")
    for start, end, key in notes:
        roll[math.ceil(start) : math.ceil(end), key] = 1
    return without_long_rests(roll)


def without_long_rests(roll: np.ndarray) -> np.ndarray:
    """Removes silence at the beginning and end, and rests of a bar or more.

    Example:

    >>> roll = np.zeros((9, 88), "uint8"); roll[1] = roll[3] = roll[8] = 1
    >>> without_long_rests(roll)[:, 0].tolist()
    [1, 0, 1, 1]
    """
    sounding = np.flatnonzero(roll.any(axis=1))
    keep = np.any(roll, axis=1)
    for before, after in itertools.pairwise(sounding):
        if after - before - 1 < BAR:
            keep[before:after] = True
    return roll[keep]

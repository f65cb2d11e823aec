"""Bach's chorales as piano-rolls, from the corpus that music21 ships.

A frame is a quarter note: a key is 1 in frame t if one of the voices sounds it at t quarter notes
from the beginning. Only the voices (soprano, alto, tenor, bass) are taken, not the instruments that
some scores have beside them; frames in which the voices rest for a bar or more are left out.
Repeats are not played twice.
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
    """Piano-rolls of every chorale.

    Args:
        progress: whether to show a bar on standard error.

    Returns:
        dict from "train", "validation", "test" to lists of uint8 arrays (T, 88), in the order of
        `chorale_split.SPLIT`; and the checksum of the scores: sha256 of the sha256 of every file
        in that order.

    Raises:
        UserError: if music21 is not installed, or lacks one of the scores.
    """
    try:
        from music21 import converter, corpus
        from tqdm import tqdm
    except ImportError as error:
        raise missing_extra(str(error.name), "music") from None
    paths = {p.stem: p for p in corpus.getComposer("bach") if p.suffix in (".mxl", ".xml")}
    wanted = [(split, name) for split, names in SPLIT.items() for name in names]
    missing = [name for _, name in wanted if name not in paths]
    if missing:
        raise UserError(
            f"music21's corpus lacks {len(missing)} of the chorales, such as {missing[0]}: "
            "another version of music21 may have them (10.5.1 does)."
        )
    splits = {split: [] for split in SPLIT}
    checksum = hashlib.sha256()
    bar = tqdm(wanted, "bach_chorales", unit=" chorales", mininterval=0.5, disable=not progress)
    for split, name in bar:
        splits[split].append(piano_roll(converter.parse(paths[name], forceSource=True)))
        checksum.update(files.sha256(paths[name]).encode())
    return splits, checksum.hexdigest()


def piano_roll(score: Any) -> np.ndarray:
    """The voices of a music21 score as a uint8 array (T, 88)."""
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
    """`roll` without silent beginning and end, and without rests of a bar or more.

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

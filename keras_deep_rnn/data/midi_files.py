"""MIDI files as piano-rolls on a grid of sixteenth notes."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..utils.errors import UserError, first_line, missing_extra
from ..utils.types import PathLike
from .dataset import KEYS, LOWEST_PITCH

QUARTER_LENGTH = 0.25


def read(paths: Iterable[PathLike], progress: bool = True) -> list[np.ndarray]:
    """Piano-rolls of MIDI files.

    A frame is a sixteenth note, whatever the tempo. Beginnings and ends of notes are moved to the
    nearest frame, and a note sounds for one frame at least. Drums are left out, and so are notes
    that are not on the 88 keys, and the silence before the first note.

    Args:
        paths: MIDI files.
        progress: whether to show a bar on standard error.

    Returns:
        List of uint8 arrays (T, 88).

    Raises:
        UserError: if pretty_midi is not installed, a file is damaged, or has no notes.
    """
    try:
        import pretty_midi
        from tqdm import tqdm
    except ImportError as error:
        raise missing_extra(str(error.name), "music") from None
    # None: a bar only on a terminal.
    off = None if progress else True
    with tqdm(paths, "MIDI", unit=" files", mininterval=0.5, disable=off) as bar:
        return [_piano_roll(pretty_midi, path) for path in bar]


def _piano_roll(pretty_midi: Any, path: PathLike) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # Tempo changes on other tracks than the first: they do not move notes on the grid.
            warnings.simplefilter("ignore", RuntimeWarning)
            midi = pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # a damaged file fails in as many ways as there are messages
        raise UserError(f"{path} cannot be read as a MIDI file: {first_line(error)}.") from error

    def frame(seconds: float) -> int:
        quarters = midi.time_to_tick(seconds) / midi.resolution
        return int(np.floor(quarters / QUARTER_LENGTH + 0.5))

    notes = []
    for instrument in midi.instruments:
        for note in instrument.notes:
            key = note.pitch - LOWEST_PITCH
            if 0 <= key < KEYS and not instrument.is_drum:
                start = frame(note.start)
                notes.append((start, max(frame(note.end), start + 1), key))
    if not notes:
        raise UserError(f"{path} must hold notes on the 88 keys, got none.")
    begin = min(start for start, _, _ in notes)
    roll = np.zeros((max(end for _, end, _ in notes) - begin, KEYS), "uint8")
    for start, end, key in notes:
        roll[start - begin : end - begin, key] = 1
    return roll

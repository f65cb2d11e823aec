"""Reads MIDI files as piano-rolls on a grid of sixteenth notes."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..utils.errors import UserError, first_line, missing_extra
from ..utils.types import PathLike
from .dataset import KEYS, LOWEST_PITCH

QUARTER_LENGTH = 0.25


def read(paths: Iterable[PathLike], progress: bool = True) -> list[np.ndarray]:
    """Reads MIDI files as piano-rolls.

    A frame is a sixteenth note, whatever the tempo. Onsets and ends of notes are rounded to frames,
    and a note has at least one frame. Drums, notes beyond the 88 keys and the silence before the
    first note are left out.

    Args:
        paths: MIDI files.
        progress: Whether to show a progress bar on stderr.

    Returns:
        List of uint8 arrays (T, 88).

    Raises:
        UserError: pretty_midi is not installed, or a file is corrupt or has no notes.
    """
    try:
        import pretty_midi
        from tqdm import tqdm
    except ImportError as error:
        raise missing_extra(str(error.name), "music") from None
    disable = None if progress else True  # None: in all but terminals
    with tqdm(paths, "MIDI", unit=" files", mininterval=0.5, disable=disable) as bar:
        return [_piano_roll(pretty_midi, path) for path in bar]


def _piano_roll(pretty_midi: Any, path: PathLike) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # About tempo changes on other tracks than the first, which do not move notes.
            warnings.simplefilter("ignore", RuntimeWarning)
            midi = pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # the parser raises any kind of error for a corrupt file
        raise UserError(f"Cannot read {path} as a MIDI file: {first_line(error)}.") from error

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

"""Writes piano-rolls as MIDI files."""

from typing import TYPE_CHECKING

from ..utils.errors import missing_extra
from ..utils.files import replacing
from ..utils.types import PathLike
from .dataset import LOWEST_PITCH

if TYPE_CHECKING:
    import numpy as np

# General MIDI programs, from 0.
INSTRUMENTS = {"piano": 0, "organ": 19, "strings": 48, "choir": 52}


def notes(frames: "np.ndarray") -> list[tuple[int, int, int]]:
    """Extracts the notes of a piano-roll: a run of frames in which a key sounds is one note.

    A piano-roll does not tell a repeated note from a held one.

    Args:
        frames: (T, 88), 1 while a key sounds.

    Returns:
        List of (key, first frame, frame after the last), sorted by first frame, then key.

    Example:

    >>> import numpy as np
    >>> roll = np.zeros((4, 88)); roll[1:3, 39] = 1; roll[0, 43] = roll[3, 43] = 1
    >>> notes(roll)
    [(43, 0, 1), (39, 1, 3), (43, 3, 4)]
    """
    found, since = [], {}
    for t, frame in enumerate([*frames, [0] * len(frames[0])] if len(frames) else []):
        sounding = {key for key, on in enumerate(frame) if on}
        for key in since.keys() - sounding:
            found.append((key, since.pop(key), t))
        for key in sounding - since.keys():
            since[key] = t
    return sorted(found, key=lambda note: (note[1], note[0]))


def write_midi(
    frames: "np.ndarray",
    path: PathLike,
    *,
    quarter_length: float = 1.0,
    tempo: float = 80.0,
    instrument: str = "organ",
) -> None:
    """Writes a piano-roll as a MIDI file with one track.

    Args:
        frames: (T, 88), 1 while a key sounds; key k is MIDI pitch 21 + k.
        path: File to write, atomically.
        quarter_length: Length of a frame in quarter notes.
        tempo: Quarter notes a minute.
        instrument: One of `INSTRUMENTS`.

    Raises:
        UserError: pretty_midi is not installed, or the file cannot be written.
    """
    try:
        import pretty_midi
    except ImportError:
        raise missing_extra("pretty_midi", "music") from None
    seconds = 60 / tempo * quarter_length
    # With 480 ticks in a quarter note every frame starts on a tick.
    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo, resolution=480)
    track = pretty_midi.Instrument(INSTRUMENTS[instrument], name=instrument)
    for key, start, stop in notes(frames):
        note = pretty_midi.Note(80, LOWEST_PITCH + key, start * seconds, stop * seconds)
        track.notes.append(note)
    midi.instruments.append(track)
    with replacing(path) as partial:
        midi.write(str(partial))

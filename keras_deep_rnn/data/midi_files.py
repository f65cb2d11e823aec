"""Reads MIDI files as piano-rolls on a grid of sixteenth notes."""

import bisect
from collections import defaultdict
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..utils.errors import UserError
from ..utils.types import PathLike
from .dataset import KEYS, LOWEST_PITCH
from .midi_events import CONTROL_CHANGE, NOTE_OFF, NOTE_ON, events, tracks

QUARTER_LENGTH = 0.25
FRAMES_IN_QUARTER = 4
# Version of `parse`: with a new one, cached pieces are parsed again.
PARSER_VERSION = 1
# Bounds on what a file can make. MIDI files of music have a few megabytes at most, and 100,000
# sixteenth notes are 3.5 hours at 120 quarter notes a minute.
MAX_BYTES = 5_000_000
MAX_FRAMES = 100_000

DRUMS = 9  # the tenth channel
SUSTAIN, PEDAL_DOWN = 64, 64  # number of the control, and its least value with the pedal down


# Moves of a sustain pedal: (channel, tick, whether it is down).
Move: TypeAlias = tuple[int, int, bool]


def read(path: PathLike, *, sustain_pedal: bool = False) -> np.ndarray:
    """Reads a MIDI file as a piano-roll; see `parse`.

    Raises:
        UserError: The file cannot be read, is corrupt or has no notes.
    """
    try:
        return parse(content_of(Path(path)), sustain_pedal=sustain_pedal)
    except UserError as error:
        raise UserError(f"Cannot read {path} as a MIDI file: {error}.") from error


def content_of(path: Path) -> bytes:
    """Content of a MIDI file.

    Raises:
        UserError: The reason why it cannot be read, without a full stop.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(error.strerror or str(error)) from error
    if len(content) > MAX_BYTES:
        raise UserError(f"it has more than {MAX_BYTES:,} bytes")
    return content


def parse(content: bytes, *, sustain_pedal: bool = False) -> np.ndarray:
    """Parses the content of a MIDI file as a piano-roll.

    A frame is a sixteenth note, whatever the tempo. Starts and ends of notes are rounded to frames,
    and a note has at least one frame. Drums, notes beyond the 88 keys, notes of no length and the
    silence before the first note are left out.

    A note-off ends the latest note that sounds on its key, in its channel and track. A note without
    one ends where its key is struck again, or at the end of its track.

    Args:
        content: Content of the file.
        sustain_pedal: Whether a note sounds on while the sustain pedal of its channel is down.

    Returns:
        uint8 (T, 88).

    Raises:
        UserError: The reason why it is not read, without a full stop: it is corrupt, has no notes
            or no quarter notes, or is too long.

    Example:

    >>> track = bytes.fromhex("00903c40 83603c00 00ff2f00")  # on, off after 480 ticks, end
    >>> header = bytes.fromhex("4d546864 00000006 0000 0001 01e0 4d54726b 0000000c")
    >>> roll = parse(header + track)
    >>> roll.shape, np.flatnonzero(roll[0]) + LOWEST_PITCH
    ((4, 88), array([60]))
    """
    contents, resolution = tracks(content)
    parts = [_notes(track) for track in contents]
    notes = np.concatenate([_array([]), *(notes for notes, _, _ in parts)])
    if not len(notes):
        raise UserError("it has no notes on the 88 keys")
    start, end, channel, key = notes.T
    if sustain_pedal:
        moves = [move for _, moves, _ in parts for move in moves]
        end = _sustained(end, channel, moves, max(tick for _, _, tick in parts))
    return _piano_roll(_frame(start, resolution), _frame(end, resolution), key)


def _notes(track: bytes) -> tuple[np.ndarray, list[Move], int]:
    """Notes of a track as an array (N, 4) of start, end, channel and key; its moves; its last tick.

    Times are in ticks, and keys from 0 to 87.
    """
    notes: list[tuple[int, int, int, int]] = []
    moves: list[Move] = []
    # Of each (channel, pitch): the ticks at which it is struck, and those of notes that sound.
    struck, sounding = defaultdict(list), defaultdict(list)
    tick = 0

    def add(start: int, end: int, channel: int, pitch: int) -> None:
        key = pitch - LOWEST_PITCH
        if start < end and 0 <= key < KEYS and channel != DRUMS:
            notes.append((start, end, channel, key))

    for tick, kind, channel, data in events(track):
        if kind in (NOTE_ON, NOTE_OFF):
            pitch, velocity = data
            if max(data) > 127:
                raise UserError(f"a note in it has the pitch {pitch} and the velocity {velocity}")
            if kind == NOTE_ON and velocity:
                struck[channel, pitch].append(tick)
                sounding[channel, pitch].append(tick)
            elif sounding[channel, pitch]:
                add(sounding[channel, pitch].pop(), tick, channel, pitch)
        elif kind == CONTROL_CHANGE and data[0] == SUSTAIN:
            moves.append((channel, tick, data[1] >= PEDAL_DOWN))
    for (channel, pitch), starts in sounding.items():
        ends = [*struck[channel, pitch], tick]
        for start in starts:
            following = min(bisect.bisect_right(ends, start), len(ends) - 1)
            add(start, ends[following], channel, pitch)
    return _array(notes), moves, tick


def _array(notes: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array(notes, "int64").reshape(-1, 4)


def _sustained(
    end: np.ndarray, channel: np.ndarray, moves: list[Move], last_tick: int
) -> np.ndarray:
    """Ends of notes with the pedal: one that ends while it is down ends when it is released."""
    # Of each channel: spans (tick of the press, tick of the release).
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    since: dict[int, int] = {}
    last_moves = [(number, last_tick, False) for number in np.unique(channel).tolist()]
    for number, tick, down in [*sorted(moves, key=itemgetter(1)), *last_moves]:
        if down:
            since.setdefault(number, tick)
        elif number in since:
            spans[number].append((since.pop(number), tick))
    end = end.copy()
    for number, pressed in spans.items():
        press, release = np.array(pressed).T
        own = np.flatnonzero(channel == number)
        span = np.searchsorted(press, end[own], side="right") - 1
        own, span = own[span >= 0], span[span >= 0]
        end[own] = np.maximum(end[own], release[span])
    return end


def _frame(tick: np.ndarray, resolution: int) -> np.ndarray:
    """The nearest frames of ticks."""
    return (2 * FRAMES_IN_QUARTER * tick + resolution) // (2 * resolution)


def _piano_roll(start: np.ndarray, end: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Piano-roll of notes with the frames of their starts and ends."""
    end = np.maximum(end, start + 1)
    first = start.min()
    length = int(end.max() - first)
    if length > MAX_FRAMES:
        raise UserError(f"it has {length:,} sixteenth notes, more than {MAX_FRAMES:,}")
    # The number of notes on a key changes where one starts or ends.
    changes = np.zeros((length + 1, KEYS), "int32")
    np.add.at(changes, (start - first, key), 1)
    np.add.at(changes, (end - first, key), -1)
    return (np.cumsum(changes[:-1], axis=0, dtype="int32") > 0).astype("uint8")

"""Reads MIDI files as piano-rolls on a grid of sixteenth notes."""

import bisect
import math
from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

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


class Note(NamedTuple):
    """A note: ticks of its start and end, its channel, and its key from 0 to 87."""

    start: int
    end: int
    channel: int
    key: int


# Moves of a sustain pedal: (channel, tick, whether it is down).
Move = tuple[int, int, bool]


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
    notes: list[Note] = []
    moves: list[Move] = []
    last_tick = 0
    for track in contents:
        more_notes, more_moves, end = _notes(track)
        notes += more_notes
        moves += more_moves
        last_tick = max(last_tick, end)
    if sustain_pedal:
        notes = _sustained(notes, moves, last_tick)
    return _piano_roll(notes, resolution)


def _notes(track: bytes) -> tuple[list[Note], list[Move], int]:
    """Notes, moves of the pedal, and last tick of a track."""
    notes: list[Note] = []
    moves: list[Move] = []
    # Of each (channel, pitch): the ticks at which it is struck, and those of notes that sound.
    struck, sounding = defaultdict(list), defaultdict(list)
    tick = 0

    def add(start: int, end: int, channel: int, pitch: int) -> None:
        key = pitch - LOWEST_PITCH
        if start < end and 0 <= key < KEYS and channel != DRUMS:
            notes.append(Note(start, end, channel, key))

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
    return notes, moves, tick


def _sustained(notes: list[Note], moves: list[Move], last_tick: int) -> list[Note]:
    """Notes with the pedal: one that ends while it is down ends when it is released."""
    # Of each channel: spans (tick of the press, tick of the release).
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    since: dict[int, int] = {}
    releases = [(channel, last_tick, False) for channel, _, _ in moves]
    for channel, tick, down in sorted([*moves, *releases], key=itemgetter(1)):
        if down:
            since.setdefault(channel, tick)
        elif channel in since:
            spans[channel].append((since.pop(channel), tick))

    def end(note: Note) -> int:
        pressed = bisect.bisect_right(spans[note.channel], (note.end, math.inf))
        return max(note.end, spans[note.channel][pressed - 1][1]) if pressed else note.end

    return [note._replace(end=end(note)) for note in notes]


def _piano_roll(notes: Sequence[Note], resolution: int) -> np.ndarray:
    if not notes:
        raise UserError("it has no notes on the 88 keys")
    start, end, _, key = np.array(notes).T

    def frame(tick: np.ndarray) -> np.ndarray:
        return (2 * FRAMES_IN_QUARTER * tick + resolution) // (2 * resolution)

    first = frame(start)
    after = np.maximum(frame(end), first + 1)
    begin = first.min()
    length = int(after.max() - begin)
    if length > MAX_FRAMES:
        raise UserError(f"it has {length:,} sixteenth notes, more than {MAX_FRAMES:,}")
    # The number of notes on a key changes where one starts or ends.
    changes = np.zeros((length + 1, KEYS), "int32")
    np.add.at(changes, (first - begin, key), 1)
    np.add.at(changes, (after - begin, key), -1)
    return (np.cumsum(changes[:-1], axis=0, dtype="int32") > 0).astype("uint8")

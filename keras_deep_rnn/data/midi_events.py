"""Splits MIDI files into tracks and events, as far as they concern notes.

General parsers (mido, pretty_midi) refuse a whole file for a key signature or a control value that
is out of range, or for a fine resolution, and what they make of a hostile file has no bound.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ..utils.errors import UserError

NOTE_OFF, NOTE_ON, CONTROL_CHANGE = 0x80, 0x90, 0xB0
END_OF_TRACK = 0x2F
_META, _SYSEX = 0xFF, (0xF0, 0xF7)
_ONE_DATA_BYTE = (0xC0, 0xD0)  # program change and channel pressure; other events have two


class Event(NamedTuple):
    """An event of a channel, or the end of a track.

    Attributes:
        tick: Ticks since the beginning.
        kind: NOTE_OFF, NOTE_ON, CONTROL_CHANGE, ...; END_OF_TRACK for the last event of a track.
        channel: From 0.
        data: The two data bytes; the second is 0 if there is one.
    """

    tick: int
    kind: int
    channel: int
    data: tuple[int, int]


def tracks(content: bytes) -> tuple[list[bytes], int]:
    """Splits a MIDI file into its tracks, which sound together.

    Args:
        content: Content of the file.

    Returns:
        The content of each track, and the number of ticks in a quarter note.

    Raises:
        UserError: The reason why it is not read, without a full stop.
    """
    if content[:4] != b"MThd":
        begin = f"begins with {content[:4]!r}" if content else "is empty"
        raise UserError(f"it {begin}, a MIDI file begins with b'MThd'")
    try:
        size, type_, count, resolution = struct.unpack_from(">IHHh", content, 4)
        found, at = [], 8 + size
        while len(found) < count:
            name, size = struct.unpack_from(">4sI", content, at)
            at += 8 + size
            if at > len(content):
                raise UserError(f"it ends within track {len(found) + 1} of {count}")
            if name == b"MTrk":  # the format tells readers to pass over other chunks
                found.append(content[at - size : at])
    except struct.error:
        raise UserError("it ends before all of its tracks") from None
    if type_ > 1 and count > 1:
        raise UserError(
            f"its {count} tracks are pieces of their own (type {type_}): save each as a file"
        )
    if resolution < 0:
        raise UserError("its time is in SMPTE frames: save it with ticks per quarter note (PPQ)")
    if resolution == 0:
        raise UserError("it has 0 ticks in a quarter note")
    return found, resolution


def events(track: bytes) -> Iterator[Event]:
    """Reads the events of channels in a track, and its end.

    Raises:
        UserError: The reason why the track is corrupt, without a full stop.
    """
    at = tick = status = 0

    def number() -> int:
        """A number of up to four bytes, with seven bits in each."""
        nonlocal at
        value = 0
        for _ in range(4):
            byte = track[at]
            at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise UserError("a number in it has more than four bytes")

    try:
        while at < len(track):
            tick += number()
            event = status  # an event may leave out the status of the one before
            if track[at] >= 0x80:
                event = track[at]
                at += 1
            if event == _META or event in _SYSEX:
                if event == _META:
                    if track[at] == END_OF_TRACK:
                        break
                    at += 1
                length = number()
                at += length
            elif 0x80 <= event < 0xF0:
                status, kind = event, event & 0xF0
                data = track[at], 0 if kind in _ONE_DATA_BYTE else track[at + 1]
                at += 1 if kind in _ONE_DATA_BYTE else 2
                yield Event(tick, kind, event & 0x0F, data)
            else:
                raise UserError(f"an event in it has the unknown status {event:#04x}")
        if at > len(track):
            raise IndexError
    except IndexError:
        raise UserError("a track in it ends within an event") from None
    yield Event(tick, END_OF_TRACK, 0, (0, 0))

"""Makes MIDI files byte by byte, also such as no library writes."""

import struct

END = bytes.fromhex("ff2f00")


def variable_length(number):
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))


def midi(*tracks, resolution=4, kind=None):
    """A file of tracks, each a list of (tick, bytes of an event); by default a frame is a tick."""
    content = b""
    for track in tracks:
        events, before = b"", 0
        for tick, event in track:
            events += variable_length(tick - before) + event
            before = tick
        content += b"MTrk" + struct.pack(">I", len(events)) + events
    kind = int(len(tracks) > 1) if kind is None else kind
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), resolution & 0xFFFF) + content


def on(pitch, channel=0):
    return bytes([0x90 | channel, pitch, 80])


def off(pitch, channel=0):
    return bytes([0x80 | channel, pitch, 0])


def control(value, number=64, channel=0):
    return bytes([0xB0 | channel, number, value])


def melody(*pitches, length=4):
    """A file of notes one after another."""
    events = [
        event
        for i, pitch in enumerate(pitches)
        for event in ((i * length, on(pitch)), ((i + 1) * length, off(pitch)))
    ]
    return midi([*events, (len(pitches) * length, END)])

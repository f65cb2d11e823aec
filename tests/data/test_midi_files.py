"""MIDI files as musicians have them, and as attackers make them."""

import random
import struct
import tracemalloc

import numpy as np
import pytest
from midi_bytes import END, control, melody, midi, off, on

from keras_deep_rnn.data import midi_files
from keras_deep_rnn.data.midi_files import MAX_BYTES, MAX_FRAMES, parse, read
from keras_deep_rnn.utils.errors import UserError


def sounding(content, **options):
    """{pitch: frames in which it sounds}."""
    roll = parse(content, **options)
    assert roll.dtype == np.uint8
    return {
        int(key) + 21: np.flatnonzero(roll[:, key]).tolist()
        for key in np.flatnonzero(roll.T.any(1))
    }


def frames(*spans):
    return [frame for begin, end in spans for frame in range(begin, end)]


@pytest.mark.parametrize("seed", range(10))
def test_files_of_pretty_midi_read_as_it_reads_them(tmp_path, seed):
    pretty_midi = pytest.importorskip("pretty_midi")
    draw = random.Random(seed)
    written = pretty_midi.PrettyMIDI(
        initial_tempo=draw.uniform(40, 200), resolution=draw.choice([96, 220, 480, 960])
    )
    for program in range(3):
        track = pretty_midi.Instrument(program, is_drum=program == 2)
        free = {}
        for _ in range(40):
            pitch = draw.randrange(15, 115)
            begin = max(free.get(pitch, 0), draw.uniform(0, 30))
            free[pitch] = begin + draw.uniform(0.1, 3)
            track.notes.append(pretty_midi.Note(80, pitch, begin, free[pitch]))
        written.instruments.append(track)
    written.write(str(tmp_path / "a.mid"))
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))

    def frame(seconds):
        return int(np.floor(midi.time_to_tick(seconds) / midi.resolution * 4 + 0.5))

    notes = [
        (frame(note.start), max(frame(note.end), frame(note.start) + 1), note.pitch - 21)
        for track in midi.instruments
        for note in track.notes
        if not track.is_drum and 21 <= note.pitch <= 108
    ]
    begin = min(notes)[0]
    expected = np.zeros((max(end for _, end, _ in notes) - begin, 88), "uint8")
    for start, end, key in notes:
        expected[start - begin : end - begin, key] = 1
    np.testing.assert_array_equal(read(tmp_path / "a.mid"), expected)


# Notes on one key, and the frames in which it sounds; 62 sounds from 16 to 20 to show the end.
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([(0, on), (4, off), (8, on), (12, off)], [(0, 4), (8, 12)], id="apart"),
        pytest.param([(0, on), (4, on), (8, off), (12, off)], [(0, 12)], id="overlapping"),
        pytest.param([(0, on), (4, on), (8, off)], [(0, 8)], id="struck again, one note-off"),
        pytest.param([(0, on), (4, on), (4, off), (8, off)], [(0, 8)], id="struck before its end"),
        pytest.param([(0, on), (4, off), (4, off), (8, off)], [(0, 4)], id="too many note-offs"),
        pytest.param([(0, on)], [(0, 20)], id="hanging"),
        pytest.param([(0, on), (8, on), (12, off)], [(0, 12)], id="hanging, struck again"),
        pytest.param([(0, on), (4, off), (8, on), (8, off)], [(0, 4)], id="of no length"),
    ],
)
def test_equal_notes(events, expected):
    track = [(tick, event(60)) for tick, event in events]
    track += [(16, on(62)), (20, off(62)), (20, END)]
    found = sounding(midi(track))
    assert found == {60: frames(*expected), 62: frames((16, 20))}


def test_a_hanging_note_ends_with_its_track():
    short, long = [(0, on(60)), (6, END)], [(0, on(62)), (16, off(62)), (16, END)]
    assert sounding(midi(short, long)) == {60: frames((0, 6)), 62: frames((0, 16))}


def test_equal_notes_of_two_channels_and_tracks_are_apart():
    piano = [(0, on(60)), (4, on(60, channel=1)), (8, off(60)), (12, off(60, channel=1))]
    other = [(2, on(60)), (3, off(60)), (3, END)]
    assert sounding(midi([*piano, (16, END)], other)) == {60: frames((0, 12))}
    assert sounding(midi([(0, on(60)), (8, END)], [(4, off(60)), (4, END)])) == {60: frames((0, 8))}


def test_the_sustain_pedal_is_an_option():
    track = [
        (0, control(127)),
        (0, on(60)), (2, off(60)),  # sounds on
        (4, on(62, channel=1)), (5, off(62, channel=1)),  # another channel
        (8, control(63)),  # up
        (8, on(64)), (10, off(64)),
        (10, control(64)),  # down when the note has ended at this tick
        (12, on(65)), (20, off(65)),
        (20, END),
    ]  # fmt: skip
    dry = {60: frames((0, 2)), 62: [4], 64: frames((8, 10)), 65: frames((12, 20))}
    assert sounding(midi(track)) == dry
    wet = {**dry, 60: frames((0, 8)), 64: frames((8, 20))}
    assert sounding(midi(track), sustain_pedal=True) == wet
    # The pedal may be in a track of its own.
    pedal, notes = ([e for e in track if (e[1][0] in (0xB0, 0xFF)) == own] for own in (True, False))
    assert sounding(midi(pedal, [*notes, (20, END)]), sustain_pedal=True) == wet


def test_what_does_not_concern_notes_is_passed_over():
    expected = {60: frames((0, 4)), 62: frames((4, 8))}
    tune = [(0, on(60)), (4, off(60)), (4, on(62)), (8, off(62))]
    others = {
        "a control value that is out of range": control(168, number=7),
        "a key signature that is out of range": bytes.fromhex("ff5902 63 09"),
        "a text in another encoding": bytes.fromhex("ff0103 fffe80"),
        "a message for one synthesizer": bytes.fromhex("f003 010203"),
        "an escape": bytes.fromhex("f701 f8"),
        "a program": bytes.fromhex("c0 05"),
        "a bend": bytes.fromhex("e0 00 40"),
    }
    for name, event in others.items():
        track = sorted([*tune, (4, event)], key=lambda event: event[0])
        assert sounding(midi([*track, (8, END)])) == expected, name
    assert sounding(midi(tune)) == expected  # without an end of the track
    whole = midi([*tune, (8, END)])
    assert sounding(whole[:14] + b"XFIH\0\0\0\2ab" + whole[14:]) == expected  # an unknown chunk
    longer = whole[:4] + struct.pack(">I", 8) + whole[8:14] + b"\0\0" + whole[14:]
    assert sounding(longer) == expected  # a header with more than we know
    # The status of the event before, and velocity 0 for note-off.
    running = [(0, on(60)), (4, bytes([60, 0])), (4, bytes([62, 80])), (8, bytes([62, 0]))]
    assert sounding(midi([*running, (8, END)])) == expected


@pytest.mark.parametrize("resolution", [1, 24, 480, 32767])
def test_any_resolution(resolution):
    track = [(0, on(60)), (100 * resolution, off(60)), (100 * resolution, on(62))]
    end = 101 * resolution
    found = sounding(midi([*track, (end, off(62)), (end, END)], resolution=resolution))
    assert found == {60: frames((0, 400)), 62: frames((400, 404))}


WHOLE = melody(60, 62, 64)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty, a MIDI file begins with b'MThd'"),
        (b"<!DOCTYPE html>", "it begins with b'<!DO', a MIDI file begins with b'MThd'"),
        (b"RIFF" + WHOLE, "it begins with b'RIFF', a MIDI file begins with b'MThd'"),
        (b"MThd", "it ends before all of its tracks"),
        (WHOLE[:20], "it ends before all of its tracks"),
        (WHOLE[:-5], "it ends within track 1 of 1"),
        (midi([(0, on(60)[:2])]), "a track in it ends within an event"),
        (midi([(0, b"\xf0\x05\x01")]), "a track in it ends within an event"),
        (midi([(0, b"\x3c\x50")]), "an event in it has the unknown status 0x00"),
        (midi([(0, b"\xf8")]), "an event in it has the unknown status 0xf8"),
        (midi([(0, b"\xff\x01\xff\xff\xff\xff\xff")]), "a number in it has more than four bytes"),
        (midi([(0, on(200))]), "a note in it has the pitch 200 and the velocity 80"),
        (midi([(0, on(60, channel=9)), (4, END)]), "it has no notes on the 88 keys"),
        (midi([(0, END)]), "it has no notes on the 88 keys"),
        (midi([(0, on(60)), (4, END)], resolution=0), "it has 0 ticks in a quarter note"),
        (
            midi([(0, on(60)), (4, END)], resolution=0xE728),
            "its time is in SMPTE frames: save it with ticks per quarter note (PPQ)",
        ),
        (
            midi([(0, on(60)), (4, END)], [(4, END)], kind=2),
            "its 2 tracks are pieces of their own (type 2): save each as a file",
        ),
    ],
)
def test_refused_with_the_true_reason(tmp_path, content, reason):
    (tmp_path / "a.mid").write_bytes(content)
    with pytest.raises(UserError) as error:
        read(tmp_path / "a.mid")
    assert str(error.value) == f"Cannot read {tmp_path / 'a.mid'} as a MIDI file: {reason}."


def test_a_file_of_type_2_with_one_track_is_a_piece():
    assert sounding(midi([(0, on(60)), (4, END)], kind=2)) == {60: frames((0, 4))}


def test_bounds(tmp_path):
    tracemalloc.start()
    with pytest.raises(UserError, match=r"it has 268,435,455 sixteenth notes, more than 100,000"):
        parse(midi([(0, on(60)), (2**28 - 1, off(60)), (2**28 - 1, END)]))
    (tmp_path / "a.mid").touch()
    with open(tmp_path / "a.mid", "r+b") as file:
        file.truncate(2 * MAX_BYTES)
    with pytest.raises(UserError, match=r"it has more than 5,000,000 bytes"):
        read(tmp_path / "a.mid")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert len(parse(midi([(0, on(60)), (MAX_FRAMES, END)]))) == MAX_FRAMES


def test_damaged_files_are_read_or_refused_in_one_line():
    pedal = [(0, control(127)), (2, on(60)), (9, off(60)), (9, b"\xf0\x03abc"), (9, control(0))]
    draw, whole = random.Random(1), midi([*pedal, (9, END)], [(0, on(62)), (8, END)])
    lines = []
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 1, 3])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            roll = parse(bytes(damaged), sustain_pedal=True)
        except UserError as error:
            lines.append(str(error))
        else:
            assert roll.shape[1:] == (88,)
            assert 0 < len(roll) <= MAX_FRAMES
            assert set(np.unique(roll)) <= {0, 1}
    assert 500 < len(lines) < 2500
    assert not [line for line in lines if "\n" in line]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="as a MIDI file: No such file or directory"):
        midi_files.read(tmp_path / "a.mid")

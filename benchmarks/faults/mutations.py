"""Valid files of every kind, and mutated ones: `mutated("npz", seed)` are the same bytes each time.

The bytes of a file change, and what is in it: the members of an archive and what is compressed are
changed inside and packed again, since a checksum would hide all that lies behind it.
"""

import copy
import functools
import io
import json
import pickle
import random
import struct
import zipfile
import zlib

import numpy as np

from .draws import broken_bytes, broken_json
from .workplace import JOB, VARIABLES, rolls

# More than a reader may take into its memory, and a small file when packed.
BOMB = 600 * 2**20
HEADERS = (
    "{'descr': '|O', 'fortran_order': False, 'shape': (24, 88), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 88), }",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (7000000, 88), }",
    "{'descr': '|V1000000000', 'fortran_order': False, 'shape': (1, 1), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-24, 88), }",
    "{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (3,), }",
    "(" * 3000,
)
# Opcodes and arguments that make much of little, or call what they should not.
OPCODES = (
    b"cos\nsystem\n", b"cnumpy\ndtype\n", b"(S'O8'\nI0\nI1\ntR", b"}b", b"\x94", b"h\x00", b"0",
    b"R", b"\x81", b"r\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x7f",
    b"q\xff", b"I99999999999\n", b"(" * 2000, b"]" * 2000,
    b"\x8b\xff\xff\xff\x7f", b"2e", b"N", b".",
)  # fmt: skip
# Bytes of a MIDI file that mean much: long pauses, tempo, SMPTE time, ends of tracks, other events.
MIDI = (
    b"\xff\xff\xff\x7f", b"\xff\x51\x03\x00\x00\x00", b"\xff\x51\x03\xff\xff\xff", b"\xe7\x28",
    b"\x00\x00", b"\xff\x2f\x00", b"MTrk\x00\x00\x00\x00", b"MTrk\xff\xff\xff\xff", b"\xb0\x40\x7f",
    b"\x90\x3c\x00", b"\xf0\xff\xff\xff\x7f", b"\xff\x58\x04\x04\xff\x18\x08", b"\x99\x3c\x50",
)  # fmt: skip
TEXTS = (b"\xff\xfe", b"\x00", b"\xed\xa0\x80", b"\r", b"\x1b[2J", b"\xef\xbb\xbf", b"")
DEEP = b"[" * 20_000
VALUES = (
    "nan", "inf", "1e400", "-1", "0", "1" + "0" * 5000, '"x"', "''", "[]", "{}", "true", "[[1], 2]",
    '"\\u0000"', '"[/b]"', "1979-05-27", "[" * 500, "null",
)  # fmt: skip


def mutated(kind, seed):
    """The bytes of a mutated file.

    Args:
        kind: One of `KINDS`.
        seed: What the changes are drawn with.
    """
    good, change = KINDS[kind]
    draw = random.Random(f"{kind} {seed}")
    return change(draw, good())


def valid(kind):
    """The bytes of the file before it is mutated."""
    return KINDS[kind][0]()


@functools.cache
def npz():
    """Three piano-rolls."""
    file = io.BytesIO()
    pieces = {f"{split}_{i}": roll for split, i, roll in rolls() if i == 0}
    np.savez_compressed(file, **pieces)
    return file.getvalue()


def _change_npz(draw, data):
    def change(name, content):
        kind = draw.randrange(6)
        if kind == 0:
            header = draw.choice(HEADERS).encode()
            return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content[128:]
        if kind < 4:
            return broken_bytes(draw, content[:128]) + content[128:]
        return broken_bytes(draw, content)

    return _change_archive(draw, data, change)


def _change_archive(draw, data, change):
    """Changes the bytes of a ZIP archive, or one of its members."""
    kind = draw.random()
    if kind < 0.3:
        return broken_bytes(draw, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = draw.choice(sorted(members))
    if kind > 0.999:
        return _bomb(tuple(members.items()), chosen)
    members[chosen] = change(chosen, members[chosen])
    if draw.random() < 0.1:
        other = draw.choice(("../x", "train_1.npy", "train_é.npy", "a\nb", "[/b]", "x" * 60_000))
        members[other] = members.pop(chosen)
    return _archive(members)


def _archive(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@functools.cache
def _bomb(members, chosen):
    return _archive({**dict(members), chosen: dict(members)[chosen] + bytes(BOMB)})


@functools.cache
def mat():
    """Pieces in the variables of the literature, compressed."""
    import scipy.io

    pieces = {name: np.empty(1, object) for name in VARIABLES.values()}
    for split, i, roll in rolls():
        if i == 0:
            pieces[VARIABLES[split]][0] = roll
    file = io.BytesIO()
    scipy.io.savemat(file, pieces, do_compression=True)
    return file.getvalue()


def _change_mat(draw, data):
    """Changes the file, or a variable before it is compressed."""
    if draw.random() < 0.3:
        return broken_bytes(draw, data)
    parts, position = [], 128
    while position < len(data):
        _, size = struct.unpack_from("<2I", data, position)
        parts.append(zlib.decompress(data[position + 8 : position + 8 + size]))
        position += 8 + size
    i = draw.randrange(len(parts))
    if draw.random() < 0.7:  # what says how large the parts are lies at their beginnings
        parts[i] = broken_bytes(draw, parts[i][:200]) + parts[i][200:]
    else:
        parts[i] = broken_bytes(draw, parts[i])
    if draw.random() < 0.5:  # not compressed
        return data[:128] + b"".join(parts)
    packed = map(zlib.compress, parts)
    return data[:128] + b"".join(struct.pack("<2I", 15, len(p)) + p for p in packed)


@functools.cache
def chords(protocol=2):
    """Chords in a pickle: tuples of pitches, some of NumPy's scalars as in the original files."""
    content = {split: [] for split in VARIABLES}
    for split, i, roll in rolls():
        if i < 2:
            pitches = [np.flatnonzero(frame) + 21 for frame in roll[:6]]
            content[split].append([tuple(p if i else map(int, p)) for p in pitches])
    return pickle.dumps(content, protocol)


def _change_pickle(draw, data):
    data = bytearray(chords(draw.choice((0, 2, 4))))
    for _ in range(draw.choice((0, 1, 1, 2, 4))):
        position = draw.randrange(len(data))
        data[position : position + draw.choice((0, 0, 1, 4))] = draw.choice(OPCODES)
    return broken_bytes(draw, data) if draw.random() < 0.7 else bytes(data)


@functools.cache
def midi():
    """A melody of eight notes."""
    events = b"".join(
        b"\x00\x90" + bytes([pitch, 80]) + b"\x83\x60\x80" + bytes([pitch, 0])
        for pitch in range(60, 68)
    )
    track = b"\x00\xff\x51\x03\x07\xa1\x20" + events + b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def _change_midi(draw, data):
    return _change_bytes(draw, data, MIDI)


@functools.cache
def text():
    """A text of a few lines."""
    return ("Straße, naïve – 音楽.\r\nFor the sake of many lines.\n" * 20).encode()


def _change_text(draw, data):
    return _change_bytes(draw, data, TEXTS)


def _change_bytes(draw, data, parts):
    """Changes bytes, and puts in parts that mean much."""
    data = bytearray(data)
    for _ in range(draw.choice((0, 1, 1, 3))):
        position = draw.randrange(len(data) + 1)
        data[position : position + draw.choice((0, 0, 2, 4))] = draw.choice(parts)
    return broken_bytes(draw, data) if draw.random() < 0.7 else bytes(data)


def _change_json(draw, data):
    """Changes the file, or values and names in it."""
    kind = draw.random()
    if kind < 0.4:
        return broken_bytes(draw, data)
    if kind < 0.42:
        position = draw.randrange(len(data))
        return data[:position] + DEEP + data[position:]
    return json.dumps(broken_json(draw, copy.deepcopy(json.loads(data)))).encode()


def toml():
    """A job file."""
    return JOB.format(data="pieces.npz").encode()


def _change_toml(draw, data):
    """Changes the file, or one of its values."""
    if draw.random() < 0.5:
        return broken_bytes(draw, data)
    lines = data.decode().splitlines()
    for _ in range(draw.choice((1, 1, 2))):
        i = draw.randrange(len(lines))
        key = lines[i].split(" = ")[0]
        lines[i] = f"{key} = {draw.choice(VALUES)}"
    return "\n".join(lines).encode()


def _change_keras(draw, data):
    def change(name, content):
        return (_change_json if name.endswith(".json") else broken_bytes)(draw, content)

    return _change_archive(draw, data, change)


# Of each kind: its valid file, and what changes it.
KINDS = {
    "npz": (npz, _change_npz),
    "mat": (mat, _change_mat),
    "pickle": (chords, _change_pickle),
    "midi": (midi, _change_midi),
    "text": (text, _change_text),
    "toml": (toml, _change_toml),
}


def add_files(place):
    """Adds the kinds of files that commands write; each is made when it is first asked for."""

    def of(folder, name):
        return functools.cache(lambda: (folder() / name).read_bytes())

    def run():
        return place.run

    def search():
        return place.search

    def version():
        return place.export / "1"

    KINDS.update({
        "config": (of(run, "config.json"), _change_json),
        "metrics": (of(run, "metrics.json"), _change_json),
        "history": (of(run, "history.csv"), _change_text),
        "keras": (of(run, "model.keras"), _change_keras),
        "job": (of(search, "job.json"), _change_json),
        "state": (of(search, "state.json"), _change_json),
        "record": (of(version, "export.json"), _change_json),
    })  # fmt: skip

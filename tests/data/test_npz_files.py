"""`.npz` files that are no plain piano-rolls are refused in one line and without their memory."""

import io
import struct
import zipfile

import numpy as np
import pytest
from checking_memory import peak_megabytes

from keras_deep_rnn import data
from keras_deep_rnn.data import piano_rolls
from keras_deep_rnn.data.builders import polyphonic
from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.utils.limits import MAX_ZIP_DIRECTORY_BYTES

random = np.random.default_rng(5)
ROLL = random.integers(0, 2, (4001, 88))
KINDS = ("bool", "int8", "uint64", ">i2", "float16", "float64", ">f4", "longdouble")


@pytest.mark.slow
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_piano_rolls_of_any_type_and_order(tmp_path, order, save):
    save(tmp_path / "a.npz", **{kind: np.array(ROLL, kind, order=order) for kind in KINDS})
    rolls = polyphonic.read_npz(tmp_path / "a.npz")
    assert list(rolls) == list(KINDS)
    for roll in rolls.values():
        assert roll.dtype == np.uint8
        assert roll.flags.c_contiguous
        np.testing.assert_array_equal(roll, ROLL)


def npy(array, **options):
    """The bytes of a `.npy` file."""
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def header(text, version=b"\x01\0"):
    """The beginning of a `.npy` file with a header of one's own."""
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


def declared(shape, dtype="|u1"):
    return header(str({"descr": dtype, "fortran_order": False, "shape": shape}) + "\n")


SMALL = npy(np.zeros((3, 88), "uint8"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"x", "'a.txt' is no array"),
        ("a\n.npy", npy(np.array([{}]), allow_pickle=True), r"'a\n.npy' holds objects"),
        ("a\n.npy", npy(np.zeros((1, 7))), r"'a\n' must be a piano-roll of shape (time, 88)"),
        ("a.npy", npy(np.full((5000, 88), 0.5)), "a must hold only 0 and 1."),
        ("a.npy", npy(np.full((1, 88), 1j)), "a must hold only 0 and 1."),
        ("a.npy", SMALL[:-1], "it ends too early"),
        ("a.npy", SMALL + b"x", "'a.npy' holds more than its array"),
        ("a.npy", b"", "EOF"),
        ("a.npy", SMALL.replace(b"\x01\0", b"\x09\0", 1), "has a header of version (9, 0)"),
        ("a.npy", header("{'descr': '|u1', "), "it is corrupt"),
        ("a.npy", header("(" * 9000), "it is corrupt"),
        ("a.npy", declared((-1, 88)), "must be a piano-roll of shape (time, 88), got (-1, 88)"),
        ("a.npy", declared((10**12, 88)), "must hold at most 20,000,000 frames in 200,000 pieces"),
        ("a.npy", declared((10**9, 10**9)), "must be a piano-roll of shape (time, 88)"),
        ("a.npy", declared((3, 88), "|V999999999"), "must hold only 0 and 1."),
    ],
)
def test_other_members(tmp_path, name, content, reason):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    assert reason in refused(path)


def test_the_number_of_pieces_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(piano_rolls, "MAX_PIECES", 3)
    np.savez(tmp_path / "a.npz", *[ROLL[:2]] * 4)
    assert "got 8 in 4 or more: split it into several files." in refused(tmp_path / "a.npz")


def refused(path):
    with pytest.raises(UserError) as error:
        data.load(path)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("a.npy", SMALL)
    assert "'a.npy' is compressed, but not deflated." in refused(tmp_path / "a.npz")


def test_an_encrypted_member(tmp_path):
    """Its flag is bit 0 at byte 6 of its header, and at byte 8 of its entry in the directory."""
    np.savez(tmp_path / "a.npz", a=ROLL)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert "'a.npy' is encrypted." in refused(tmp_path / "a.npz")


def test_a_corrupt_deflate_stream(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=ROLL)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    name, extra = struct.unpack_from("<2H", content, 26)
    content[30 + name + extra] |= 0b110  # a block of a type that there is not
    (tmp_path / "a.npz").write_bytes(content)
    assert "as a .npz file of plain arrays: " in refused(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(SMALL)
    assert "File is not a zip file" in refused(tmp_path / "a.npz")


def test_a_large_directory(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(MAX_ZIP_DIRECTORY_BYTES // 60_000 + 1):
            archive.writestr(f"{i:060000}.npy", b"")
    assert "its directory has more than 8 MB, the limit" in refused(path)


# Zeros in a thousandth of their size: more than there may be, and 880 MB before a 2.
BOMBS = {
    "it declares more": (
        "with archive.open('a.npy', 'w', force_zip64=True) as file:\n"
        "    file.write(declared)\n"
        "    for _ in range(600): file.write(bytes(10**6))\n",
        24_000_000,
        "must hold at most 20,000,000 frames in 200,000 pieces, got 24,000,000",
    ),
    "its last number is wrong": (
        "with archive.open('a.npy', 'w', force_zip64=True) as file:\n"
        "    file.write(declared)\n"
        "    for _ in range(880): file.write(bytes(10**6))\n"
        "    file.write(bytes(87) + bytes([2]))\n",
        10_000_001,
        "a must hold only 0 and 1.",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_is_bounded(tmp_path, bomb):
    write, frames, reason = BOMBS[bomb]
    code = (
        "import zipfile\n"
        f"declared = {declared((frames, 88))!r}\n"
        "archive = zipfile.ZipFile('a.npz', 'w', zipfile.ZIP_DEFLATED)\n"
        f"{write}archive.close()\n"
    )
    megabytes, line = peak_megabytes(tmp_path, "a.npz", code)
    assert reason in line
    assert megabytes < 500

"""`.mat` files: what SciPy writes is read; all else is refused in one line, without its memory."""

import struct
import zlib

import numpy as np
import pytest
import scipy.io
from checking_memory import peak_megabytes

from keras_deep_rnn import data
from keras_deep_rnn.data.builders import polyphonic
from keras_deep_rnn.utils.errors import UserError

NAMES = ("traindata", "validdata", "testdata")


def cells(rolls):
    array = np.empty((1, len(rolls)), object)
    for i, roll in enumerate(rolls):
        array[0, i] = roll
    return array


def rolls(dtype="uint8"):
    random = np.random.default_rng(3)
    return [random.integers(0, 2, (length, 88)).astype(dtype) for length in (9, 4, 1)]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16", "float32", "float64", "uint64"])
def test_what_scipy_writes(tmp_path, compressed, dtype):
    """Variables with other names, of any kind, are passed over."""
    others = {"note": "text", "about": {"a": 1, "b": cells([1j])}, "zeros": np.zeros((200, 300))}
    named = {name: cells(rolls(dtype)) for name in NAMES}
    scipy.io.savemat(tmp_path / "a.mat", {**others, **named}, do_compression=compressed)
    splits = polyphonic.read_mat(tmp_path / "a.mat")
    for split in ("train", "validation", "test"):
        for found, roll in zip(splits[split], rolls(), strict=True):
            assert found.dtype == np.uint8
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, roll)


def element(kind, content, order="<"):
    return struct.pack(order + "2I", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind, shape, name, *content, order="<"):
    return element(
        14,
        element(6, struct.pack(order + "2I", kind, 0), order)
        + element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
        + element(1, name.encode(), order)
        + b"".join(content),
        order,
    )


def mat(*variables, version=0x0100, order="<"):
    mark = {"<": b"IM", ">": b"MI"}[order]
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack(order + "H", version)
        + mark
        + b"".join(variables)
    )


def roll_cell(frames=2, content=None, order="<"):
    content = bytes(frames * 88) if content is None else content
    return matrix(9, (frames, 88), "", element(2, content, order), order=order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, order):
    numbers = np.arange(3 * 88).reshape(3, 88) % 2
    content = numbers.astype(order + "f8").tobytes(order="F")
    cell = matrix(6, (3, 88), "", element(9, content, order), order=order)
    variables = [matrix(1, (1, 2), name, cell, cell, order=order) for name in NAMES]
    (tmp_path / "a.mat").write_bytes(mat(*variables, order=order))
    for pieces in polyphonic.read_mat(tmp_path / "a.mat").values():
        np.testing.assert_array_equal(pieces, [numbers, numbers])


def compressed(content):
    content = zlib.compress(content)
    return struct.pack("<2I", 15, len(content)) + content


GOOD = matrix(1, (1, 1), "traindata", roll_cell())
DAMAGED = bytearray(compressed(GOOD))
DAMAGED[-1] ^= 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (mat(version=0x0200), "it is of MATLAB v7.3, which is HDF5: save it with -v7."),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "it is not of MATLAB level 5: save it with -v7."),
        (b"", "it is not of MATLAB level 5: save it with -v7."),
        (mat(GOOD[:-1]), "it ends within a variable."),
        (mat(b"1234"), "it ends too early."),
        (mat(bytes(DAMAGED)), "incorrect data check."),
        (mat(compressed(GOOD + b"more")), "a compressed variable of another size than it declares"),
        (mat(compressed(GOOD[:-8])), "it ends too early."),
        (mat(GOOD), "it lacks validdata, testdata."),
        (mat(matrix(9, (1, 88), "traindata", element(2, bytes(88)))), "traindata is no cell array"),
        (mat(matrix(1, (1, 1), "traindata", matrix(1, (1, 1), "", GOOD))), "is no matrix of real"),
        (mat(matrix(1, (1, 1), "traindata", matrix(5, (2, 88), ""))), "or a sparse one"),
        (mat(matrix(1, (1, 1), "traindata", element(14, b""))), "traindata[0] is empty"),
        (mat(matrix(1, (1, 1), "traindata", element(9, b""))), "traindata[0] is no matrix"),
        (mat(matrix(1, (2**30, 2**30), "traindata", roll_cell())), "it ends too early"),
        (mat(matrix(1, (1, 1), "traindata", roll_cell(), bytes(8))), "another size than it decl"),
        (mat(matrix(1, (1, 1), "traindata", roll_cell(content=b"\2" * 176))), "only 0 and 1"),
        (mat(matrix(1, (1, 1), "traindata", roll_cell(content=b"\1" * 88))), "88 bytes for its"),
        (
            mat(matrix(1, (1, 1), "traindata", matrix(9, (3, 7), "", element(2, bytes(21))))),
            "traindata[0] must be a piano-roll of shape (time, 88), got (3, 7)",
        ),
        (
            mat(matrix(1, (1, 1), "traindata", matrix(9, (1, 88), "", element(99, bytes(88))))),
            "it has numbers of the unknown type 99",
        ),
        (mat(element(14, element(6, bytes(8)) + element(5, bytes(4000)))), "4000 bytes, the limit"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        data.load(path)
    assert reason in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_cells_in_cells(tmp_path):
    """SciPy follows them until the stack of C is full."""
    inner = b""
    for _ in range(20_000):
        inner = struct.pack("<2I", 14, len(inner) + 48) + matrix(1, (1, 1), "")[8:] + inner
    (tmp_path / "a.mat").write_bytes(mat(matrix(1, (1, 1), "traindata", inner)))
    with pytest.raises(UserError, match=r"traindata\[0\] is no matrix of real numbers"):
        data.load(tmp_path / "a.mat")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "zeros", "reason"),
    [
        (30_000_000, 0, "must hold at most 20,000,000 frames in 200,000 pieces, got 30,000,000"),
        (8_000_000, 8_000_000 * 88, "it ends too early"),
    ],
)
def test_memory_is_bounded(tmp_path, frames, zeros, reason):
    """Two pieces are declared; in the second file there is one, of 700 MB in 700 kB."""
    cell = matrix(9, (frames, 88), "") + struct.pack("<2I", 2, frames * 88)
    code = (
        "import struct, zlib\n"
        "z = zlib.compressobj()\n"
        f"parts = [z.compress({matrix(1, (1, 2), 'traindata') + cell!r})]\n"
        f"parts += [z.compress(bytes(10**6)) for _ in range({zeros} // 10**6)]\n"
        "content = b''.join([*parts, z.flush()])\n"
        f"head = {mat()!r} + struct.pack('<2I', 15, len(content))\n"
        "open('a.mat', 'wb').write(head + content)\n"
    )
    megabytes, line = peak_megabytes(tmp_path, "a.mat", code)
    assert reason in line
    assert megabytes < 500

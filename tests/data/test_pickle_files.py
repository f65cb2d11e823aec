"""Pickles of chords are read as `pickle` reads them; all others are refused in one line."""

import io
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from checking_memory import peak_megabytes

from keras_deep_rnn import data
from keras_deep_rnn.data import pickle_files
from keras_deep_rnn.utils.errors import UserError

PITCHES = [[[60, 64], [], [21]], [[108], (60.0, 72)], (True, False, None)]
NEGATIVE = {"a": [-1, -300, 2**40, -(2**63), 255, 256, 65536, 1e300], "größe": "\U0001f600" * 3}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        PITCHES,
        NEGATIVE,
        {},
        [],
        (),
        "x" * 900,
        3,
        [1] * 3000,
        {"train": [[(1,), (2, 3), (4,) * 9]]},
    ],
)
def test_values_are_those_of_pickle(tmp_path, protocol, value):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    assert repr(pickle_files.load(path)) == repr(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64", "bool"])
def test_numpy_scalars_are_numbers(tmp_path, protocol, dtype):
    shared = np.dtype(dtype).type(1)
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps([(shared, np.dtype(dtype).type(0)), shared], protocol))
    value = pickle_files.load(path)
    assert value == [(1, 0), 1]
    assert type(value[1]) is type(shared.item())


def test_a_pickle_of_python_2(tmp_path):
    """Protocol 0: lists and dicts from marks, strings in quotes, a memo that counts from 1."""
    path = tmp_path / "a.pickle"
    path.write_bytes(
        b"(dp1\nS'test'\np2\n(lp3\n(I60\nL64L\ntp4\nag4\nasS'it\\'s \\xe9'\np5\nF0.5\nsVok\nI01\ns."
    )
    assert pickle_files.load(path) == {"test": [(60, 64), (60, 64)], "it's é": 0.5, "ok": True}


# A dtype with a field beyond it, whose scalar reads where the pickle says.
REACHING = (
    b"\x80\x03cnumpy\ndtype\n(U\x02V8I00\nI01\ntR(K\x03U\x01|NU\x01aq\x01\x85}h\x01"
    b"cnumpy\ndtype\nU\x02i8\x85RJ\x00\xca\x9a;\x86sK\x08K\x01K\x00tb."
)
OBJECTS = b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8\x85RU\x08AAAAAAAA\x86R."
STATE = (
    b"\x80\x02cnumpy\ndtype\nU\x02i8\x85R(K\x03U\x01<NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x3ftb."
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (REACHING, "it has a NumPy scalar that is no number"),
        (OBJECTS, "it has a NumPy scalar that is no number"),
        (STATE, "it sets the state of what is no plain NumPy dtype"),
        (STATE.replace(b"U\x01<", b"U\x01>"), "it sets the state of what is no plain NumPy dtype"),
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "it imports 'os.system', which is not allowed"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "it imports 'os.system', which is not"),
        (b"\x80\x02co\x1b[2J\nsystem\n.", r"it imports 'o\x1b[2J.system', which is not"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "it needs NEWOBJ, but only lists"),
        (b"\x80\x02cnumpy\ndtype\nU\x07__doc__U\x01xs.", "it sets keys of what is no dict"),
        (b"\x80\x02U\x01aU\x01b\x85R.", "it calls what is no function"),
        (b"\x80\x04\x8f.", "it needs EMPTY_SET, but only lists"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "it needs BYTEARRAY8, but only lists"),
        (b"\x80\x02B\xff\xff\xff\x7f.", "a string of 2147483647 bytes, the limit is 1000"),
        (b"\x80\x02T\xff\xff\xff\xff.", "a string of -1 bytes, the limit is 1000"),
        (b"(" * 1000, "it is nested deeper than 100 levels, the limit"),
        (b"}N" + b"\x85" * 100_000 + b"Ns.", "it has another value in place of a string"),
        (b"I" + b"9" * 5000 + b"\n.", "it ends within a line, or has one of more than 1000 bytes"),
        (b"I" + b"9" * 500 + b"\n.", "it has an integer of more than 64 bits"),
        (b"\x8a\xff" + b"9" * 255 + b".", "it has an integer of more than 64 bits"),
        (b"\x80\x04K\x01r" + struct.pack("<I", 2_000_000) + b".", "its memo skips more than"),
        (b"", "it ends too early"),
        (b"\xff", "it has the unknown opcode b'\\xff'"),
        (b"a.", "it is corrupt (IndexError)"),
        (b"N.", "it lacks one of them"),
    ],
)
def test_other_pickles_are_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "a.pickle"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        data.load(path)
    line = str(error.value)
    assert line.startswith(
        f"Cannot read {path} as a pickle with lists of chords under train, valid"
    )
    assert reason in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        ([(20,)], "pitch 20 is not one of the 88 keys"),
        ([(60.5,)], "pitch 60.5 is not one of the 88 keys"),
        ([("60",)], "it is corrupt (TypeError)"),
        (["60"], "a chord is no list of at most 88 pitches"),
        ([(60,) * 89], "a chord is no list of at most 88 pitches"),
        ([], "a piece is an empty list or none"),
        ("60", "a piece is an empty list or none"),
    ],
)
def test_other_content(tmp_path, piece, reason):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"train": [[(60,)], piece], "valid": [[()]], "test": [[()]]}))
    with pytest.raises(UserError) as error:
        data.load(path)
    assert reason in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "repeated",
    [
        b"]", b"}", b"N", b"\x94", b"]K\x01a", b"](K\x01K\x02K\x03e", b"\x85", b"NNN\x87",
        b"(NNNNNt", b"J\xff\xff\xff\x7f", b"G12345678", b"\x8a\x0812345678", b"}U\x01aNs",
        b"U\x02i8", b"cnumpy\ndtype\nU\x02i8\x85R",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02i8\x85RU\x08ABCDEFGH\x86R",
        b"c_codecs\nencode\nX\xc8\x00\x00\x00" + b"a" * 200 + b"X\x06\x00\x00\x00latin1\x86R",
    ],
)  # fmt: skip
def test_memory_is_never_more_than_what_is_counted(repeated):
    content = b"N" + repeated * 20_000 + b"."
    machine = pickle_files._Machine(io.BytesIO(content))
    tracemalloc.start()
    try:
        machine.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < machine.spent + 50_000


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    code = "open('a.pickle', 'wb').write(b'}' * 10_000_000)"
    megabytes, line = peak_megabytes(tmp_path, "a.pickle", code)
    assert "it takes more than 500 MB of memory, the limit: save piano-rolls in a .npz" in line
    assert 100 < megabytes < 500


def test_memory_of_repeated_pieces_is_bounded(tmp_path):
    """A piece of 100,000 chords, 100,000 times: half a megabyte that would be 880 GB."""
    chords = b"](" + b"K\x3c\x85q\x01" + b"h\x01" * 100_000 + b"eq\x02"
    content = b"}(U\x05train](" + chords + b"h\x02" * 100_000 + b"eU\x05valid]U\x04test]u."
    (tmp_path / "a.pickle").write_bytes(content)
    megabytes, line = peak_megabytes(tmp_path, "a.pickle")
    assert "must hold at most 20,000,000 frames in 200,000 pieces" in line
    assert megabytes < 100

"""The user's own data: piano-rolls and text; for MIDI files see `test_midi_folder.py`."""

import os

import numpy as np
import pytest
import scipy.io

from keras_deep_rnn import data
from keras_deep_rnn.data import text_files
from keras_deep_rnn.utils.errors import UserError


def all_rolls(dataset):
    return [roll for rolls in dataset.splits.values() for roll in rolls]


@pytest.fixture
def rolls():
    random = np.random.default_rng(1)
    return [random.integers(0, 2, (length, 88)).astype("uint8") for length in range(5, 10)]


def test_npz_with_splits(tmp_path, rolls):
    names = ("train_1", "train_2", "valid_1", "test", "validation/2")
    np.savez(tmp_path / "a.npz", **dict(zip(names, rolls, strict=True)))
    dataset = data.load(tmp_path / "a.npz")
    found = {split: [len(roll) for roll in some] for split, some in dataset.splits.items()}
    assert found == {"train": [5, 6], "validation": [7, 9], "test": [8]}
    np.testing.assert_array_equal(dataset.splits["test"][0], rolls[3])


@pytest.mark.parametrize(
    "names",
    [
        ("X_train", "X_valid", "X_test"),
        ("Xtrain", "Xval", "Xtest"),
        ("train_x", "dev_x", "test_x"),
        ("TRAIN", "VALIDATION", "TEST"),
        ("training/3", "val/1", "testing/2"),
        ("rolls_train", "rolls_dev", "rolls_test"),
    ],
)
def test_arrays_named_after_splits_stay_in_them(tmp_path, rolls, names):
    arrays = dict(zip(names, rolls, strict=False))
    np.savez(tmp_path / "a.npz", **dict(reversed(arrays.items())))
    dataset = data.load(tmp_path / "a.npz")
    for split, roll in zip(("train", "validation", "test"), rolls, strict=False):
        (found,) = dataset.splits[split]
        np.testing.assert_array_equal(found, roll)
    numbers = "1 + 1 + 1 pieces (train + validation + test)"
    assert dataset.remarks == (f"Splits: as the arrays are named, {numbers}.",)


def test_npz_without_splits(tmp_path, rolls):
    np.savez(tmp_path / "a.npz", *rolls)
    dataset = data.load(tmp_path / "a.npz")
    numbers = "3 + 1 + 1 pieces (train + validation + test)"
    assert dataset.remarks == (f"Splits: by checksum, as no arrays are named so, {numbers}.",)
    assert sorted(map(len, all_rolls(dataset))) == [5, 6, 7, 8, 9]
    assert all_rolls(dataset)[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (np.zeros((3, 7)), "a must be a piano-roll of shape (time, 88), got (3, 7)."),
        (np.full((3, 88), 2), "a must hold only 0 and 1."),
        (np.full((3, 88), np.nan), "a must hold only 0 and 1."),
        (np.zeros((0, 88)), "a must be a piano-roll of shape (time, 88), got (0, 88)."),
        (np.array([{}]), "as a .npz file of plain arrays: "),
    ],
)
def test_bad_npz(tmp_path, array, line):
    np.savez(tmp_path / "a.npz", a=array)
    with pytest.raises(UserError) as error:
        data.load(tmp_path / "a.npz")
    assert line in str(error.value)


def test_mat_and_its_damages(tmp_path, rolls):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = rolls[:2]
    one = np.empty((1, 1), object)
    one[0, 0] = rolls[2]
    path = tmp_path / "a.mat"
    variables = {"traindata": cells, "validdata": one, "testdata": one}
    scipy.io.savemat(path, variables, do_compression=True)
    dataset = data.load(path)
    assert dataset.remarks == ("Splits: those of the file.",)
    for found, roll in zip(dataset.splits["train"], rolls[:2], strict=True):
        np.testing.assert_array_equal(found, roll)
    np.testing.assert_array_equal(dataset.splits["test"][0], rolls[2])
    whole = path.read_bytes()
    damages = [whole[:cut] for cut in (0, 5, 127, 128, 140, len(whole) // 2, len(whole) - 1)]
    for first in range(136, len(whole) - 8, 20):
        hole = bytes(255 - byte for byte in whole[first : first + 8])
        damages.append(whole[:first] + hole + whole[first + 8 :])
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(UserError) as error:
            data.load(path)
        assert "\n" not in str(error.value)
    scipy.io.savemat(path, {"traindata": cells})
    with pytest.raises(UserError, match="it lacks validdata, testdata"):
        data.load(path)


def test_text(tmp_path):
    path = tmp_path / "a.txt"
    text = "".join(f"Größe {i}\r\n" for i in range(100))
    path.write_bytes(text.encode())
    dataset = data.load(path)
    how = "Splits: the last twentieth is test, the one before it validation."
    assert dataset.remarks == (how,)
    text = text.replace("\r\n", "\n")
    decoded = ["".join(dataset.vocabulary[i] for i in part[0]) for part in dataset.splits.values()]
    assert "".join(decoded) == text
    assert [len(part) for part in decoded] == [len(text) - 2 * (len(text) // 20)] + 2 * [
        len(text) // 20
    ]
    assert dataset.kind == "characters"
    assert dataset.vocabulary[dataset.start] == "\n"
    assert dataset.features == len(set(text))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_ends_of_lines(tmp_path, end):
    """Also where a part that is read ends between CR and LF, and after a byte order mark."""
    lines = ["x" * (text_files.CHUNK - 1), "Größe", "", "\N{MUSICAL SYMBOL G CLEF}"] * 2
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
    tokens, vocabulary = text_files.read(path)
    assert tokens.dtype == np.int32
    assert "".join(vocabulary[token] for token in tokens) == "\n".join(lines)
    assert list(vocabulary) == sorted(set("\n".join(lines)))


def test_where_a_long_text_is_not_utf_8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("ö".encode() * 800_000 + b"\xf6")
    with pytest.raises(UserError, match=r"a\.txt must be UTF-8 text: byte 1600000 is 0xf6, inv"):
        data.load(path)


def test_the_length_of_a_text_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("a" * 100)
    monkeypatch.setattr(text_files, "MAX_CHARACTERS", 99)
    with pytest.raises(UserError, match=r"a\.txt must hold at most 99 characters, got more\."):
        data.load(path)


@pytest.mark.parametrize("ending", [".json", ".CSV", ".xml"])
def test_formats_that_are_no_text(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_text('{"train": [[60, 64, 67]]}' * 100)
    with pytest.raises(UserError) as error:
        data.load(path)
    assert str(error.value) == (
        f"`name` must be music or text, got {str(path)!r}; {ending.lower()} is not read: save "
        "piano-rolls as .npz, or rename a text to .txt."
    )


def test_bad_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("Größe".encode("latin1") * 20)
    with pytest.raises(UserError, match=r"a\.txt must be UTF-8 text: byte 2 is 0xf6"):
        data.load(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="at least 40 characters of text, got 0"):
        data.load(path)


def test_a_path_that_is_not_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.txt")
    path.write_bytes(b"text" * 20)
    with pytest.raises(UserError, match=r"`name` must be a path whose name is UTF-8, got '.*udcff"):
        data.load(path)


def test_paths_that_are_not_there(tmp_path):
    for name in (tmp_path / "no.txt", "songs/", "songs.mid"):
        with pytest.raises(UserError, match="a data set or an existing path, got"):
            data.load(name)


@pytest.mark.parametrize("name", ["~nosuchuser/a.npz", "a" * 300, "a\0b"])
def test_paths_that_cannot_be(name):
    with pytest.raises(UserError) as error:
        data.load(name)
    assert str(error.value).startswith(f"Cannot use the path {name!r}: ")
    assert len(str(error.value).splitlines()) == 1

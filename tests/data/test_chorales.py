"""The embedded data set: how scores become frames, and that no tune is on two sides."""

import hashlib
import pathlib

import numpy as np
import pytest

from keras_deep_rnn import data
from keras_deep_rnn.data.builders import chorale_split, chorales, tunes
from keras_deep_rnn.utils.errors import UserError

music21 = pytest.importorskip("music21")


def score_of(**voices):
    """A music21 score from {part name: [(pitch or None, quarter length), ...]}."""
    score = music21.stream.Score()
    for name, notes in voices.items():
        part = music21.stream.Part()
        part.partName = name
        for pitch, length in notes:
            note = music21.note.Note(pitch) if pitch else music21.note.Rest()
            note.quarterLength = length
            part.append(note)
        score.append(part)
        part.offset = 0
    for part in score.parts:
        score.setElementOffset(part, 0)
    return score


def keys(roll):
    return [(np.flatnonzero(frame) + 21).tolist() for frame in roll]


def test_a_frame_holds_what_sounds_at_its_beginning():
    score = score_of(Soprano=[(72, 1), (74, 0.5), (76, 0.5), (77, 2)], Bass=[(48, 1.5), (50, 2.5)])
    assert keys(chorales.piano_roll(score)) == [[48, 72], [48, 74], [50, 77], [50, 77]]


def test_instruments_are_left_out():
    score = score_of(Alto=[(65, 2)], Trumpet=[(84, 2)])
    assert keys(chorales.piano_roll(score)) == [[65], [65]]


def test_short_rests_stay_and_long_ones_go():
    score = score_of(Tenor=[(None, 1), (60, 1), (None, 3), (62, 1), (None, 4), (64, 1)])
    assert keys(chorales.piano_roll(score)) == [[60], [], [], [], [62], [64]]


def test_every_name_stands_once_in_the_split():
    names = [name for split in chorale_split.SPLIT.values() for name in split]
    assert len(names) == len(set(names)) == 409
    assert {split: len(some) for split, some in chorale_split.SPLIT.items()} == {
        "train": 327,
        "validation": 41,
        "test": 41,
    }


@pytest.fixture
def few(monkeypatch):
    """The data set with three chorales, to build it in a second."""
    split = {"train": ["bwv253"], "validation": ["bwv255"], "test": ["bwv254"]}
    monkeypatch.setattr(chorales, "SPLIT", split)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_prepared_once(tmp_path, monkeypatch):
    made = data.load("bach_chorales", data_dir=tmp_path, progress=False)
    assert data.describe("bach_chorales", data_dir=tmp_path)["prepared"]
    monkeypatch.setattr(chorales, "build", None)
    again = data.load("bach_chorales", data_dir=tmp_path, progress=False)
    assert made.checksum == again.checksum
    assert made.kind == "piano_roll"
    assert made.features == 88
    assert (made.step, made.quarter_length) == ("quarter note", 1.0)
    for split in ("train", "validation", "test"):
        (one,), (other,) = made.splits[split], again.splits[split]
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.uint8
        assert one.sum(axis=1).max() == 4


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_progress_is_shown(tmp_path, capsys):
    data.load("bach_chorales", data_dir=tmp_path / "shown")
    assert "3/3" in capsys.readouterr().err
    data.load("bach_chorales", data_dir=tmp_path / "quiet", progress=False)
    shown = capsys.readouterr()
    assert "3/3" not in shown.err + shown.out


def test_a_missing_score(tmp_path, monkeypatch):
    split = {"train": ["bwv253"], "validation": ["bwv9999"], "test": ["bwv254"]}
    monkeypatch.setattr(chorales, "SPLIT", split)
    with pytest.raises(
        UserError, match="lacks 1 of the chorales, such as bwv9999: pip install music21==10.5.1"
    ):
        data.load("bach_chorales", data_dir=tmp_path, progress=False)


def test_melodies_align_whatever_the_key_and_the_rhythm():
    tune = np.array([2, 2, -4, 5, -1, 2, -2, -5])
    ornamented = np.insert(tune, 4, 1)
    other = np.array([1, -3, 4, -4, 3, 3, -6, 1])
    same, decorated, different = tunes.similarities(tune, [tune, ornamented, other])
    assert same == 1
    assert decorated == 7 / 8
    assert different < tunes.SAME_TUNE


def test_tunes_in_a_chain_are_one_group():
    one, two = np.arange(10), np.arange(10, 20)
    both = np.concatenate([one, two])
    far = np.arange(50, 60)
    assert tunes.groups([one, far, two, both]) == [[0, 2, 3], [1]]


def test_a_tune_is_in_one_split():
    melodies = [np.arange(10) + 100 * (i // 2) for i in range(40)]
    names = [f"piece{i}" for i in range(40)]
    splits = tunes.split(names, melodies)
    assert [len(group) for groups in splits.values() for group in groups] == [2] * 20
    assert {split: 2 * len(groups) for split, groups in splits.items()} == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }


@pytest.mark.slow
def test_no_tune_is_on_two_sides(request):
    """The whole set is built for this, half a minute, and kept between runs in pytest's cache."""
    sources = [pathlib.Path(module.__file__) for module in (chorales, chorale_split)]
    code = b"".join(source.read_bytes() for source in sources) + music21.__version__.encode()
    folder = request.config.cache.mkdir(f"bach_chorales_{hashlib.sha256(code).hexdigest()[:16]}")
    dataset = data.load("bach_chorales", data_dir=folder, progress=False)
    melodies = {split: [tunes.melody(r) for r in rolls] for split, rolls in dataset.splits.items()}
    # The lowest voice as well: two settings with one bass would be near-duplicates.
    basses = {
        split: [tunes.melody(r[:, ::-1]) for r in rolls] for split, rolls in dataset.splits.items()
    }
    for lines in (melodies, basses):
        for held_out, rest in (("validation", ["train"]), ("test", ["train", "validation"])):
            others = [line for split in rest for line in lines[split]]
            highest = max(tunes.similarities(line, others).max() for line in lines[held_out])
            assert highest < tunes.SAME_TUNE
    if music21.__version__ == "10.5.1":
        assert {split: sum(map(len, rolls)) for split, rolls in dataset.splits.items()} == {
            "train": 18169,
            "validation": 2476,
            "test": 2170,
        }

"""Splits of the user's own pieces."""

import numpy as np
import pytest

from keras_deep_rnn.data import splits
from keras_deep_rnn.utils.errors import UserError


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Training TRAIN train_1 X_train trainX train-set train_data 1.train"),
        ("validation", "valid Validation VAL dev development x_valid val.2 devset validation_set"),
        ("test", "test Testing TEST y_test test_x testset Jazz-test"),
        (None, "trainings contest validity eval tests data x 1 train_test train_val_test"),
    ],
)
def test_names_of_splits(split, names):
    assert {name: splits.of_name(name) for name in names.split()} == dict.fromkeys(
        names.split(), split
    )


def make(*names):
    pieces = {name: np.full((2, 88), i % 2, "uint8") for i, name in enumerate(names)}
    return splits.make("songs", pieces, "folders", lambda name: name.split("/")[:-1])


def test_splits_at_any_depth():
    made, how = make("a/Train/x/1", "a/Train/2", "b/train/3", "a/dev/1", "TEST/b/1")
    assert {split: len(pieces) for split, pieces in made.items()} == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }
    numbers = "3 + 1 + 1 pieces (train + validation + test)"
    assert how == f"Splits: as the folders are named, {numbers}."


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (
            ("train/1", "test/1"),
            "songs must hold pieces for every split (train, validation, test), got none for "
            "validation.",
        ),
        (
            ("train/1",),
            "songs must hold pieces for every split (train, validation, test), got none for "
            "validation and test.",
        ),
        (
            ("train/1", "extra\n/1"),
            "songs has pieces in splits (train, validation, test), such as train/1, and some that "
            "are not, such as 'extra\\n/1': put all into splits, or none.",
        ),
        (
            ("test/train/1", "test/valid/1", "test/test/1"),
            "songs has a piece in two splits (test and train), test/train/1: pass the folder of "
            "its splits, or rename the others.",
        ),
        (("1", "2"), "songs must hold at least 3 different pieces, got 2."),
    ],
)
def test_splits_that_cannot_be_kept(names, line):
    with pytest.raises(UserError) as error:
        make(*names)
    assert str(error.value) == line

"""Small data sets and runs for the tests of training."""

import json

import numpy as np
import pytest

from keras_deep_rnn.data import Dataset
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.callbacks import Backup
from keras_deep_rnn.training.config import Settings

TINY = {"units": 6, "transition_units": (5,), "output_units": (4,), "batch_size": 3}
TEXT = "the quick brown fox jumps over the lazy dog\n"


def music():
    """Pieces in which a key is held for some frames."""
    random = np.random.default_rng(0)
    return {
        split: [
            np.repeat(random.random((length, 88)) < 0.05, 3, axis=0)[1:].astype("uint8")
            for length in lengths
        ]
        for split, lengths in (("train", (3, 2, 3, 2, 3)), ("validation", (3, 2)), ("test", (2, 3)))
    }


def dataset(kind):
    facts = {"step": "step", "version": "1", "checksum": "abc", "description": "made up"}
    if kind == "piano_roll":
        return Dataset(kind, kind, music(), quarter_length=1.0, **facts)
    vocabulary = tuple(sorted(set(TEXT)))
    if kind == "words":
        vocabulary = ("<eos>", *sorted(set(TEXT.split())))
        tokens = [vocabulary.index(word) for word in TEXT.replace("\n", " <eos>").split()]
    else:
        tokens = [vocabulary.index(character) for character in TEXT]
    splits = {
        split: [np.array(tokens * times, "int32")]
        for split, times in (("train", 3), ("validation", 1), ("test", 2))
    }
    return Dataset(kind, kind, splits, vocabulary=vocabulary, **facts)


def settings(kind="piano_roll", **more):
    return Settings(kind, **{**TINY, "epochs": 3, "recurrent_dropout": 0.3, **more})


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the package catches it."""


def train_until(monkeypatch, epoch, chosen, out, **options):
    """Trains, and stops dead in an epoch between its row of history.csv and its backup."""
    original = Backup.on_epoch_end

    def killing(self, number, logs=None):
        if number == epoch:
            raise Killed
        original(self, number, logs)

    with monkeypatch.context() as patched:
        patched.setattr(Backup, "on_epoch_end", killing)
        with pytest.raises(Killed):
            training.train(chosen, out, log=lambda line: None, **options)


def edit(folder, name, changes, *, keep_checksum=False):
    """Changes sections of a JSON file of a run; a value of None is left out.

    Without its checksum the file is one of an earlier version.
    """
    content = json.loads((folder / name).read_text())
    if not keep_checksum:
        content.pop("checksum", None)
    for section, change in changes.items():
        changed = {**content[section], **change}
        content[section] = {name: value for name, value in changed.items() if value is not None}
    (folder / name).write_text(json.dumps(content))

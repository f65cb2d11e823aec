"""The user's own data: a folder of MIDI files, piano-rolls in a file, or a text.

Changes of the files take effect at once; `Dataset.checksum` shows them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import ArgumentError, UserError
from . import files, midi_folder, splits, text_files
from .builders import polyphonic
from .dataset import SPLITS, VERSION, Dataset

# Endings of formats that are no text, though they can be read as one.
NO_TEXT = (".csv", ".json", ".jsonl", ".musicxml", ".tsv", ".xml")


def load(path: Path, **options: Any) -> Dataset:
    """Loads the user's own data.

    Args:
        path: Existing path. A folder: its `.mid` and `.midi` files, at any depth, with folders
            train, validation and test (see `splits.of_name`) as splits, if it has them. `.npz`:
            arrays (T, 88), of which all or none are named after splits ("train_1"). `.mat`:
            traindata, validdata, testdata. `.pickle` or `.pkl`: chords as in the original files of
            the literature. Other files: UTF-8 text, whose tokens are characters, with any of the
            usual ends of lines.
        options: Of `midi_folder.load`, for a folder.

    Returns:
        A `Dataset`. Pieces without splits are sorted by checksum: a tenth are test, a tenth
        validation, and equal pieces are in the same split. The last twentieth of a text is test,
        the one before it validation. `Dataset.remarks` says so.

    Raises:
        UserError: There is nothing to read, or a file is corrupt.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ArgumentError("name", "a path whose name is UTF-8", str(path)) from None
    try:
        if path.is_dir():
            return midi_folder.load(path, **options)
        suffix = path.suffix.lower()
        if suffix in (".npz", ".mat", ".pickle", ".pkl"):
            return _rolls_file(path, suffix)
        if suffix in (".mid", ".midi"):
            raise ArgumentError("name", "a folder of MIDI files, a split needs several", str(path))
        if suffix in NO_TEXT:
            mend = f"; {suffix} is not read: save piano-rolls as .npz, or rename a text to .txt."
            raise ArgumentError("name", "music or text", str(path), mend)
        return _text(path)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def _rolls_file(path: Path, suffix: str) -> Dataset:
    how = "Splits: those of the file."
    if suffix == ".npz":
        rolls = polyphonic.read_npz(path)
        made, how = splits.make(path, rolls, "arrays", lambda name: name.split("/"))
    elif suffix == ".mat":
        made = polyphonic.read_mat(path)
    else:
        made = polyphonic.read_pickle(path)
    splits.check(path, made)
    return Dataset(
        name=str(path),
        kind="piano_roll",
        splits=made,
        step="time step",
        version=VERSION,
        checksum=files.sha256(path),
        description=f"piano-rolls in {path}",
        remarks=(how,),
    )


def _text(path: Path) -> Dataset:
    tokens, vocabulary = text_files.read(path)
    held_out = len(tokens) // 20
    if held_out < 2:
        raise UserError(f"{path} must hold at least 40 characters of text, got {len(tokens)}.")
    ends = (len(tokens) - 2 * held_out, len(tokens) - held_out)
    return Dataset(
        name=str(path),
        kind="characters",
        splits={split: [part] for split, part in zip(SPLITS, np.split(tokens, ends))},
        step="character",
        version=VERSION,
        checksum=files.sha256(path),
        description=f"{len(tokens)} characters of {path}",
        vocabulary=vocabulary,
        remarks=("Splits: the last twentieth is test, the one before it validation.",),
    )

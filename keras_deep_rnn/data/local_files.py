"""The user's own data: a folder of MIDI files, piano-rolls in a file, or a text.

It is never cached, so changes of the files take effect at once; `Dataset.checksum` shows them.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

from ..utils.errors import ArgumentError, UserError
from . import files, midi_files, text_files
from .builders import polyphonic
from .dataset import VERSION, Dataset, Splits

SPLIT_NAMES = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}

# Endings of formats that are no text, though they can be read as one.
NO_TEXT = (".csv", ".json", ".jsonl", ".musicxml", ".tsv", ".xml")


def load(path: Path, *, progress: bool = True) -> Dataset:
    """Loads the user's own data.

    Args:
        path: Existing path. A folder: its `.mid` and `.midi` files, with folders train, validation
            (or valid) and test as splits, if it has them. `.npz`: arrays (T, 88), whose names all
            start with the split ("train_1") or none. `.mat`: traindata, validdata, testdata.
            `.pickle` or `.pkl`: chords as in the original files of the literature. Other files:
            UTF-8 text, whose tokens are characters, with any of the usual ends of lines.
        progress: Whether to show a progress bar for a folder of MIDI files.

    Returns:
        A `Dataset`. Pieces without splits are sorted by checksum: a tenth are test, a tenth
        validation, and equal pieces are in the same split. The last twentieth of a text is test,
        the one before it validation.

    Raises:
        UserError: There is nothing to read, or a file is corrupt.
    """
    try:
        if path.is_dir():
            return _midi_folder(path, progress)
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


def _midi_folder(path: Path, progress: bool) -> Dataset:
    paths = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".mid", ".midi"))
    if not paths:
        raise UserError(f"{path} must hold MIDI files (.mid or .midi), got none.")
    rolls = midi_files.read(paths, progress)
    names = [p.relative_to(path).as_posix() for p in paths]
    listing = "".join(f"{name}\n{files.sha256(p)}\n" for name, p in zip(names, paths, strict=True))
    return Dataset(
        name=str(path),
        kind="piano_roll",
        splits=_splits(path, dict(zip(names, rolls, strict=True)), separator="/"),
        step="sixteenth note",
        quarter_length=midi_files.QUARTER_LENGTH,
        version=VERSION,
        checksum=hashlib.sha256(listing.encode()).hexdigest(),
        description=f"{len(paths)} MIDI files in {path}",
    )


def _rolls_file(path: Path, suffix: str) -> Dataset:
    if suffix == ".npz":
        splits = _splits(path, polyphonic.read_npz(path), separator="_./-")
    elif suffix == ".mat":
        splits = polyphonic.read_mat(path)
    else:
        splits = polyphonic.read_pickle(path)
    _no_empty_split(path, splits)
    return Dataset(
        name=str(path),
        kind="piano_roll",
        splits=splits,
        step="time step",
        version=VERSION,
        checksum=files.sha256(path),
        description=f"piano-rolls in {path}",
    )


def _splits(path: Path, rolls: dict[str, np.ndarray], separator: str) -> Splits:
    """Splits named piano-rolls by the beginnings of their names, or by checksum."""
    pattern = re.compile(f"({'|'.join(SPLIT_NAMES)})([{separator}]|$)", re.IGNORECASE)
    matches = {name: pattern.match(name) for name in rolls}
    found = {name: match.group(1).lower() if match else None for name, match in matches.items()}
    if not any(found.values()):
        return _split_by_checksum(path, list(rolls.values()))
    without = [name for name, split in found.items() if split is None]
    if without:
        raise UserError(
            f"{path} has pieces in splits (train, validation, test) and some that are not, "
            f"such as {without[0]}: put all into splits, or none."
        )
    splits = {split: [] for split in polyphonic.SPLITS}
    for name, roll in rolls.items():
        splits[SPLIT_NAMES[found[name] or ""]].append(roll)
    _no_empty_split(path, splits)
    return splits


def _split_by_checksum(path: Path, rolls: list[np.ndarray]) -> Splits:
    pieces = {}
    for roll in rolls:
        pieces.setdefault(hashlib.sha256(roll.tobytes()).digest(), []).append(roll)
    if len(pieces) < 3:
        raise UserError(f"{path} must hold at least 3 different pieces, got {len(pieces)}.")
    held_out = max(1, round(len(pieces) / 10))
    order = [pieces[checksum] for checksum in sorted(pieces)]
    parts = (order[2 * held_out :], order[held_out : 2 * held_out], order[:held_out])
    return {
        split: [roll for equal in part for roll in equal]
        for split, part in zip(polyphonic.SPLITS, parts, strict=True)
    }


def _no_empty_split(path: Path, splits: Splits) -> None:
    empty = [split for split, rolls in splits.items() if not len(rolls)]
    if empty:
        raise UserError(f"{path} must hold pieces for every split, got none for {empty[0]}.")


def _text(path: Path) -> Dataset:
    tokens, vocabulary = text_files.read(path)
    held_out = len(tokens) // 20
    if held_out < 2:
        raise UserError(f"{path} must hold at least 40 characters of text, got {len(tokens)}.")
    ends = (len(tokens) - 2 * held_out, len(tokens) - held_out)
    return Dataset(
        name=str(path),
        kind="characters",
        splits={split: [part] for split, part in zip(polyphonic.SPLITS, np.split(tokens, ends))},
        step="character",
        version=VERSION,
        checksum=files.sha256(path),
        description=f"{len(tokens)} characters of {path}",
        vocabulary=vocabulary,
    )

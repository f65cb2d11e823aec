"""Splits of piano-rolls of 88 keys in `.npz` and `.mat` files and in original pickles."""

import itertools
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.errors import UserError, first_line
from .. import mat_files, npz_files, pickle_files
from ..dataset import KEYS, LOWEST_PITCH, SPLITS, Splits
from ..piano_rolls import RollReader

MAT_KEYS = ("traindata", "validdata", "testdata")
PICKLE_KEYS = ("train", "valid", "test")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Reads the piano-rolls of a `.npz` file.

    Returns:
        {name: uint8 array (T, 88)} of all arrays.

    Raises:
        UserError: The file is corrupt, too large, or holds anything else.
    """
    rolls = RollReader(path)
    with _one_line(path, "a .npz file of plain arrays"):
        packed = {name: rolls.read(name, array) for name, array in npz_files.arrays(path)}
    if not packed:
        raise UserError(f"{path} must hold arrays of shape (time, 88), got none.")
    return {name: roll.unpack() for name, roll in packed.items()}


def read_mat(path: Path) -> Splits:
    """Reads the splits of a `.mat` file from the variables traindata, validdata and testdata.

    Returns:
        {"train": pieces, "validation": pieces, "test": pieces}, lists of uint8 arrays (T, 88).

    Raises:
        UserError: The file is corrupt, too large, or lacks one of these variables.
    """
    rolls, packed = RollReader(path), {}
    with _one_line(path, "a .mat file"):
        for variable, cells in mat_files.variables(path, MAT_KEYS):
            packed[variable] = [
                rolls.read(f"{variable}[{i}]", cell) for i, cell in enumerate(cells)
            ]
    missing = [key for key in MAT_KEYS if key not in packed]
    if missing:
        raise UserError(
            f"{path} must hold the variables {', '.join(MAT_KEYS)}; it lacks {', '.join(missing)}."
        )
    return {
        split: [roll.unpack() for roll in packed[key]]
        for split, key in zip(SPLITS, MAT_KEYS, strict=True)
    }


def read_pickle(path: Path) -> Splits:
    """Reads the splits of an original pickle: for each a list of pieces, which are lists of chords.

    Returns:
        {"train": pieces, "validation": pieces, "test": pieces}, lists of uint8 arrays (T, 88).

    Raises:
        UserError: The pickle needs more than lists, tuples and numbers, is corrupt, too large, or
            has other content.
    """
    with _one_line(path, f"a pickle with lists of chords under {', '.join(PICKLE_KEYS)}"):
        content = pickle_files.load(path)
        if not isinstance(content, dict) or not set(PICKLE_KEYS) <= set(content):
            raise ValueError("it lacks one of them")
        pieces = {s: content[key] for s, key in zip(SPLITS, PICKLE_KEYS, strict=True)}
        rolls = RollReader(path)
        for split in SPLITS:
            for piece in _items(pieces[split], "a split"):
                rolls.count(len(_items(piece, "a piece")))
        # All chords are checked before any piano-roll is made.
        for piece in itertools.chain.from_iterable(pieces.values()):
            for chord in piece:
                _keys(chord)
        return {split: [_roll(piece) for piece in pieces[split]] for split in SPLITS}


@contextmanager
def _one_line(path: Path, kind: str) -> Iterator[None]:
    """Raises whatever a reader raises for a file that it cannot read as a one-line `UserError`."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, OSError, zlib.error, zipfile.BadZipFile) as error:
        reason = first_line(error).rstrip(".")
        raise UserError(f"Cannot read {path} as {kind}: {reason}.") from error
    except Exception as error:
        reason = f"it is corrupt ({type(error).__name__})"
        raise UserError(f"Cannot read {path} as {kind}: {reason}.") from error


def _items(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"{name} is an empty list or none")
    return value


def _keys(chord: Any) -> list[int]:
    """The keys of a chord."""
    if not isinstance(chord, (list, tuple)) or len(chord) > KEYS:
        raise ValueError(f"a chord is no list of at most {KEYS} pitches")
    for pitch in chord:
        if pitch - LOWEST_PITCH not in range(KEYS):
            raise ValueError(f"pitch {pitch} is not one of the {KEYS} keys")
    return [int(pitch) - LOWEST_PITCH for pitch in chord]


def _roll(piece: Sequence[Any]) -> np.ndarray:
    roll = np.zeros((len(piece), KEYS), "uint8")
    for frame, chord in zip(roll, piece, strict=True):
        frame[_keys(chord)] = 1
    return roll

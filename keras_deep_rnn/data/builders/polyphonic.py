"""Reads piano-rolls of 88 keys from `.mat` files and, without running code, original pickles."""

import pickle
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...utils.errors import UserError, first_line, missing_extra
from ..dataset import KEYS, LOWEST_PITCH, Splits

SPLITS = ("train", "validation", "test")
MAT_KEYS = ("traindata", "validdata", "testdata")
PICKLE_KEYS = ("train", "valid", "test")


def read_mat(path: Path) -> Splits:
    """Reads the splits of a `.mat` file from the variables traindata, validdata and testdata.

    Returns:
        {"train": pieces, "validation": pieces, "test": pieces}, lists of uint8 arrays (T, 88).

    Raises:
        UserError: The file is corrupt, or lacks one of these variables.
    """
    variables = load_mat(path)
    missing = [key for key in MAT_KEYS if key not in variables]
    if missing:
        raise UserError(
            f"{path} must hold the variables {', '.join(MAT_KEYS)}; it lacks {', '.join(missing)}."
        )
    return {
        split: [
            piano_roll(roll, f"{path}: {key}[{i}]")
            for i, roll in enumerate(np.atleast_1d(np.squeeze(variables[key])))
        ]
        for split, key in zip(SPLITS, MAT_KEYS, strict=True)
    }


def load_mat(path: Path) -> dict[str, Any]:
    """Reads the variables of a `.mat` file.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise missing_extra("scipy", "data") from None
    try:
        variables = loadmat(path)
        _verify_compression(path)
    except Exception as error:  # SciPy raises any kind of error for a corrupt file
        raise UserError(f"Cannot read {path} as a .mat file: {first_line(error)}.") from error
    return {key: value for key, value in variables.items() if not key.startswith("__")}


def _verify_compression(path: Path) -> None:
    """Verifies the checksums of compressed variables, which SciPy ignores.

    A level 5 file has a header of 128 bytes, the last two for the byte order, and then elements:
    type and size, four bytes each, and content. Type 15 is compressed.
    """
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    position = 128
    while order and position < len(content):
        kind, size = struct.unpack_from(order + "2I", content, position)
        position += 8 + size
        if position > len(content):
            raise ValueError("it ends within a variable")
        if kind == 15:
            zlib.decompress(content[position - size : position])


def read_pickle(path: Path) -> Splits:
    """Reads the splits of an original pickle: for each a list of pieces, which are lists of chords.

    No code of the pickle is run: it may import NumPy's scalars, which the original files have, and
    nothing else.

    Returns:
        {"train": pieces, "validation": pieces, "test": pieces}, lists of uint8 arrays (T, 88).

    Raises:
        UserError: The pickle imports something else, is corrupt, or has other content.
    """
    try:
        with open(path, "rb") as file:
            content = _ScalarsOnly(file, encoding="latin1").load()
        return {
            split: [_from_chords(piece) for piece in content[key]]
            for split, key in zip(SPLITS, PICKLE_KEYS, strict=True)
        }
    except pickle.UnpicklingError as error:
        raise UserError(f"Cannot read {path}: {first_line(error)}.") from error
    except Exception as error:  # unpickling raises any kind of error
        raise UserError(
            f"Cannot read {path} as a pickle with lists of chords under "
            f"{', '.join(PICKLE_KEYS)}: {type(error).__name__}: {first_line(error)}."
        ) from error


class _ScalarsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if name == "scalar" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            # Its module differs between versions of NumPy; that of a scalar is the installed one.
            return np.int64(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"it imports {module}.{name}, which is not allowed")


def _from_chords(piece: Sequence[Iterable[int]]) -> np.ndarray:
    roll = np.zeros((len(piece), KEYS), "uint8")
    for t, chord in enumerate(piece):
        for pitch in chord:
            key = int(pitch) - LOWEST_PITCH
            if not 0 <= key < KEYS:
                raise ValueError(f"pitch {pitch} is not one of the 88 keys")
            roll[t, key] = 1
    return roll


def piano_roll(roll: ArrayLike, name: str) -> np.ndarray:
    """`roll` as uint8 (T, 88); errors name it `name`."""
    roll = np.asarray(roll)
    if roll.ndim != 2 or roll.shape[1] != KEYS or not len(roll):
        raise UserError(f"{name} must be a piano-roll of shape (time, 88), got {roll.shape}.")
    if roll.dtype.kind not in "biuf" or not np.isin(roll, (0, 1)).all():
        raise UserError(f"{name} must hold only 0 and 1.")
    return roll.astype("uint8")

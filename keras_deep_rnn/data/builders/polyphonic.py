"""Piano-rolls of 88 keys from `.mat` files and from the original pickles, without running them."""

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
    """The splits of a `.mat` file with the variables traindata, validdata and testdata.

    Returns:
        dict from "train", "validation", "test" to lists of uint8 arrays (T, 88).

    Raises:
        UserError: if the file is damaged, or does not hold such variables.
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
    """The variables of a `.mat` file by name, or a `UserError` when it cannot be read."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise missing_extra("scipy", "data") from None
    try:
        variables = loadmat(path)
        _verify_compression(path)
    except Exception as error:  # a damaged file fails in as many ways as the format has parts
        raise _damaged(path, error) from error
    return {key: value for key, value in variables.items() if not key.startswith("__")}


def _verify_compression(path: Path) -> None:
    """Compares the compressed variables with their checksums, which SciPy does not.

    A level 5 file is a header of 128 bytes, whose last two say the byte order, and then elements:
    type and size, four bytes each, and the content; type 15 is compressed.
    """
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    position = 128
    while order and position < len(content):
        kind, size = struct.unpack_from(order + "2I", content, position)
        position += 8 + size
        if position > len(content):
            raise ValueError("a variable goes on behind the end of the file")
        if kind == 15:
            zlib.decompress(content[position - size : position])


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read as a .mat file, it is damaged or cut off: {first_line(error)}."
    )


def read_pickle(path: Path) -> Splits:
    """The splits of an original pickle: per split a list of pieces, each a list of chords.

    Nothing in the pickle is called: the only names that it may ask for are those of NumPy's
    scalars, which the original files hold.

    Returns:
        dict from "train", "validation", "test" to lists of uint8 arrays (T, 88).

    Raises:
        UserError: if the pickle asks for anything else, is damaged, or holds something else.
    """
    try:
        with open(path, "rb") as file:
            content = _ScalarsOnly(file, encoding="latin1").load()
        return {
            split: [_from_chords(piece) for piece in content[key]]
            for split, key in zip(SPLITS, PICKLE_KEYS, strict=True)
        }
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}.") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        raise UserError(
            f"{path} cannot be read as a pickle with lists of chords under "
            f"{', '.join(PICKLE_KEYS)}: {type(error).__name__}: {first_line(error)}."
        ) from error


class _ScalarsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if name == "scalar" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            # Where NumPy keeps it differs between its versions; a scalar tells it by itself.
            return np.int64(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")


def _from_chords(piece: Sequence[Iterable[int]]) -> np.ndarray:
    roll = np.zeros((len(piece), KEYS), "uint8")
    for t, chord in enumerate(piece):
        for pitch in chord:
            key = int(pitch) - LOWEST_PITCH
            if not 0 <= key < KEYS:
                raise ValueError(f"pitch {pitch} is not one of the 88 keys")
            roll[t, key] = 1
    return roll


def piano_roll(roll: ArrayLike, what: str) -> np.ndarray:
    """`roll` as uint8 (T, 88), or a `UserError` that names `what`."""
    roll = np.asarray(roll)
    if roll.ndim != 2 or roll.shape[1] != KEYS or not len(roll):
        raise UserError(f"{what} must be a piano-roll of shape (time, 88), got {roll.shape}.")
    if roll.dtype.kind not in "biuf" or not np.isin(roll, (0, 1)).all():
        raise UserError(f"{what} must hold only 0 and 1.")
    return roll.astype("uint8")

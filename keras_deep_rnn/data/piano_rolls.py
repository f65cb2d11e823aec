"""Piano-rolls of a file while it is read: numbers are checked as they come and kept as bits.

So a file that is refused in the end took an eighth of what its piano-rolls would have taken.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..utils.errors import UserError
from ..utils.limits import MAX_FRAMES, MAX_PIECES
from .dataset import KEYS

# Numbers that are read at a time; a multiple of 8, so that their bits fill whole bytes.
CHUNK = 1 << 17


class StoredArray(NamedTuple):
    """An array of a file, of which only the description has been read.

    Attributes:
        shape: Its shape.
        dtype: Type of its numbers.
        order: "C" if the last axis varies fastest, "F" if the first does.
        read: Returns the next bytes of its numbers, exactly as many as it is asked for.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    order: Literal["C", "F"]
    read: Callable[[int], bytes]


class PackedRoll(NamedTuple):
    """A piano-roll as bits, in the order of its file."""

    bits: np.ndarray
    frames: int
    order: Literal["C", "F"]

    def unpack(self) -> np.ndarray:
        """The piano-roll, uint8 (T, 88)."""
        flat = np.unpackbits(self.bits, count=self.frames * KEYS)
        return np.ascontiguousarray(flat.reshape((self.frames, KEYS), order=self.order))


class RollReader:
    """Reads the piano-rolls of one file and counts what it makes.

    Args:
        path: The file, for errors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = self.pieces = 0

    def read(self, name: str, array: StoredArray) -> PackedRoll:
        """Reads one piano-roll.

        Raises:
            UserError: It has another shape or other numbers than 0 and 1, or there are more than
                `MAX_FRAMES` or `MAX_PIECES` in the file.
        """
        shape, dtype, order, read = array
        name = name if name.isprintable() else repr(name)
        if len(shape) != 2 or shape[1] != KEYS or not shape[0] > 0:
            raise UserError(
                f"{self.path}: {name} must be a piano-roll of shape (time, 88), got {shape}."
            )
        if dtype.kind not in "biuf":
            raise self._not_binary(name)
        self.count(shape[0])
        left, bits = shape[0] * KEYS, []
        while left:
            numbers = np.frombuffer(read(min(left, CHUNK) * dtype.itemsize), dtype)
            ones = numbers == 1
            if not (ones | (numbers == 0)).all():
                raise self._not_binary(name)
            bits.append(np.packbits(ones))
            left -= len(numbers)
        return PackedRoll(np.concatenate(bits), shape[0], order)

    def count(self, frames: int, pieces: int = 1) -> None:
        """Counts pieces before they are made.

        Raises:
            UserError: There are more than `MAX_FRAMES` or `MAX_PIECES` in the file.
        """
        self.frames += frames
        self.pieces += pieces
        if self.frames > MAX_FRAMES or self.pieces > MAX_PIECES:
            raise UserError(
                f"{self.path} must hold at most {MAX_FRAMES:,} frames in {MAX_PIECES:,} pieces, "
                f"got {self.frames:,} in {self.pieces:,} or more: split it into several files."
            )

    def _not_binary(self, name: str) -> UserError:
        return UserError(f"{self.path}: {name} must hold only 0 and 1.")

"""Reads cell arrays of `.mat` files (MATLAB level 5: `save` with -v6 or -v7) cell by cell.

SciPy reads these files too, but believes the sizes that they declare, follows cells in cells as
deep as they go, and ignores the checksums of compressed variables.

A file has a header of 128 bytes and then elements: a tag with type and size, four bytes each, and
content, which is padded to eight bytes. A variable is an element that consists of elements: flags
with its class, dimensions, name, and numbers or cells, which are variables without a name. It may
be compressed, in an element of its own.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from ..utils.files import read_exactly
from .piano_rolls import StoredArray

HEADER = 128
# Types of elements.
MATRIX, COMPRESSED = 14, 15
DTYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
# Classes of variables. OPAQUE ones consist of other elements.
CELL, NUMBERS, OPAQUE = 1, range(6, 16), 17
COMPLEX = 0x0800
# Longest flags, dimensions or name.
MAX_DESCRIPTION = 1000
# Compressed bytes that are read at a time.
CHUNK = 1 << 16


def variables(path: Path, names: Sequence[str]) -> Iterator[tuple[str, Iterator[StoredArray]]]:
    """Finds variables of a `.mat` file.

    Args:
        path: The file.
        names: Names of cell arrays with matrices of numbers; other variables are passed over.

    Yields:
        Name and cells of each. The numbers of a cell are read before the next one is asked for,
        and all cells before the next variable is.

    Raises:
        ValueError: The file is of another level, holds something else or is corrupt.
        zlib.error: A compressed variable is corrupt.
    """
    end = path.stat().st_size
    with open(path, "rb") as file:
        order = _byte_order(file.read(HEADER))
        while file.tell() < end:
            kind, size = struct.unpack(order + "2I", read_exactly(file, 8))
            variable_end = file.tell() + size
            if variable_end > end:
                raise ValueError("it ends within a variable")
            content = _Inflated(file, size) if kind == COMPRESSED else file
            if kind == COMPRESSED:
                kind, _ = struct.unpack(order + "2I", read_exactly(content, 8))
            if kind == MATRIX:
                elements = _Elements(content, order)
                variable = elements.description()
                if variable is not None and variable.name in names:
                    yield variable.name, elements.cells(variable)
                    if isinstance(content, _Inflated):
                        content.verify_end()
                    if file.tell() != variable_end:
                        raise ValueError(f"{variable.name} has another size than it declares")
            file.seek(variable_end)


def _byte_order(header: bytes) -> str:
    """Checks the header of a file; returns the sign of its byte order."""
    order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
    if order is None:
        raise ValueError("it is not of MATLAB level 5: save it with -v7")
    (version,) = struct.unpack(order + "H", header[124:126])
    if version >> 8 == 2:
        raise ValueError("it is of MATLAB v7.3, which is HDF5: save it with -v7")
    return order


class _Variable(NamedTuple):
    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str


class _Elements:
    """The elements of a variable, read one after another."""

    def __init__(self, file: Any, order: str) -> None:
        self.file, self.order = file, order

    def description(self) -> _Variable | None:
        """Reads the elements that every variable begins with; None for an opaque one."""
        flags = self._array()
        if len(flags) != 2:
            raise ValueError("it has a variable with broken flags")
        kind = int(flags[0]) & 0xFF
        if kind == OPAQUE:
            return None
        shape, name = self._array(), self._array()
        return _Variable(
            kind, int(flags[0]), tuple(map(int, shape)), name.tobytes().decode("latin1")
        )

    def cells(self, variable: _Variable) -> Iterator[StoredArray]:
        """Finds the cells of a cell array."""
        if variable.kind != CELL:
            raise ValueError(f"{variable.name} is no cell array")
        for i in range(math.prod(variable.shape)):
            name = f"{variable.name}[{i}]"
            kind, size, _ = self._tag()
            if kind != MATRIX:
                raise ValueError(f"{name} is no matrix")
            if size == 0:
                raise ValueError(f"{name} is empty")
            cell = self.description()
            if cell is None or cell.kind not in NUMBERS or cell.flags & COMPLEX:
                raise ValueError(f"{name} is no matrix of real numbers, or a sparse one")
            kind, size, _ = self._tag()
            dtype = self._dtype(kind)
            if size != math.prod(cell.shape) * dtype.itemsize:
                raise ValueError(f"{name} has {size} bytes for its shape {cell.shape}")
            yield StoredArray(cell.shape, dtype, "F", lambda n: read_exactly(self.file, n))
            self._skip_padding(size)

    def _array(self) -> np.ndarray:
        """Reads a short element of numbers."""
        kind, size, content = self._tag()
        if size > MAX_DESCRIPTION:
            raise ValueError(
                f"it has a description of {size} bytes, the limit is {MAX_DESCRIPTION}"
            )
        if content is None:
            content = read_exactly(self.file, size)
            self._skip_padding(size)
        return np.frombuffer(content, self._dtype(kind))

    def _tag(self) -> tuple[int, int, bytes | None]:
        """Reads type and size; and the content, where it is in the tag: at most four bytes."""
        tag = read_exactly(self.file, 8)
        kind, size = struct.unpack(self.order + "2I", tag)
        if kind >> 16:
            return kind & 0xFFFF, kind >> 16, tag[4 : 4 + (kind >> 16)]
        return kind, size, None

    def _skip_padding(self, size: int) -> None:
        read_exactly(self.file, -size % 8)

    def _dtype(self, kind: int) -> np.dtype:
        if kind not in DTYPES:
            raise ValueError(f"it has numbers of the unknown type {kind}")
        return np.dtype(DTYPES[kind]).newbyteorder(cast(Any, self.order))


class _Inflated:
    """What the next `size` bytes of a file are when decompressed, read as from a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size
        self.inflate, self.compressed = zlib.decompressobj(), b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        while True:
            content = self.inflate.decompress(self.compressed, size)
            self.compressed = self.inflate.unconsumed_tail
            if content or self.inflate.eof or not self.left:
                return content
            self.compressed = read_exactly(self.file, min(self.left, CHUNK))
            self.left -= len(self.compressed)

    def verify_end(self) -> None:
        """Verifies that nothing is left, and with it the checksum."""
        if self.read(1) or not self.inflate.eof or self.inflate.unused_data or self.left:
            raise ValueError("it has a compressed variable of another size than it declares")

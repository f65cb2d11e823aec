"""Reads `.npz` files array by array."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from ..utils.files import open_zip, read_exactly
from .piano_rolls import StoredArray

SUFFIX = ".npy"
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def arrays(path: Path) -> Iterator[tuple[str, StoredArray]]:
    """Finds the arrays of a `.npz` file.

    Args:
        path: The file.

    Yields:
        Name and description of each; its numbers are read before the next one is asked for.

    Raises:
        Exception: Of many kinds; the file is corrupt, encrypted or holds something else.
    """
    with open_zip(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(SUFFIX):
                raise ValueError(f"{member.filename!r} is no array")
            with archive.open(member) as file:
                yield member.filename.removesuffix(SUFFIX), _stored_array(file, member.filename)
                if file.read(1):
                    raise ValueError(f"{member.filename!r} holds more than its array")


def _stored_array(file: IO[bytes], name: str) -> StoredArray:
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"{name!r} has a header of version {version}")
    shape, fortran_order, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name!r} holds objects")
    order = "F" if fortran_order else "C"
    return StoredArray(shape, dtype, order, partial(read_exactly, file))

"""Reads UTF-8 text as characters."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..utils.errors import UserError
from ..utils.limits import MAX_CHARACTERS

# Characters that are read at a time.
CHUNK = 1 << 20


def read(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a text twice, for its vocabulary and for its tokens, so that a wrong one takes little.

    Args:
        path: The file. A byte order mark is left out; CR LF and CR are ends of lines, as LF is.

    Returns:
        Tokens, an int32 array (N,); and the vocabulary, characters by code point.

    Raises:
        UserError: The text is not UTF-8, or longer than `MAX_CHARACTERS`.
    """
    length, vocabulary = 0, set()
    for part in _parts(path):
        length += len(part)
        vocabulary.update(part)
        if length > MAX_CHARACTERS:
            raise UserError(f"{path} must hold at most {MAX_CHARACTERS:,} characters, got more.")
    characters = sorted(vocabulary)
    codes = np.array([ord(character) for character in characters])
    tokens, position = np.empty(length, "int32"), 0
    for part in _parts(path):
        part_codes = np.frombuffer(part.encode("utf-32-le"), "<u4")
        tokens[position : position + len(part)] = np.searchsorted(codes, part_codes)
        position += len(part)
    return tokens, tuple(characters)


def _parts(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8-sig") as file:
        try:
            while part := file.read(CHUNK):
                yield part
        except UnicodeDecodeError as error:
            # Its positions count from the beginning of what was decoded last.
            read = cast(BinaryIO, file.buffer).tell()
            position = read - len(error.object) + error.start
            raise UserError(
                f"{path} must be UTF-8 text: byte {position} is "
                f"{error.object[error.start]:#04x}, {error.reason}."
            ) from error

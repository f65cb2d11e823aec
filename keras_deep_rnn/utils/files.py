"""Atomic writes of files and folders, with one-line errors."""

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import UserError
from .types import PathLike

# Folder of temporary files, beside the files that they become; nothing reads it.
PARTIAL = ".partial"
# Reasons for which a file cannot be written at any moment, as the system words them.
_REASONS = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
)


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Writes a file or folder atomically: to a temporary path, which then replaces `path`.

    The temporary path has the same name, in its own folder under `.partial` beside `path`. If the
    block fails or the process is killed, `path` is unchanged. What replaces it is on the disk
    before, so that a machine that loses its power has either.

    Args:
        path: File or folder to write. A folder must not exist yet.

    Yields:
        The temporary path, at which nothing exists.

    Raises:
        UserError: The path cannot be written; with the system's reason, such as a full disk.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "note.txt")
    >>> with replacing(path) as partial:
    ...     _ = partial.write_text("whole")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('whole', 1)
    """
    path = Path(path)
    folder = path.parent / PARTIAL / secrets.token_hex(8)
    partial = folder / path.name
    try:
        with write_errors(path):
            _make(folder)
            remove(partial)
            yield partial
            _sync(partial)
            os.replace(partial, path)
            with contextlib.suppress(OSError):  # some file systems cannot sync folders
                _sync_one(path.parent, os.O_RDONLY)
    finally:
        remove(folder)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _make(folder: Path) -> None:
    """Makes a folder and its parent, which another process may remove while it is empty."""
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.parent.mkdir(exist_ok=True)
            folder.mkdir(exist_ok=True)
            return
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)


def _sync(path: Path) -> None:
    """Writes a file, or all files of a folder, from memory to the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            _sync(inner)
    else:
        _sync_one(path, os.O_RDWR)


def _sync_one(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def write_errors(path: PathLike) -> Iterator[None]:
    """Raises failed writes, of the system, HDF5 or TensorFlow, as a one-line `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # TensorFlow has a class of its own
        if _reason(error) is None:
            raise
        raise cannot_write(path, error) from error


def cannot_write(path: PathLike, error: Exception) -> UserError:
    """The one-line error of a failed write."""
    return UserError(f"Cannot write {str(path)!r}: {_reason(error) or error}.")


def _reason(error: Exception) -> str | None:
    """The system's reason, such as "No space left on device"; None for any other error."""
    number = getattr(error, "errno", None)
    if number:
        return os.strerror(number)
    # HDF5 and TensorFlow wrap the system's error in several lines.
    text = " ".join(str(error).split())
    if "error message = '" in text:
        return text.split("error message = '")[1].split("'")[0]
    return next((reason for reason in _REASONS if reason in text), None)


def remove(path: Path) -> None:
    """Deletes a file or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: PathLike, value: Any) -> None:
    """Writes `value` as JSON, atomically."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """What JSON can hold: None in place of numbers that are not finite.

    Example:

    >>> finite({"loss": [1.5, float("nan")]})
    {'loss': [1.5, None]}
    """
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Atomic writes of files and folders, bounded reads, paths; all with one-line errors."""

import contextlib
import errno
import functools
import hashlib
import io
import itertools
import json
import math
import os
import secrets
import shutil
import socket
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from .errors import UserError, first_line
from .limits import MAX_JSON_BYTES, MAX_UNSTORED_BYTES, MAX_ZIP_DIRECTORY_BYTES
from .lock import held
from .types import PathLike

# Folder of temporary files, beside the files that they become; nothing reads it.
PARTIAL = ".partial"
# Reasons for which a file cannot be written at any moment, as the system words them.
_REASONS = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
)


@contextlib.contextmanager
def replacing(path: PathLike, beside: PathLike | None = None) -> Iterator[Path]:
    """Writes a file or folder atomically: to a temporary path, which then replaces `path`.

    The temporary path has the same name, in its own folder under `.partial` beside `path`. If the
    block fails or the process is killed, `path` is unchanged; the folder of a killed process is
    removed by the next one. What replaces it is on the disk before, so that a machine that loses
    its power has either.

    Args:
        path: File or folder to write. A folder must not exist yet.
        beside: Path beside which the temporary one lies, on the same file system, where it must not
            lie beside `path`; None: `path`.

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
    parent = (path if beside is None else Path(beside)).parent / PARTIAL
    with write_errors(path):
        folder, lock = _make_own(parent)
    partial = folder / path.name
    try:
        with write_errors(path):
            _remove_abandoned(parent)
            yield partial
            _sync(partial)
            os.replace(partial, path)
            with contextlib.suppress(OSError):  # some file systems cannot sync folders
                _sync_one(path.parent, os.O_RDONLY)
    finally:
        remove(folder)
        if lock is not None:
            os.close(lock)
        with contextlib.suppress(OSError):
            parent.rmdir()


def _make_own(parent: Path) -> tuple[Path, int | None]:
    """Makes a folder that this process holds, see `held`; returns both."""
    for attempt in itertools.count():
        folder = parent / f"{_machine()}-{secrets.token_hex(8)}"
        try:
            parent.mkdir(exist_ok=True)
            folder.mkdir()
            lock = held(folder, wait=True)
            if folder.exists():
                return folder, lock
            if lock is not None:
                os.close(lock)
        except (FileNotFoundError, FileExistsError):  # others remove what is empty or not held
            if attempt == 100:
                raise
    raise AssertionError  # it goes on until it returns or raises


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders that nobody holds any more, of processes of this machine."""
    for folder in parent.glob(f"{_machine()}-*"):
        with contextlib.suppress(OSError):
            lock = held(folder)
            if lock is not None:
                remove(folder)
                os.close(lock)


@functools.cache
def _machine() -> str:
    """A name of this machine for file names."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


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


def read_json(path: PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is corrupt, larger than `MAX_JSON_BYTES`, or nested too deeply.
    """
    with open(path, "rb") as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it has more than {MAX_JSON_BYTES // 10**6} MB, the limit")
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """The value of JSON.

    Raises:
        ValueError: It is corrupt, or nested too deeply.

    Example:

    >>> parse_json(b"[" * 10**6)
    Traceback (most recent call last):
    ValueError: it is nested too deeply
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class Readable(Protocol):
    """A file, or what is read like one."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def read_exactly(file: Readable, size: int) -> bytes:
    """The next `size` bytes of a file.

    Raises:
        ValueError: There are fewer.
    """
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    if size:
        raise ValueError("it ends too early")
    return b"".join(parts)


@contextlib.contextmanager
def open_zip(path: PathLike, *, stored: bool = False) -> Iterator[zipfile.ZipFile]:
    """Opens a zip file for reading.

    Args:
        path: The file.
        stored: Whether its members are not compressed, so that they are as large as the file.

    Raises:
        OSError: It cannot be read.
        ValueError: Its directory has more than `MAX_ZIP_DIRECTORY_BYTES`, or a member is encrypted
            or compressed in another way than deflated; or `stored` is not so.
        zipfile.BadZipFile: It is corrupt.
    """
    with _ZipBytes(path) as file, zipfile.ZipFile(file) as archive:
        file.limit = sys.maxsize  # from here on members are read, which can be large
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise ValueError(f"{member.filename!r} is encrypted")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename!r} is compressed, but not deflated")
        if stored:
            verify_stored("its members", sum(m.file_size for m in archive.infolist()), path)
        yield archive


def verify_stored(part: str, size: int, path: PathLike) -> None:
    """Verifies that a file can hold a part of `size` bytes which is not compressed.

    Raises:
        ValueError: The part is larger than `MAX_UNSTORED_BYTES` and than twice the file.
    """
    available = Path(path).stat().st_size
    if size > max(2 * available, MAX_UNSTORED_BYTES):
        raise ValueError(f"{part} would take {size:,} bytes, and the file has only {available:,}")


class _ZipBytes(io.FileIO):
    """A zip file, from which `zipfile` reads its directory of members at once, then the members.

    Attributes:
        limit: The most bytes to read at once.
    """

    limit = MAX_ZIP_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes."""
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > self.limit:
            raise ValueError(f"its directory has more than {self.limit // 10**6} MB, the limit")
        return super().read(size) or b""


def user_path(value: PathLike) -> Path:
    """A path that a user gives, with `~` expanded; it need not exist.

    Raises:
        UserError: The system can have no such path: it is too long, or in the home folder of a user
            who does not exist.

    Example:

    >>> user_path("~/songs") == Path.home() / "songs"
    True
    """
    try:
        path = Path(value).expanduser()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error).rstrip(".")
        raise UserError(f"Cannot use the path {str(value)!r}: {reason}.") from None
    return path

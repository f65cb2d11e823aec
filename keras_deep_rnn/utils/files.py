"""Files that appear whole or not at all."""

import contextlib
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

# What is being written lies here, beside its place; nothing ever reads it.
PARTIAL = ".partial"


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Gives a temporary path to write to, which then takes the place of `path` in one step.

    The temporary path has the same name, in a folder of its own under `.partial` beside
    `path`. When the block fails or the process is killed, `path` is as it was before.

    Args:
        path: File or folder to write. A folder must not exist.

    Yields:
        The temporary path; nothing is there.

    Raises:
        UserError: The path cannot be written, with the system's reason (disk full, no permission).

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
        with one_line(path):
            _make(folder)
            remove(partial)
            yield partial
            os.replace(partial, path)
    finally:
        remove(folder)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _make(folder: Path) -> None:
    """Makes a folder and the one around it, which others may be removing as it was empty."""
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.parent.mkdir(exist_ok=True)
            folder.mkdir(exist_ok=True)
            return
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)


@contextlib.contextmanager
def one_line(path: PathLike) -> Iterator[None]:
    """Turns what the system or HDF5 says about a write that failed into one line."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise UserError(f"Cannot write {str(path)!r}: {reason}.") from error


def _reason(error: Exception) -> str | None:
    """The system's reason, as "No space left on device", or None if it is another error."""
    number = getattr(error, "errno", None)
    if number:
        return os.strerror(number)
    # HDF5 reports the system's error within several lines of its own.
    text = " ".join(str(error).split())
    if "error message = '" in text:
        return text.split("error message = '")[1].split("'")[0]
    return None


def remove(path: Path) -> None:
    """Deletes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: PathLike, value: Any) -> None:
    """Writes `value` as JSON, whole or not at all."""
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

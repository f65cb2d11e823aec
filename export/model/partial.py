"""A temporary folder beside the place that its content will take."""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".partial"


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder `.NAME-*.partial` beside `path`, and deletes it in the end.

    What a killed process has left is deleted by the next one with the same `path`. It is told from
    a folder in use by the system's lock (`flock`), which ends with its process.

    Raises:
        OSError: The folder cannot be made.
    """
    _delete_abandoned(path)
    folder, lock = _make(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(path: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(SUFFIX, f".{path.name}-", path.parent))
        # Until it is locked, another process may take it for abandoned and delete it.
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _lock(folder: Path) -> int:
    """Locks a folder: the descriptor.

    Raises:
        BlockingIOError: Another process has locked it.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _delete_abandoned(path: Path) -> None:
    for folder in path.parent.glob(f".{glob.escape(path.name)}-*{SUFFIX}"):
        with contextlib.suppress(OSError):
            lock = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

"""A lock that one process holds at a time, and that tells the others who holds it."""

import contextlib
import datetime
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# File systems without locks, such as some of clusters.
_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
# Seconds that a new owner has to write who it is.
_PATIENCE = 1.0
_MAX_BYTES = 1000


class InUseError(UserError):
    """Another process holds the lock; the line names it."""


@contextlib.contextmanager
def locked(path: Path, what: str, *, wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Holds a lock file, which exists while it is held.

    The system (`flock`) frees the lock when the process ends, also if it is killed; the file that
    is left then is taken over. Where the system or the file system has no locks, nothing is
    locked.

    Args:
        path: `Path` of the lock file, in an existing folder.
        what: What the lock stands for, such as the path of a folder.
        wait: Called once with the line of the error if another process holds the lock, before
            waiting for it. None: the error is raised.

    Raises:
        InUseError: Another process holds the lock, and `wait` is None.
        OSError: The file cannot be written.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "lock")
    >>> with locked(path, "'runs/bach'"), locked(path, "'runs/bach'"):  # doctest: +ELLIPSIS
    ...     pass
    Traceback (most recent call last):
    keras_deep_rnn.utils.lock.InUseError: 'runs/bach' is in use by process ... on ... since ...
    >>> path.exists()
    False
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _lock(descriptor, what, wait):
                wait = _silent  # it has been called
            if not os.fstat(descriptor).st_nlink:
                continue  # the last owner has deleted the file
            with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
                _sign(descriptor)
            try:
                yield
            finally:
                # While it is locked: who has opened it already starts over with a new file.
                with contextlib.suppress(OSError):
                    path.unlink()
            return
        finally:
            os.close(descriptor)


def held(folder: Path, *, wait: bool = False) -> int | None:
    """Holds a folder until the process ends, or `os.close` of what it returns.

    Args:
        folder: An existing folder.
        wait: Whether to wait for another who holds it.

    Returns:
        A file descriptor; None where the folder is held by another, or there are no locks.

    Raises:
        OSError: The folder cannot be opened.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _silent(line: str) -> None:
    pass


def _lock(descriptor: int, what: str, wait: Callable[[str], object] | None) -> bool:
    """Locks a file; whether another process had locked it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        line = f"{what} is in use by {_owner(descriptor)}."
        if wait is None:
            raise InUseError(line) from None
        wait(line)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return False


def _sign(descriptor: int) -> None:
    """Writes who holds the lock."""
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    owner = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)


def _owner(descriptor: int) -> str:
    """Who holds the lock, in words."""
    end, found = time.monotonic() + _PATIENCE, "another process"
    while True:
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            owner: Any = json.loads(os.pread(descriptor, _MAX_BYTES, 0))
            found = f"process {owner['process']} on {owner['host']} since {owner['since']}"
            if not _is_dead(owner["process"], owner["host"]):
                return found
        # The new owner has not written yet: the file is empty, or names one that was killed.
        if time.monotonic() > end:
            return found
        time.sleep(0.02)


def _is_dead(process: int, host: str) -> bool:
    """Whether a process was one of this machine and has ended."""
    if host != socket.gethostname():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user
        pass
    return False

"""The state of a search: a file with a checksum, and the state before it as a backup.

One process writes; anyone may read at any time. A state is on the disk when `save` returns.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ...utils.errors import UserError
from ...utils.files import replacing

STATE, BACKUP = "state.json", "state.backup.json"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the state; the one before becomes the backup.

    Args:
        folder: `Path` of the folder of the search.
        state: Dict that JSON can hold, without NaN.

    Raises:
        UserError: It cannot be written; the state and its backup are as they were.
        ValueError: A number is not finite.
    """
    text = _sealed(state)
    before, wrong = _read(folder / STATE)
    if not wrong:  # a damaged state must not take the place of a sound backup
        write_to_disk(folder / BACKUP, _sealed(before))
    write_to_disk(folder / STATE, text)


def load(folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The state that was saved last.

    Args:
        folder: `Path` of the folder of the search.

    Returns:
        The state, None before the first; and a line for the user if it is the one of the
        backup, else None.

    Raises:
        UserError: Neither the state nor its backup can be used.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> save(folder, {"trials": 1})
    >>> save(folder, {"trials": 2})
    >>> load(folder)
    ({'trials': 2}, None)
    >>> _ = (folder / STATE).write_text("half a sta")
    >>> load(folder)
    ({'trials': 1}, 'state.json is damaged; went on from state.backup.json.')
    """
    state, wrong = _read(folder / STATE)
    if not wrong:
        return state, None
    backup, wrong_too = _read(folder / BACKUP)
    if not wrong_too:
        return backup, f"{STATE} is {wrong}; went on from {BACKUP}."
    if wrong == wrong_too == "missing":
        return None, None
    raise UserError(
        f"{str(folder / STATE)!r} is {wrong} and {BACKUP} is {wrong_too}: "
        "restore one of them, or start anew with --overwrite."
    )


def write_to_disk(path: Path, text: str, mode: int = 0o666) -> None:
    """Writes a file whole or not at all; it is on the disk when this returns.

    Args:
        path: `Path` of the file.
        text: Its content.
        mode: Its permissions, which it has before its content.

    Raises:
        UserError: It cannot be written.
    """
    with replacing(path) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    # The new name must be on the disk too; some file systems cannot be asked.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def unreadable(path: Path, error: OSError) -> UserError:
    """The line for a file that the system does not read."""
    return UserError(f"Cannot read {str(path)!r}: {error.strerror}.")


def _read(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The state in a file, and what is wrong with it; one of both is None."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        if content["checksum"] == _checksum(_canonical(content["state"])):
            return content["state"], None
    except (FileNotFoundError, NotADirectoryError):
        return None, "missing"
    except (ValueError, KeyError, TypeError, RecursionError, IsADirectoryError):
        pass
    except OSError as error:
        raise unreadable(path, error) from None
    return None, "damaged"


def _sealed(state: Any) -> str:
    """The text of a state with its checksum."""
    text = _canonical(state)
    return f'{{"checksum": "{_checksum(text)}", "state": {text}}}\n'


def _canonical(state: Any) -> str:
    """The one text of a state."""
    return json.dumps(state, allow_nan=False, separators=(",", ":"))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()

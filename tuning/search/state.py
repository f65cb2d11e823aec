"""The state file of a search, with a checksum, and a backup of the previous state.

One process writes; others may read at any time. `save` returns after the state is on the disk.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from ...utils.errors import UserError
from ...utils.files import replacing

STATE, BACKUP = "state.json", "state.backup.json"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the state; the previous one becomes the backup.

    Args:
        folder: `Path` of the folder of the search.
        state: Dict for JSON, without NaN.

    Raises:
        UserError: The file cannot be written; state and backup are unchanged.
        ValueError: A number is not finite.
    """
    text = _with_checksum(state)
    previous, fault = _read(folder / STATE)
    if not fault:  # a damaged state must not replace an intact backup
        write_to_disk(folder / BACKUP, _with_checksum(previous))
    write_to_disk(folder / STATE, text)


def load(folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Loads the state that was saved last.

    Args:
        folder: `Path` of the folder of the search.

    Returns:
        The state, or None before the first `save`; and a warning if it is the backup, or None.

    Raises:
        UserError: Both the state and its backup are missing or damaged.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> save(folder, {"trials": 1})
    >>> save(folder, {"trials": 2})
    >>> load(folder)
    ({'trials': 2}, None)
    >>> _ = (folder / STATE).write_text("half a sta")
    >>> load(folder)
    ({'trials': 1}, 'state.json is damaged; continued from state.backup.json.')
    """
    state, fault = _read(folder / STATE)
    if not fault:
        return state, None
    backup, backup_fault = _read(folder / BACKUP)
    if not backup_fault:
        return backup, f"{STATE} is {fault}; continued from {BACKUP}."
    if fault == backup_fault == "missing":
        return None, None
    raise UserError(
        f"{str(folder / STATE)!r} is {fault} and {BACKUP} is {backup_fault}: "
        "restore one of them, or restart with --overwrite."
    )


def write_to_disk(path: Path, text: str) -> None:
    """Writes a text atomically.

    Raises:
        UserError: The file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def unreadable(path: Path, error: OSError) -> UserError:
    """The error for a file that cannot be read."""
    return UserError(f"Cannot read {str(path)!r}: {error.strerror}.")


def _read(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The state in a file and None, or None and the fault: "missing" or "damaged"."""
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


def _with_checksum(state: Any) -> str:
    """The content of a state file."""
    text = _canonical(state)
    return f'{{"checksum": "{_checksum(text)}", "state": {text}}}\n'


def _canonical(state: Any) -> str:
    """The canonical JSON of a state."""
    return json.dumps(state, allow_nan=False, separators=(",", ":"))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()

"""The numbered folder of an export, written atomically."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ...utils.errors import ArgumentError, Words
from ...utils.files import replacing, user_path, write_errors
from ...utils.validation import positive_integer

# What may stand in a URL, in a path, on a terminal and in TF Serving's configuration as it is.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
LARGEST = 2**63 - 1


class Version:
    """A new version.

    Args:
        path: Folder that holds the versions of the model.
        number: That of the new one, at least 1; None takes the one after the highest.
        name: Name of the model; None takes that of the folder.

    Raises:
        UserError: The version exists, or an argument is not what it must be.
    """

    def __init__(
        self, path: str | os.PathLike[str], number: int | None = None, name: str | None = None
    ) -> None:
        self.path = user_path(path)
        number = next_version(self.path) if number is None else number
        self.number = checked_version("version", number)
        if name is None:
            self.name = checked_name("path", self.path.resolve().name, ", at its end")
        else:
            self.name = checked_name("name", name)
        if self.folder.exists():
            hint = f": {self.folder} exists already."
            raise ArgumentError("version", "a new one", self.number, hint)

    @property
    def folder(self) -> Path:
        """Path of the version."""
        return self.path / str(self.number)

    @contextlib.contextmanager
    def written(self) -> Iterator[Path]:
        """Yields a folder to create and fill, which is then renamed into place.

        It lies beside `path`: a server that watches `path` never sees half a version. If the block
        fails, nothing is left of it; see `replacing`.

        Raises:
            UserError: The folder cannot be written, with the system's reason.
        """
        with write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder, beside=self.path) as folder:
                yield folder
                self.path.mkdir(exist_ok=True)


def next_version(path: Path) -> int:
    """The number after the highest version in `path`."""
    if path.exists() and not path.is_dir():
        raise ArgumentError("path", "a folder", Words(f"the file {path}"))
    folders = path.iterdir() if path.exists() else ()
    return max((int(folder.name) for folder in folders if folder.name.isdecimal()), default=0) + 1


def checked_name(argument: str, name: object, where: str = "") -> str:
    """The name of a model, which must be one for TF Serving's configuration and its URLs.

    Example:

    >>> checked_name("name", "../bach")
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.ArgumentError: `name` must be a name of letters, ... got ...
    """
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        expected = f"a name of letters, digits, '.', '_' and '-', at most 128{where}"
        raise ArgumentError(argument, expected, name)
    return name


def checked_version(argument: str, number: object) -> int:
    """The number of a version, which must be one for TF Serving."""
    number = positive_integer(argument, number)
    if number > LARGEST:
        raise ArgumentError(argument, "below 2**63, as TF Serving reads it", Words(number))
    return number

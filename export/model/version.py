"""The numbered folder of an export, written atomically."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...utils.errors import ArgumentError, Words
from ...utils.files import user_path
from ...utils.validation import optional, positive_integer

# What may stand in a URL, in a path and in TF Serving's configuration as it is.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
# TensorFlow looks for the files of the weights by a pattern that begins with the path.
PATTERN = frozenset("*?[\\")


def check_loadable(path: str | os.PathLike[str]) -> None:
    """Checks that TensorFlow can load a model at `path`: it takes some characters for a pattern.

    Raises:
        UserError: The absolute path has one of these characters.
    """
    path = str(Path(path).expanduser().absolute())
    if set(path) & PATTERN:
        expected = f"a path without {' '.join(sorted(PATTERN))}, which TensorFlow cannot load from"
        raise ArgumentError("path", expected, path)


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
        self.number = optional(positive_integer)("version", number) or next_version(self.path)
        self.name = _checked_name(self.path, name)
        if self.number >= 2**63:
            raise ArgumentError(
                "version", "below 2**63, as TF Serving reads it", Words(self.number)
            )
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
        fails, nothing is left of it.

        Raises:
            UserError: The folder cannot be written, with the system's reason.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            prefix = f".{self.path.name}-"
            beside = Path(tempfile.mkdtemp(prefix=prefix, dir=self.path.parent))
        except OSError as error:
            raise _not_writable(error) from None
        try:
            # One level deeper: mkdtemp's own folder is closed to other users, such as a server's.
            folder = beside / self.folder.name
            yield folder
            self.path.mkdir(exist_ok=True)
            os.rename(folder, self.folder)
        except OSError as error:
            raise _not_writable(error) from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def next_version(path: Path) -> int:
    """The number after the highest version in `path`."""
    if path.exists() and not path.is_dir():
        raise ArgumentError("path", "a folder", Words(f"the file {path}"))
    folders = path.iterdir() if path.exists() else ()
    return max((int(folder.name) for folder in folders if folder.name.isdecimal()), default=0) + 1


def _checked_name(path: Path, name: str | None) -> str:
    """The name of the model, which must be one for TF Serving's configuration and its URLs."""
    of, where = ("path", " at its end") if name is None else ("name", "")
    name = path.resolve().name if name is None else name
    if not re.fullmatch(NAME, name):
        raise ArgumentError(of, f"a name of letters, digits, '.', '_' and '-'{where}", name)
    return name


def _not_writable(error: OSError) -> ArgumentError:
    return ArgumentError("path", "a folder that can be written", hint=f": {error}.")

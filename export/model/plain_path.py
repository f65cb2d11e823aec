"""Paths as TensorFlow takes them."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def plain_path(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to `folder` that TensorFlow can load from.

    TensorFlow searches the files of a checkpoint by a pattern, in which `*`, `?`, brackets and a
    backslash are no characters of a name. A folder with one of them in its path is reached through
    a link.

    Example:

    >>> with plain_path("served/bach/1") as path:
    ...     print(path)
    served/bach/1
    >>> with plain_path("served [old]/bach/1") as path:
    ...     print(path.name, "[" in str(path))
    1 False
    """
    folder = Path(folder)
    if not re.search(r"[*?\[\]\\]", str(folder.absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory() as beside:
        link = Path(beside, folder.name)
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link

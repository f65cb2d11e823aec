"""Values as a reader sees them."""

from pathlib import Path
from typing import Any

from .types import PathLike


def duration(seconds: float) -> str:
    """Seconds for a reader.

    Example:

    >>> duration(8.2), duration(75), duration(3700)
    ('8 s', '1 min 15 s', '1 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def as_option(name: str) -> str:
    """An argument's name as its option on the command line.

    Example:

    >>> as_option("transition_units")
    '--transition-units'
    """
    return "--" + name.replace("_", "-")


def with_tilde(path: PathLike) -> str:
    """A path with `~` for the home folder, as a shell takes it.

    Example:

    >>> with_tilde(Path.home() / "runs"), with_tilde("/srv/runs")
    ('~/runs', '/srv/runs')
    """
    path = Path(path)
    if path.is_relative_to(Path.home()):
        return str(Path("~") / path.relative_to(Path.home()))
    return str(path)


def printable(text: str) -> str:
    """A line whose control characters are visible, so that none of them steers a terminal.

    Example:

    >>> print(printable("Bach" + chr(27) + "[31m"))
    Bach\\x1b[31m
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def csv_cell(value: Any) -> Any:
    """A value for a cell of a CSV file; a spreadsheet runs no text as a formula.

    Example:

    >>> csv_cell("=1+1"), csv_cell("tanh"), csv_cell(-0.5)
    ("'=1+1", 'tanh', -0.5)
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return "'" + value
    return value

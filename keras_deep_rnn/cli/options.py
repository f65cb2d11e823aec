"""Options of the command line: what each kind of value looks like, and what is wrong with others.

Each function makes what stands beside the type in a parameter's annotation, as in
`units: Annotated[int | None, whole("Width of h.")] = None`. An option that is not given has the
parameter's default.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
import typer.core

from ..utils.errors import ArgumentError, UserError

BY_HAND = "Folder of files that were downloaded by hand."
PREPARED = "Folder of prepared data; else the one of TensorFlow Datasets."
A_RUN = "Folder of a finished run."

Number = TypeVar("Number", int, float)


class Command(typer.core.TyperCommand):
    """A command whose errors begin with what the user typed: --units, not the argument `units`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ArgumentError as error:
            typed = {parameter.name: parameter.opts[0] for parameter in self.params}
            name = typed.get(error.argument.partition("[")[0])
            if name is None:
                raise
            name = name if name.startswith("-") else name.upper()
            raise UserError(error.message(name)) from error
        except UserError as error:
            raise UserError(self._as_typed(str(error))) from error

    def _as_typed(self, message: str) -> str:
        names = {parameter.name: parameter.opts[0] for parameter in self.params}

        def typed(found: re.Match[str]) -> str:
            name = names.get(found[1])
            if name is None:
                return found[0]
            return name if name.startswith("-") else name.upper()

        return re.sub(r"^`(\w+)(\[\d+\])?`", typed, message)


def text(help: str, panel: str | None = None) -> Any:
    """A name or a text."""
    return _option(help, panel)


def path(help: str, panel: str | None = None) -> Any:
    """A file or a folder."""
    return _option(help, panel)


def whole(help: str, panel: str | None = None) -> Any:
    """An integer."""
    return _option(help, panel, parser=_whole, metavar="N")


def real(help: str, panel: str | None = None) -> Any:
    """A number."""
    return _option(help, panel, parser=_real, metavar="X")


def sizes(help: str, panel: str | None = None) -> Any:
    """Widths of layers."""
    return _option(help, panel, parser=_sizes, metavar="N,N,...")


def flag(name: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help, rich_help_panel=panel)


def argument(help: str) -> Any:
    """A value that must stand before the options."""
    return typer.Argument(help=help, show_default=False)


def _option(help: str, panel: str | None, **more: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=panel, **more)


def _whole(value: Any) -> int:
    return _parsed(int, value, value, "an integer")


def _real(value: Any) -> float:
    return _parsed(float, value, value, "a number")


def _sizes(value: Any) -> tuple[int, ...]:
    parts = value.split(",")
    return tuple(_parsed(int, part, value, "integers separated by commas") for part in parts)


def _parsed(kind: Callable[[str], Number], part: Any, value: Any, expected: str) -> Number:
    if not isinstance(part, str):
        return part  # the parameter's own default
    try:
        return kind(part)
    except ValueError:
        raise typer.BadParameter(f"expected {expected}, got {value!r}.") from None


# Of each type of value: what reads it, and what stands for it in the help.
PARSERS: dict[type, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "N"),
    float: (_real, "X"),
    tuple: (_sizes, "N,N,..."),
}

"""Options of the command line: what each kind of value looks like, and what is wrong with others.

Each function makes the annotation of a command's parameter. An option that is not given is None
unless the parameter has a default of its own.
"""

import re
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from .errors import UserError


class Command(typer.core.TyperCommand):
    """A command whose errors begin with what the user typed: --units, not the argument `units`."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise UserError(self._as_typed(str(error))) from error

    def _as_typed(self, message):
        names = {parameter.name: parameter.opts[0] for parameter in self.params}

        def typed(found):
            name = names.get(found[1])
            if name is None:
                return found[0]
            return name if name.startswith("-") else name.upper()

        return re.sub(r"^`(\w+)(\[\d+\])?`", typed, message)


def text(help, panel=None):
    """A name or a text."""
    return _option(str, help, panel)


def path(help, panel=None):
    """A file or a folder."""
    return _option(Path, help, panel)


def whole(help, panel=None):
    """An integer."""
    return _option(int, help, panel, parser=_whole, metavar="N")


def real(help, panel=None):
    """A number."""
    return _option(float, help, panel, parser=_real, metavar="X")


def sizes(help, panel=None):
    """Widths of layers."""
    return _option(tuple, help, panel, parser=_sizes, metavar="N,N,...")


def flag(name, help, panel=None):
    """An option without a value."""
    return Annotated[bool, typer.Option(name, help=help, rich_help_panel=panel)]


def argument(help):
    """A value that must stand before the options."""
    return Annotated[str, typer.Argument(help=help, show_default=False)]


def _option(kind, help, panel, **more):
    option = typer.Option(help=help, rich_help_panel=panel, **more)
    return Annotated[kind | None, option]


def _whole(value):
    return _parsed(int, value, value, "an integer")


def _real(value):
    return _parsed(float, value, value, "a number")


def _sizes(value):
    parts = value.split(",")
    return tuple(_parsed(int, part, value, "integers separated by commas") for part in parts)


def _parsed(kind, part, value, expected):
    if not isinstance(part, str):
        return part  # the parameter's own default
    try:
        return kind(part)
    except ValueError:
        raise typer.BadParameter(f"expected {expected}, got {value!r}.") from None

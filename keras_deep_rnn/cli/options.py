"""Options of the command line: what each kind of value looks like, and what is wrong with others.

Each function makes what stands beside the type in a parameter's annotation, as in
`units: Annotated[int | None, whole("Width of h.")] = None`. An option that is not given has the
parameter's default. Where that is None, `default` says in --help what it stands for; a parameter
without a default must be given.
"""

import glob
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer
import typer.core

from ..training.config import RENAMED, Settings
from ..utils.errors import ArgumentError, UserError
from ..utils.fields import fields_of
from ..utils.text import as_option

MANUAL_DIR = "Folder of manually downloaded files."
DATA_DIR = "Folder of prepared data; default: that of TensorFlow Datasets."
SKIP_UNREADABLE, SUSTAIN_PEDAL = (
    fields_of(Settings)[name].help for name in ("skip_unreadable", "sustain_pedal")
)
MOVED_DATA = "Where the data of the run is now."
A_RUN = "Folder of a finished run, a packed run (.npz), or a name of `deep-rnn trained`"
JSON = "Print JSON and nothing else on stdout, for scripts."

FORMER_NAMES = {as_option(former): as_option(name) for former, name in RENAMED.items()}

Number = TypeVar("Number", int, float)
# Gives values that a word may be completed to; those that begin otherwise are passed over.
Complete = Callable[[str], Sequence[str]]


class Command(typer.core.TyperCommand):
    """A command whose errors begin with what the user typed: --units, not the argument `units`.

    Options are also accepted under their former names.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, [self._renamed(word) for word in args])
        except typer.BadParameter as error:
            parameter: Any = error.param
            if not error.format_message().startswith("Missing ") or parameter is None:
                raise
            what = f"{parameter.param_type_name} {_typed(parameter)}"
            raise UserError(f"Missing {what}: {parameter.help}") from None

    def _renamed(self, word: str) -> str:
        option, equals, value = word.partition("=")
        new = FORMER_NAMES.get(option)
        if new is None or new not in self._typed_names().values():
            return word
        typer.echo(f"{option} is now {new}.", err=True)
        return new + equals + value

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ArgumentError as error:
            name = self._typed_names().get(error.argument.partition("[")[0])
            if name is None:
                raise
            raise UserError(error.message(name)) from error

    def _typed_names(self) -> dict[str | None, str]:
        return {parameter.name: _typed(parameter) for parameter in self.params}


def _typed(parameter: Any) -> str:
    """What stands for a parameter on the command line: --units, or RUN."""
    name = parameter.opts[0]
    return name if name.startswith("-") else name.upper()


def text(help: str, panel: str | None = None, **more: Any) -> Any:
    """A name or a text."""
    return _option(help, panel, **more)


def path(help: str, panel: str | None = None, **more: Any) -> Any:
    """A file or a folder."""
    return _option(help, panel, **more)


def whole(help: str, panel: str | None = None, **more: Any) -> Any:
    """An integer."""
    return _option(help, panel, parser=_whole, metavar="N", **more)


def real(help: str, panel: str | None = None, **more: Any) -> Any:
    """A number."""
    return _option(help, panel, parser=_real, metavar="X", **more)


def sizes(help: str, panel: str | None = None, **more: Any) -> Any:
    """Integers with commas between, such as widths of layers."""
    return _option(help, panel, parser=_sizes, metavar="N,N,...", **more)


def flag(name: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help, rich_help_panel=panel)


def argument(help: str, complete: Complete | None = None) -> Any:
    """A value that must stand before the options."""
    return typer.Argument(help=help, show_default=False, autocompletion=complete)


def data_sets(incomplete: str) -> list[str]:
    """The data sets that have a name, for completion."""
    from ..data import names

    return names()


def networks(incomplete: str) -> Sequence[str]:
    """The networks that have a name, for completion."""
    from ..training.networks import NETWORKS

    return NETWORKS


def run_folders(incomplete: str) -> list[str]:
    """The run folders in runs/, and those that begin as the word does, for completion."""
    patterns = ("runs/*/config.json", f"{glob.escape(incomplete)}*/config.json")
    return sorted({str(Path(file).parent) for part in patterns for file in glob.glob(part)})


def _option(
    help: str,
    panel: str | None,
    *,
    default: str | None = None,
    complete: Complete | None = None,
    **more: Any,
) -> Any:
    return typer.Option(
        help=help,
        rich_help_panel=panel,
        show_default=True if default is None else default,
        autocompletion=complete,
        **more,
    )


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

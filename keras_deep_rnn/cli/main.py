"""The command line `deep-rnn`. Each command imports what it needs, so that --help is quick."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from .. import __version__
from ..utils.errors import DivergedError, UserError
from . import demo, evaluate, export, generate, inspect, serve, train, trained
from .console import say
from .data import data_app
from .options import Command
from .reproduce import reproduce_app
from .tune import tune_app

app = typer.Typer(
    name="deep-rnn",
    help="Deep recurrent networks (arXiv:1312.6026): from music or text to a served model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data", no_args_is_help=True)
app.command(cls=Command, epilog=train.EXAMPLE)(train.train)
app.command(cls=Command, epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command(cls=Command, epilog=generate.EXAMPLE)(generate.generate)
app.command(cls=Command, epilog=inspect.EXAMPLE)(inspect.inspect)
app.command(cls=Command, epilog=export.EXAMPLE)(export.export)
app.command(cls=Command, epilog=trained.EXAMPLE)(trained.trained)
app.command(cls=Command, epilog=trained.PACK_EXAMPLE)(trained.pack)
app.command(cls=Command, epilog=serve.EXAMPLE)(serve.serve)
app.add_typer(tune_app, name="tune", no_args_is_help=True)
app.add_typer(reproduce_app, name="reproduce", no_args_is_help=True)
app.command(cls=Command, epilog=demo.EXAMPLE)(demo.demo)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"deep-rnn {__version__}")
        raise typer.Exit()


@app.callback()
def before_commands(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """The options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line; a mistake of the user ends as one line and exit code 2.

    Args:
        arguments: List of strings; None takes those of the process.
    """
    _escape_what_a_console_cannot_show()
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="deep-rnn", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        _fail(str(error), 2)
    except DivergedError as error:
        _fail(str(error), 1)
    except BrokenPipeError:  # whoever reads the output, such as head, has enough
        _drop_output()
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # of the system, such as a full disk
            _drop_output()
            what = "" if error.filename is None else f"{str(error.filename)!r}: "
            _fail(f"{what}{error.strerror}.", 2)
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        _fail(format_message(), 2)  # what the parser of options found
    if code == 130:  # what typer makes of Ctrl-C
        how = "--resume continues a training or a search, the same command continues experiments."
        _fail(f"interrupted; {how}", code)
    sys.exit(code or 0)


def _escape_what_a_console_cannot_show() -> None:
    """Shows a character that the encoding of the console lacks by its code, such as \\u266b."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Gives up what stdout could not write, which Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _fail(message: str, code: int) -> NoReturn:
    if message:  # none where a help page was printed instead
        say("Error: " + " ".join(message.split()).replace("?.", "?"), err=True)
    sys.exit(code)

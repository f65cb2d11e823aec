"""The options of a command that takes the settings of a run: one for each field of `Settings`.

An option that is not given is None, so that a command can tell what the user has asked for.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from ..training.config import Settings
from ..utils.fields import FieldInfo, base, fields_of
from ..utils.text import as_option
from .options import PARSERS, data_sets, networks

# Of settings that are names.
COMPLETIONS = {"data": data_sets, "network": networks}

Command = TypeVar("Command", bound=Callable[..., object])


def with_settings(command: Command) -> Command:
    """Gives a command the options of the settings, in place of its `**settings`.

    The command gets those that were given.
    """
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    options = [_parameter(name, field) for name, field in fields_of(Settings).items()]

    @functools.wraps(command)
    def run(**values: Any) -> object:
        settings = {option.name: values.pop(option.name) for option in options}
        given = {name: value for name, value in settings.items() if value is not None}
        return command(**values, **given)

    run.__signature__ = inspect.Signature([*own, *options])  # pyright: ignore[reportAttributeAccessIssue]
    run.__annotations__ = {option.name: option.annotation for option in [*own, *options]}
    return run  # pyright: ignore[reportReturnType] -- it is called by typer alone


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = base(field.type)
    parser, metavar = PARSERS.get(kind, (None, None))
    if field.default is dataclasses.MISSING:
        default = " \\[required unless --resume]"
    else:
        default = "" if field.default in (None, False) else f" \\[default: {field.default}]"
    option = typer.Option(
        as_option(name),
        help=field.help + default,
        rich_help_panel=str(field.extra["group"]),
        parser=parser,
        metavar=metavar,
        autocompletion=COMPLETIONS.get(name),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )

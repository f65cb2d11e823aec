"""What a job must be: its values one by one and, before the first trial, its networks."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...utils.errors import UserError, nearest
from ..space.space import SearchSpace

if TYPE_CHECKING:
    from ..keras_tuner import HyperDeepRNN
    from ..space.hyperparameter import Entry

TUNERS = ("random", "bayesian", "hyperband")
# Ids of trials have four digits.
MOST_TRIALS = 9999


def check_values(settings: Mapping[str, Any], space: SearchSpace) -> None:
    """Refuses values that no training run takes.

    Args:
        settings: Dict of settings that are not searched.
        space: `SearchSpace`.
    """
    from ...training.config import Settings
    from ...utils.validation import CHECKS as ARGUMENTS
    from ...utils.validation import number, positive_integer
    from ..space.paper_space import DEPTHS, SIZES

    checks = {**ARGUMENTS, **dict.fromkeys((*DEPTHS, "deep_units"), positive_integer)}
    checks["output_bias"] = number
    known = {field.name for field in dataclasses.fields(Settings)}
    given = [("settings", name, value) for name, value in settings.items()]
    given += [("space", entry.name, value) for entry in space for value in _ends(entry)]
    for section, name, value in given:
        with within(section):
            if name in checks:
                checks[name](name, value)
            elif name in known:
                Settings("", **{name: value})
    for depth, sizes in SIZES.items():
        if sizes in settings and (depth in settings or depth in space):
            raise UserError(f"`settings.{sizes}` must be left out: `{depth}` decides it.")


def _ends(entry: Entry) -> Sequence[Any]:
    """The values of an entry that tell whether all are possible."""
    if entry.choices is None:
        return entry.low, entry.high
    return (entry.choices[0], entry.choices[-1]) if entry.kind == "int" else entry.choices


def check_networks(hyper: HyperDeepRNN) -> None:
    """Refuses settings that some network of the space does not have.

    Args:
        hyper: `HyperDeepRNN`.
    """
    from ...training.config import NETWORK_ARGUMENTS
    from ...training.models import recurrent_layer
    from ..space.budget import STRUCTURE

    defaults = {entry.name: entry.default for entry in hyper.space}
    for values in hyper.space.combinations(STRUCTURE):
        settings = hyper.settings_of({**defaults, **values})
        names = set(NETWORK_ARGUMENTS) - {
            "output_bias",
            "classes_deviation",
            "weight_noise",
        }  # of the whole model
        chosen = {name: settings[name] for name in names & set(settings)}
        recurrent_layer(settings["network"], **chosen)


@contextlib.contextmanager
def within(section: str) -> Iterator[None]:
    """Errors about a name become errors about that name in a section.

    Example:

    >>> with within("space"):
    ...     whole(1)("units", 0)
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.UserError: `space.units` must be an integer of at least 1, got 0.
    """
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace("`", f"`{section}.", 1)) from None


def plain(name: str, value: Any) -> None:
    """Refuses what JSON cannot hold, at any depth of tables and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            plain(f"{name}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            plain(name, inner)
    elif not isinstance(value, (str, bool)) and not _is_number(value):
        raise UserError(f"`{name}` must be a text, a finite number, true or false, got {value!r}.")


def text(name: str, value: Any) -> None:
    """Refuses what is no text that a path can be."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise UserError(f"`{name}` must be a text, got {value!r}.")


def one_of(choices: Collection[str]) -> Callable[[str, Any], None]:
    """A check that a text is among `choices`."""

    def check(name: str, value: Any) -> None:
        text(name, value)
        if value not in choices:
            hint = nearest(value, choices) or "."
            raise UserError(f"`{name}` must be one of {', '.join(choices)}, got {value!r}{hint}")

    return check


def whole(low: int, high: int | None = None) -> Callable[[str, Any], None]:
    """A check for an integer."""
    range_ = f"of at least {low}" if high is None else f"from {low} to {high}"

    def check(name: str, value: Any) -> None:
        integer = isinstance(value, int) and not isinstance(value, bool)
        if not integer or value < low or value > (2**63 if high is None else high):
            got = "none" if value is None else repr(value)
            raise UserError(f"`{name}` must be an integer {range_}, got {got}.")

    return check


def _settings(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise UserError(f"`{name}` must be a dict, got {value!r}.")
    for key, given in value.items():
        if isinstance(given, dict):
            raise UserError(f"`{name}.{key}` must be one value or a list, got {given!r}.")
        plain(f"{name}.{key}", given)


def _space(name: str, value: Any) -> None:
    if not isinstance(value, SearchSpace):
        raise UserError(f"`{name}` must be a SearchSpace, got {value!r}.")


def _positive(name: str, value: Any) -> None:
    if not _is_number(value) or value <= 0:
        raise UserError(f"`{name}` must be a number above 0, got {value!r}.")


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    # What TOML promises of integers.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


# Of every attribute of a `Job`.
CHECKS = {
    "name": text,
    "data": text,
    "project": text,
    "space": _space,
    "settings": _settings,
    "data_path": text,
    "data_dir": text,
    "tuner": one_of(TUNERS),
    "objective": text,
    "trials": whole(1, MOST_TRIALS),
    "epochs": whole(1),
    "max_minutes": _positive,
    "seed": whole(0, 2**32 - 1),
    "budget": whole(1),
    "workers": whole(1),
    "retries": whole(0),
    "initial_points": whole(1),
    "factor": whole(2),
}

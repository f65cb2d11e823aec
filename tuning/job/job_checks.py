"""Checks of a job before its first trial: the values of its settings, networks and trainings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...training.config import NETWORK_ARGUMENTS, Settings
from ...utils.errors import ArgumentError, within
from ...utils.fields import fields_of
from ..space.paper_space import DEPTHS, SIZES
from ..space.space import SearchSpace

if TYPE_CHECKING:
    from ..keras_tuner import HyperDeepRNN
    from ..space.hyperparameter import Hyperparameter

# Settings on which the number of updates depends, and those that depend on it.
_UPDATES = ("optimizer", "warmup", "batch_size", "bptt_steps")


def check_values(settings: Mapping[str, Any], space: SearchSpace) -> None:
    """Checks the values of settings and hyperparameters.

    Args:
        settings: Dict of settings that are not searched.
        space: `SearchSpace`.
    """
    from ...utils.validation import CHECKS, positive_integer

    fields = fields_of(Settings)
    given = [("settings", name, value) for name, value in settings.items()]
    given += [
        ("space", hyperparameter.name, value)
        for hyperparameter in space
        for value in _extremes(hyperparameter)
    ]
    for section, name, value in given:
        with within(section):
            if name in fields:
                value = fields[name].check(value)
            if name in (*DEPTHS, "deep_units"):
                positive_integer(name, value)
            elif name.endswith("activation"):
                CHECKS[name](name, value)
    for depth, sizes in SIZES.items():
        if sizes in settings and (depth in settings or depth in space):
            raise ArgumentError(f"settings.{sizes}", f"left out: it follows from `{depth}`")


def _extremes(hyperparameter: Hyperparameter) -> Sequence[Any]:
    """Values of a hyperparameter such that all others are valid if these are."""
    choices = hyperparameter.choices
    if choices is None:
        return hyperparameter.low, hyperparameter.high
    return (choices[0], choices[-1]) if hyperparameter.kind == "int" else choices


def check_networks(hyper: HyperDeepRNN) -> None:
    """Checks that every network of the space has the settings that are given.

    Args:
        hyper: `HyperDeepRNN`.
    """
    from ...training.models import OF_MODEL, check_words, recurrent_layer
    from ..space.budget import STRUCTURE

    assert hyper.dataset is not None  # a job has one
    kind = hyper.dataset.kind
    defaults = {hyperparameter.name: hyperparameter.default for hyperparameter in hyper.space}
    for values in hyper.space.combinations(STRUCTURE):
        settings = hyper.settings_of({**defaults, **values})
        names = set(NETWORK_ARGUMENTS) - set(OF_MODEL)
        chosen = {name: settings[name] for name in names & set(settings)}
        recurrent_layer(settings["network"], **chosen)
        of_words = {n: settings[n] for n in ("tied", "word_dropout", "dropout") if n in settings}
        check_words(settings["network"], kind, **of_words)


def check_training(hyper: HyperDeepRNN) -> None:
    """Checks that every training can begin: its warmup ends before it, and a text is truncated.

    Args:
        hyper: `HyperDeepRNN` on a data set.
    """
    from ...training.setup import batches, optimizer

    dataset = hyper.dataset
    assert dataset is not None  # a job has one
    defaults = {hyperparameter.name: hyperparameter.default for hyperparameter in hyper.space}
    searched = [hyperparameter for hyperparameter in hyper.space if hyperparameter.name in _UPDATES]
    for values in itertools.product(*map(_extremes, searched)):
        chosen = {**defaults, **{h.name: value for h, value in zip(searched, values)}}
        settings = Settings(dataset.name, **hyper.settings_of(chosen)).complete(dataset)
        assert settings.epochs is not None  # as the settings are complete
        optimizer(settings, len(batches(settings, dataset, "train")) * settings.epochs)


def check_plain(name: str, value: Any) -> None:
    """Checks that JSON can represent a value, in nested tables and lists, too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            check_plain(f"{name}.{key}", inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_plain(name, inner)
    elif not isinstance(value, (str, bool)) and not _is_number(value):
        raise ArgumentError(name, "a string, a finite number, true or false", value)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    # The range of integers that TOML guarantees.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63

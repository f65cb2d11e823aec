"""Hyperparameter search: search spaces, parameter budgets, a `HyperModel`, and search jobs.

Spaces and budgets need neither Keras Tuner nor Optuna.
"""

import importlib
import warnings
from typing import Any

from .job.job import Job
from .space.hyperparameter import Hyperparameter
from .space.space import SearchSpace

# `__init__.pyi` declares the late names for type checkers.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "HyperDeepRNN",
    "Hyperparameter",
    "Job",
    "SearchSpace",
    "check_budget",
    "count_parameters",
    "paper_space",
    "seed_from",
    "settings_of",
    "units_for_budget",
]

# {name: module} of what needs Keras or Keras Tuner, whose imports take seconds.
_LATE = {
    "HyperDeepRNN": "keras_tuner",
    "check_budget": "space.budget",
    "count_parameters": "space.budget",
    "paper_space": "space.paper_space",
    "seed_from": "keras_tuner",
    "settings_of": "space.paper_space",
    "units_for_budget": "space.budget",
}


def __getattr__(name: str) -> Any:
    """Imports a name of `_LATE`, at its first use."""
    if name == "Entry":
        line = "`keras_deep_rnn.tuning.Entry` is now `Hyperparameter`; `Entry` is removed in 0.3."
        warnings.warn(line, DeprecationWarning, stacklevel=2)
        return Hyperparameter
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

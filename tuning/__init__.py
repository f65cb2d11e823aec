"""Searches for the depth of a network: search spaces, parameter budgets, models for Keras Tuner.

Spaces and budgets need neither Keras Tuner nor Optuna; each is imported where it is used.
"""

import importlib
from typing import Any

from .job.job import Job
from .space.hyperparameter import Entry
from .space.space import SearchSpace

# `__init__.pyi` shows these to type checkers, which do not see what `__getattr__` finds.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "Entry",
    "HyperDeepRNN",
    "Job",
    "SearchSpace",
    "check_budget",
    "count_parameters",
    "paper_space",
    "seed_from",
    "settings_of",
    "units_for_budget",
]

# What needs Keras or Keras Tuner, whose imports take seconds, and where it is.
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
    """What needs Keras comes when it is asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

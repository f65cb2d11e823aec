"""Searches for the depth of a network: search spaces, parameter budgets, models for Keras Tuner.

Spaces and budgets need neither Keras Tuner nor Optuna; each is imported where it is used.
"""

from .budget import check_budget, count_parameters, units_for_budget
from .entry import Entry
from .paper import paper_space, settings_of
from .space import SearchSpace

__all__ = [
    "Entry",
    "HyperDeepRNN",
    "SearchSpace",
    "check_budget",
    "count_parameters",
    "paper_space",
    "seed_from",
    "settings_of",
    "units_for_budget",
]


def __getattr__(name):
    """What needs Keras Tuner comes when it is asked for."""
    if name not in ("HyperDeepRNN", "seed_from"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import hypermodel

    return getattr(hypermodel, name)

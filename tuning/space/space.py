"""`SearchSpace`: one definition of a search space, for Keras Tuner and for Optuna.

A space is an ordered set of hyperparameters. A conditional hyperparameter is active only where
earlier ones have the values that it names. Both samplers return the same kind of dict: the values
of the active hyperparameters by name, and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from ...utils.errors import ArgumentError, UserError, Words, nearest
from .hyperparameter import Hyperparameter

if TYPE_CHECKING:
    import optuna
    from keras_tuner import HyperParameters


class SearchSpace:
    """An ordered set of hyperparameters, some of them conditional.

    Args:
        hyperparameters: List of `Hyperparameter`.

    Raises:
        ArgumentError: A name occurs twice; or a condition names an unknown or later hyperparameter,
            a value outside its range, or a continuous one.

    Example:

    >>> space = SearchSpace([
    ...     Hyperparameter("network", "choice", values=["rnn", "dt_rnn"]),
    ...     Hyperparameter("transition_depth", "int", low=1, high=3, when={"network": "dt_rnn"}),
    ... ])
    >>> space.active({"network": "rnn", "transition_depth": 2})
    {'network': 'rnn'}
    >>> SearchSpace.from_config(space.get_config()) == space
    True
    """

    def __init__(self, hyperparameters: Iterable[Hyperparameter]) -> None:
        self._hyperparameters: dict[str, Hyperparameter] = {}
        for hyperparameter in hyperparameters:
            name = hyperparameter.name
            if name in self:
                raise ArgumentError(name, "the name of one hyperparameter", Words("two of them"))
            if hyperparameter.when:
                when = self._checked_condition(name, hyperparameter.when)
                hyperparameter = dataclasses.replace(hyperparameter, when=when)
            self._hyperparameters[name] = hyperparameter
        if not self._hyperparameters:
            raise ArgumentError("hyperparameters", "a non-empty list", Words("an empty one"))

    @classmethod
    def from_config(cls, config: dict[str, dict[str, Any]]) -> Self:
        """Makes a space from a plain dict, such as a table of a TOML file: {name: {"kind": ...}}.

        Args:
            config: Dict from names to dicts of the attributes of `Hyperparameter`, in order.
        """
        if not isinstance(config, dict):
            raise ArgumentError("space", "a table of hyperparameters", config)
        known = [field.name for field in dataclasses.fields(Hyperparameter)][1:]
        hyperparameters = []
        for name, table in config.items():
            if not isinstance(table, dict) or "kind" not in table:
                raise ArgumentError(name, "a table with a `kind`", table)
            for field in table:
                if field not in known:
                    hint = nearest(field, known)
                    raise ArgumentError(
                        name, f"keys among {', '.join(known)}", field, hint, verb="have"
                    )
            hyperparameters.append(Hyperparameter(name, **table))
        return cls(hyperparameters)

    def get_config(self) -> dict[str, dict[str, Any]]:
        """The space as a plain dict for JSON or TOML; see `from_config`."""
        return {name: self[name].get_config() for name in self.names}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the hyperparameters, in order."""
        return tuple(self._hyperparameters)

    def __iter__(self) -> Iterator[Hyperparameter]:
        return iter(self._hyperparameters.values())

    def __len__(self) -> int:
        return len(self._hyperparameters)

    def __contains__(self, name: object) -> bool:
        return name in self._hyperparameters

    def __getitem__(self, name: str) -> Hyperparameter:
        return self._hyperparameters[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"SearchSpace({list(self)})"

    def sample_keras_tuner(self, hp: HyperParameters) -> dict[str, Any]:
        """Declares the space in Keras Tuner's `HyperParameters`.

        Args:
            hp: `keras_tuner.HyperParameters`. Its values become canonical.

        Returns:
            Dict of the active values.
        """
        active = {}
        for name, hyperparameter in self._hyperparameters.items():
            with contextlib.ExitStack() as scopes:
                for parent, allowed in self._conditions(hyperparameter):
                    scopes.enter_context(hp.conditional_scope(parent, list(allowed)))
                value = hyperparameter.from_keras_tuner(hp)
            if value is not None:
                active[name] = hp.values[name] = hyperparameter.canonical(value)
        return active

    def sample_optuna(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """Suggests the active values in an Optuna trial.

        Args:
            trial: `optuna.Trial`, or a `FixedTrial`.

        Returns:
            Dict of the active values.
        """
        return self._active(lambda hyperparameter: hyperparameter.from_optuna(trial))

    def to_optuna_distributions(
        self, values: Mapping[str, Any]
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """The Optuna distributions of the active values, for `optuna.trial.create_trial`.

        Args:
            values: Dict that holds at least the active values.
        """
        return {name: self[name].to_optuna() for name in self.active(values)}

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The active ones among `values`, in the order of the space and in canonical form.

        Args:
            values: Dict that holds at least the active values.

        Raises:
            ArgumentError: An active value is missing or out of range.
        """

        def given(hyperparameter: Hyperparameter) -> Any:
            if hyperparameter.name not in values:
                raise ArgumentError(hyperparameter.name, "a value", Words("none"), verb="have")
            return values[hyperparameter.name]

        return self._active(given)

    def defaults(self) -> dict[str, Any]:
        """The active values if every hyperparameter has its default."""
        return self._active(lambda hyperparameter: hyperparameter.default)

    def summary(self, values: Mapping[str, Any]) -> str:
        """The active values as one line.

        Example:

        >>> SearchSpace([Hyperparameter("learning_rate", "float", low=1e-4, high=1.0)]).summary(
        ...     {"learning_rate": 0.00123456}
        ... )
        'learning_rate 0.001235'
        """
        return ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.active(values).items()
        )

    def difference(self, other: SearchSpace) -> str:
        """Describes the changes from this space to another; an empty string if there are none.

        Example:

        >>> old = SearchSpace([Hyperparameter("units", "int", low=8, high=64)])
        >>> new = SearchSpace([Hyperparameter("units", "int", low=8, high=128)])
        >>> old.difference(new)
        '`units`: high was 64, is 128'
        """
        changes = [f"`{name}` is gone" for name in self.names if name not in other]
        changes += [f"`{name}` is new" for name in other.names if name not in self]
        shared = [name for name in self.names if name in other]
        for name in shared:
            was, now = self[name].get_config(), other[name].get_config()
            changes += [
                f"`{name}`: {field} was {was.get(field)}, is {now.get(field)}"
                for field in {**was, **now}
                if was.get(field) != now.get(field)
            ]
        if not changes and tuple(shared) != other.names:
            changes = ["the order of the hyperparameters"]
        return "; ".join(changes)

    def combinations(self, names: Collection[str]) -> list[dict[str, Any]]:
        """The grid of the named hyperparameters, as dicts of active values.

        Args:
            names: Names of hyperparameters. Continuous ones and unknown names are ignored.
        """
        grid = [{}]
        for name, hyperparameter in self._hyperparameters.items():
            if name not in names or hyperparameter.choices is None:
                continue
            grid = [
                extended
                for values in grid
                for extended in (
                    [{**values, name: value} for value in hyperparameter.choices]
                    if hyperparameter.is_active(values)
                    else [values]
                )
            ]
        return grid

    def _checked_condition(self, name: str, when: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The canonical condition of the hyperparameter that is next to come."""
        checked = {}
        for parent, allowed in when.items():
            if parent not in self:
                hint = nearest(parent, self.names)
                raise ArgumentError(
                    name, "on an earlier hyperparameter", parent, hint, verb="depend"
                )
            # A number that a tuner rounds would not be equal to that of the condition.
            if self[parent].log or isinstance(self[parent].default, float):
                expected = "on a string, a boolean or an integer without `log`"
                raise ArgumentError(name, expected, parent, verb="depend")
            try:
                checked[parent] = [self[parent].canonical(value) for value in allowed]
            except UserError as error:
                raise UserError(f"`{name}` depends on a value out of range: {error}") from None
        return checked

    def _conditions(self, hyperparameter: Hyperparameter) -> list[tuple[str, Collection[Any]]]:
        """The conditions of a hyperparameter and of its parents, outermost first."""
        conditions = []
        for name, allowed in (hyperparameter.when or {}).items():
            conditions += [*self._conditions(self[name]), (name, allowed)]
        return conditions

    def _active(self, value_of: Callable[[Hyperparameter], Any]) -> dict[str, Any]:
        active = {}
        for name, hyperparameter in self._hyperparameters.items():
            if hyperparameter.is_active(active):
                active[name] = hyperparameter.canonical(value_of(hyperparameter))
        return active

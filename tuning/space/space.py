"""`SearchSpace`: what a search may choose, said once, for Keras Tuner and for Optuna.

A space is an ordered set of entries. An entry can depend on the value of one before it, and is
active only where that value is among those that it names. Both samplers give the same kind of dict:
the values of the active entries by name, and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from ...utils.errors import ArgumentError, UserError, Words, nearest
from .hyperparameter import Entry

if TYPE_CHECKING:
    import optuna
    from keras_tuner import HyperParameters


class SearchSpace:
    """An ordered set of hyper-parameters, each of them possibly active only where others say so.

    Args:
        entries: List of `Entry`.

    Raises:
        UserError: Two entries have one name, or an entry depends on one that is not there or comes
            later, on a value that this one cannot have, or on numbers other than integers.

    Example:

    >>> space = SearchSpace([
    ...     Entry("network", "choice", values=["rnn", "dt_rnn"]),
    ...     Entry("transition_depth", "int", low=1, high=3, when={"network": "dt_rnn"}),
    ... ])
    >>> space.active({"network": "rnn", "transition_depth": 2})
    {'network': 'rnn'}
    >>> SearchSpace.from_config(space.get_config()) == space
    True
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {}
        for entry in entries:
            conditions = {}
            if entry.name in self._entries:
                raise ArgumentError(entry.name, "the name of one entry", Words("two of them"))
            for name, allowed in (entry.when or {}).items():
                if name not in self._entries:
                    hint = nearest(name, self._entries)
                    raise ArgumentError(
                        entry.name, "on an entry before it", name, hint, verb="depend"
                    )
                parent = self._entries[name]
                # Numbers that a tuner may round would not be found among the values of a condition.
                if parent.log or isinstance(parent.default, float):
                    raise ArgumentError(
                        entry.name,
                        "on a text, a boolean or an integer without `log`",
                        name,
                        verb="depend",
                    )
                try:
                    conditions[name] = [parent.exact(value) for value in allowed]
                except UserError as error:
                    raise UserError(
                        f"`{entry.name}` depends on a value that cannot be: {error}"
                    ) from None
            if conditions:
                entry = dataclasses.replace(entry, when=conditions)
            self._entries[entry.name] = entry
        if not self._entries:
            raise ArgumentError("entries", "at least one entry", Words("none"), verb="hold")

    @classmethod
    def from_config(cls, config: dict[str, dict[str, Any]]) -> Self:
        """The space of a plain dict, such as a table of a TOML file: {name: {"kind": ...}}.

        Args:
            config: Dict from names to dicts with the attributes of `Entry`, in order.
        """
        if not isinstance(config, dict):
            raise ArgumentError("space", "a table of entries", config)
        known = [field.name for field in dataclasses.fields(Entry)][1:]
        entries = []
        for name, table in config.items():
            if not isinstance(table, dict) or "kind" not in table:
                raise ArgumentError(name, "a table with a `kind`", table)
            for field in table:
                if field not in known:
                    hint = nearest(field, known)
                    raise ArgumentError(
                        name, f"keys among {', '.join(known)}", field, hint, verb="have"
                    )
            entries.append(Entry(name, **table))
        return cls(entries)

    def get_config(self) -> dict[str, dict[str, Any]]:
        """The space as a plain dict that JSON and TOML can hold; `from_config` reads it."""
        return {entry.name: entry.get_config() for entry in self}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"SearchSpace({list(self)})"

    def sample_keras_tuner(self, hp: HyperParameters) -> dict[str, Any]:
        """Declares the space in Keras Tuner's `HyperParameters` and gives its active values.

        Args:
            hp: `keras_tuner.HyperParameters`. Its values are made exact.

        Returns:
            Dict of the active values.
        """
        active = {}
        for entry in self:
            with contextlib.ExitStack() as scopes:
                for name, allowed in self._conditions(entry):
                    scopes.enter_context(hp.conditional_scope(name, list(allowed)))
                value = entry.from_keras_tuner(hp)
            if value is not None:
                active[entry.name] = hp.values[entry.name] = entry.exact(value)
        return active

    def sample_optuna(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """Asks an Optuna trial for the active values.

        Args:
            trial: `optuna.Trial`, or a `FixedTrial`.

        Returns:
            Dict of the active values.
        """
        return self._active(lambda entry: entry.from_optuna(trial))

    def to_optuna_distributions(
        self, values: Mapping[str, Any]
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """The Optuna distributions of the active values, for `optuna.trial.create_trial`.

        Args:
            values: Dict that holds at least the active values.
        """
        return {name: self[name].to_optuna() for name in self.active(values)}

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The active ones among `values`, in the order of the space, each made exact.

        Args:
            values: Dict that holds at least the active values.

        Raises:
            UserError: An active value is missing or impossible.
        """

        def given(entry: Entry) -> Any:
            if entry.name not in values:
                raise ArgumentError(entry.name, "a value", Words("none"), verb="have")
            return values[entry.name]

        return self._active(given)

    def defaults(self) -> dict[str, Any]:
        """The active values where nothing is searched."""
        return self._active(lambda entry: entry.default)

    def summary(self, values: Mapping[str, Any]) -> str:
        """The active values in one line.

        Example:

        >>> SearchSpace([Entry("learning_rate", "float", low=1e-4, high=1.0)]).summary(
        ...     {"learning_rate": 0.00123456}
        ... )
        'learning_rate 0.001235'
        """
        return ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.active(values).items()
        )

    def difference(self, other: SearchSpace) -> str:
        """What changed from this space to another, in words; empty if nothing did.

        Example:

        >>> old = SearchSpace([Entry("units", "int", low=8, high=64)])
        >>> new = SearchSpace([Entry("units", "int", low=8, high=128)])
        >>> old.difference(new)
        '`units`: high was 64, is 128'
        """
        told = [f"`{entry.name}` is gone" for entry in self if entry.name not in other]
        told += [f"`{entry.name}` is new" for entry in other if entry.name not in self]
        for entry in self:
            if entry.name in other:
                was, now = entry.get_config(), other[entry.name].get_config()
                told += [
                    f"`{entry.name}`: {field} was {was.get(field)}, is {now.get(field)}"
                    for field in {**was, **now}
                    if was.get(field) != now.get(field)
                ]
        kept = [entry.name for entry in self if entry.name in other]
        if not told and kept != [entry.name for entry in other]:
            told = ["the order of the entries"]
        return "; ".join(told)

    def combinations(self, names: Collection[str]) -> list[dict[str, Any]]:
        """Every way in which the entries of these names can be chosen, as dicts of active values.

        Args:
            names: Names of entries with a finite number of values; those that the space does not
                have are passed over.
        """
        found = [{}]
        for entry in self:
            if entry.name in names and entry.choices is not None:
                found = [
                    extended
                    for values in found
                    for extended in (
                        [{**values, entry.name: value} for value in entry.choices]
                        if entry.applies(values)
                        else [values]
                    )
                ]
        return found

    def _conditions(self, entry: Entry) -> list[tuple[str, Collection[Any]]]:
        """The conditions of an entry and of those that it depends on, outermost first."""
        conditions = []
        for name, allowed in (entry.when or {}).items():
            conditions += [*self._conditions(self[name]), (name, allowed)]
        return conditions

    def _active(self, value_of: Callable[[Entry], Any]) -> dict[str, Any]:
        active = {}
        for entry in self:
            if entry.applies(active):
                active[entry.name] = entry.exact(value_of(entry))
        return active

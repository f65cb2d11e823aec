"""`Hyperparameter`: one dimension of a search space, with its range and its condition."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard, cast

from ...utils.errors import ArgumentError, Words, nearest

if TYPE_CHECKING:
    import optuna
    from keras_tuner import HyperParameters
    from optuna.distributions import BaseDistribution

# The fields of each kind, beside `default` and `when`.
KINDS = {
    "choice": ("values",),
    "int": ("low", "high", "step", "log"),
    "float": ("low", "high", "step", "log"),
    "boolean": (),
    "fixed": ("value",),
}
# Relative tolerance: Keras Tuner passes numbers between processes in single precision.
SINGLE_PRECISION = 1e-6
# Keras Tuner keeps every step of a float in memory, as a choice.
MOST_STEPS = 10_000
# Samplers compute in floats, which represent every integer only up to this one.
LARGEST_INTEGER = 2**53


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of a search space.

    Attributes:
        name: Name, unique in the space.
        kind: "choice" (one of `values`), "int" or "float" (from `low` to `high`, both included),
            "boolean", or "fixed" (at `value`).
        values: Values of a choice: all strings, or all numbers.
        low: Smallest value.
        high: Largest value.
        step: Distance between neighbouring values; None: 1 (int) or continuous (float).
        log: Whether to sample on a logarithmic scale; excludes `step`.
        value: Value of a fixed hyperparameter: a string, a number, True or False.
        default: Value without a search; None: the first of `values`, `low`, or False.
        when: Condition: dict from the name of an earlier hyperparameter to a value or a list of
            values. The hyperparameter is active where all named ones have such a value; None:
            always.

    Raises:
        ArgumentError: A field is missing, out of range, or excluded by another one.

    Example:

    >>> Hyperparameter("units", "int", low=32, high=512, log=True).default
    32
    """

    name: str
    kind: str
    values: list[Any] | tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    value: Any = None
    default: Any = None
    when: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ArgumentError("name", "a non-empty string", self.name)
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            hint = nearest(self.kind, KINDS)
            self._refuse(f"have a kind among {', '.join(KINDS)}", f"{self.kind!r}{hint}")
        for field in ("values", "low", "high", "step", "log", "value"):
            given = getattr(self, field)
            if field not in KINDS[self.kind] and given is not None and given is not False:
                self._refuse(f"have no `{field}` as a {self.kind}", repr(given))
        if self.kind == "choice":
            self._set("values", self._check_values())
        elif self.kind == "fixed":
            if not isinstance(self.value, (str, bool)) and not _is_number(self.value):
                self._refuse("have a `value`: a string, a number, true or false", repr(self.value))
        elif self.kind != "boolean":
            self._check_range()
        first = {"choice": (self.values or (None,))[0], "fixed": self.value, "boolean": False}
        default = first.get(self.kind, self.low) if self.default is None else self.default
        self._set("default", self.canonical(default))
        if self.when is not None:
            self._set("when", self._check_condition())

    @functools.cached_property
    def choices(self) -> Sequence[Any] | None:
        """Every value, in order; None for a continuous range."""
        if self.kind == "choice":
            return self.values
        if self.kind in ("fixed", "boolean"):
            return (self.value,) if self.kind == "fixed" else (False, True)
        if self.kind == "int":
            low, high = self._range
            return range(low, high + 1, self._step)
        if self.step is None:
            return None
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        count = int((Decimal(str(self.high)) - low) / step) + 1
        return tuple(float(low + i * step) for i in range(count))

    def canonical(self, value: Any) -> Any:
        """The canonical form of a value: its own type, without rounding errors.

        Raises:
            ArgumentError: The value is outside the range.

        Example:

        >>> dropout = Hyperparameter("dropout", "float", low=0.0, high=0.5, step=0.1)
        >>> dropout.canonical(0.30000000000000004)
        0.3
        """
        number, (low, high) = _is_number(value), self._range
        if self.choices is None:
            if number and math.isclose(value, low, rel_tol=SINGLE_PRECISION):
                return low
            if number and math.isclose(value, high, rel_tol=SINGLE_PRECISION):
                return high
            if number and low < value < high:
                return float(value)
        elif isinstance(self.choices, range):
            if number and value == int(value) and int(value) in self.choices:
                return int(value)
        else:
            for choice in self.choices:
                if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                    return choice
                if number and isinstance(choice, float):
                    if math.isclose(value, choice, rel_tol=SINGLE_PRECISION):
                        return choice
        return self._refuse(f"be {self._range_in_words()}", repr(value))

    def is_active(self, active: Mapping[str, Any]) -> bool:
        """Whether the condition holds, given the active values of the earlier hyperparameters."""
        conditions = (self.when or {}).items()
        return all(name in active and active[name] in allowed for name, allowed in conditions)

    def get_config(self) -> dict[str, Any]:
        """The fields as a plain dict, without the name and without defaults."""
        config: dict[str, Any] = {"kind": self.kind}
        for field in KINDS[self.kind]:
            value = getattr(self, field)
            if (value is not None and value is not False) or field == "value":
                config[field] = list(value) if isinstance(value, tuple) else value
        if self.default != dataclasses.replace(self, default=None, when=None).default:
            config["default"] = self.default
        if self.when:
            config["when"] = {name: list(allowed) for name, allowed in self.when.items()}
        return config

    def from_keras_tuner(self, hp: HyperParameters) -> Any:
        """Declares it in `keras_tuner.HyperParameters`; returns its value, None if inactive."""
        if self.kind == "fixed":
            return hp.Fixed(self.name, self.value)
        if self.kind == "boolean":
            return hp.Boolean(self.name, default=self.default)
        if self.kind == "choice" or (self.kind == "float" and self.step):
            # hp.Float leaves out the last step where floats do not divide (0.5 // 0.1 is 4).
            return hp.Choice(self.name, list(self._choices), default=self.default)
        kind = hp.Int if self.kind == "int" else hp.Float
        sampling = "log" if self.log else "linear"
        low, high = self._range
        value = kind(self.name, low, high, self.step, sampling=sampling, default=self.default)
        # hp.Int gives high + 1 at the upper end of a logarithm, which Bayesian search visits.
        return value if value is None else min(value, high)

    def from_optuna(self, trial: optuna.trial.BaseTrial) -> Any:
        """Suggests a value in an Optuna trial."""
        if self.kind in ("choice", "fixed", "boolean"):
            return trial.suggest_categorical(self.name, self._choices)
        low, high = self._range
        if self.kind == "int":
            return trial.suggest_int(self.name, low, high, step=self._step, log=self.log)
        return trial.suggest_float(self.name, low, high, step=self.step, log=self.log)

    def to_optuna(self) -> BaseDistribution:
        """The Optuna distribution that `from_optuna` samples."""
        from optuna import distributions

        if self.kind in ("choice", "fixed", "boolean"):
            return distributions.CategoricalDistribution(self._choices)
        low, high = self._range
        if self.kind == "int":
            return distributions.IntDistribution(low, high, self.log, self._step)
        return distributions.FloatDistribution(low, high, self.log, self.step)

    @property
    def _step(self) -> int:
        """The step of an int."""
        return cast(int, self.step or 1)

    @property
    def _range(self) -> tuple[Any, Any]:
        """`low` and `high`: two ints or two floats if the kind has a range."""
        return self.low, self.high

    @property
    def _choices(self) -> Sequence[Any]:
        """`choices` of a finite kind."""
        return cast("Sequence[Any]", self.choices)

    def _range_in_words(self) -> str:
        if self.choices is None:
            return f"a number from {self.low} to {self.high}"
        if isinstance(self.choices, range):
            steps = f" in steps of {self.step}" if self.step else ""
            return f"an integer from {self.low} to {self.high}{steps}"
        return ("one of " if len(self.choices) > 1 else "") + ", ".join(map(repr, self.choices))

    def _check_values(self) -> tuple[Any, ...]:
        given = self.values
        if not isinstance(given, (list, tuple)) or not given:
            self._refuse("have a non-empty list `values`", repr(given))
        strings = all(isinstance(v, str) for v in given)
        if not strings and not all(_is_number(v) for v in given):
            self._refuse("have `values` that are all strings or all numbers", repr(given))
        if len(set(given)) < len(given):
            self._refuse("have `values` that all differ", repr(given))
        exact = strings or all(isinstance(v, numbers.Integral) for v in given)
        return tuple(given) if exact else tuple(float(v) for v in given)

    def _check_range(self) -> None:
        whole = self.kind == "int"
        for field in ("low", "high", "step"):
            value = getattr(self, field)
            if value is None and field == "step":
                continue
            if not _is_number(value) or (whole and value != int(value)):
                kind = "an integer" if whole else "a finite number"
                kind += " up to 2**53" if isinstance(value, numbers.Integral) else ""
                self._refuse(f"have {kind} as `{field}`", repr(value))
            self._set(field, int(value) if whole else float(value))
        if not isinstance(self.log, bool):
            self._refuse("have true or false as `log`", repr(self.log))
        least, most = self._range
        if least > most:
            self._refuse("have `low` not above `high`", f"low {least}, high {most}")
        if self.log and least <= 0:
            self._refuse("have `low` above 0 with `log`", f"{least}")
        if self.step is None:
            return
        if self.log:
            self._refuse("have either `step` or `log`", f"step {self.step} and log")
        low, high, step = (Decimal(str(v)) for v in (least, most, self.step))
        got = f"step {self.step} from {self.low} to {self.high}"
        if not whole and step > 0 and (high - low) / step > MOST_STEPS:
            self._refuse(f"have at most {MOST_STEPS:,} steps from `low` to `high`", got)
        if step <= 0 or (high - low) % step:
            self._refuse("have a `step` above 0 that divides `high` - `low`", got)

    def _check_condition(self) -> dict[str, tuple[Any, ...]]:
        if not isinstance(self.when, dict) or not self.when:
            self._refuse("have a `when` that maps names to values", repr(self.when))
        checked = {}
        for name, allowed in self.when.items():
            checked[name] = tuple(allowed) if isinstance(allowed, (list, tuple)) else (allowed,)
            if not checked[name]:
                self._refuse(f"have a `when` with a value of `{name}`", repr(allowed))
        return checked

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)  # the dataclass is frozen

    def _refuse(self, expected: str, got: str, hint: str = "") -> NoReturn:
        verb, _, expected = expected.partition(" ")
        got = got if len(got) <= 300 else f"{got[:300]}..."
        raise ArgumentError(self.name, expected, Words(got), hint, verb=verb)


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number; an integer must be exact as a float."""
    most = LARGEST_INTEGER if isinstance(value, numbers.Integral) else sys.float_info.max
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and cast(Any, abs(value)) <= most

"""Checks of arguments: each returns the value in its type or raises a one-line `ArgumentError`.

Keras is imported inside the checks that need it: a client of a server checks without it.
"""

import math
import numbers
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError, nearest

if TYPE_CHECKING:
    import keras

Check = Callable[[str, Any], Any]


def positive_integer(name: str, value: Any) -> int:
    """`value` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ArgumentError(name, "a positive integer", value)
    return int(value)


def layer_sizes(name: str, value: Any) -> tuple[int, ...]:
    """`value` as a tuple of positive integers, one for each layer."""
    if not isinstance(value, (list, tuple)) or not value:
        raise ArgumentError(
            name, "a non-empty sequence of positive integers, such as (400,)", value
        )
    return tuple(positive_integer(f"{name}[{i}]", units) for i, units in enumerate(value))


def rate(name: str, value: Any) -> float:
    """`value` as a float in [0, 1): a dropout rate."""
    valid = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not valid or not 0 <= float(value) < 1:
        raise ArgumentError(name, "a number of at least 0 and below 1", value)
    return float(value)


def number(
    name: str, value: Any, *, above: float | None = None, least: float | None = None
) -> float:
    """`value` as a finite float, above `above` or at least `least`."""
    if above is not None:
        range_, low = f"above {above}", above
    else:
        range_, low = (f"of at least {least}", least) if least is not None else ("", -math.inf)
    valid = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not valid or not math.isfinite(value) or value < low or value == above:
        raise ArgumentError(name, f"a finite number {range_}".rstrip(), value)
    return float(value)


def one_of(choices: Iterable) -> Check:
    """Makes a check that the value is among `choices`."""

    def check(name: str, value: Any) -> Any:
        if value not in choices:
            listed = ", ".join(repr(choice) for choice in choices)
            hint = nearest(value, [choice for choice in choices if choice is not None])
            raise ArgumentError(name, f"one of {listed}", value, hint)
        return value

    return check


def flag(name: str, value: Any) -> bool:
    """`value`, which must be True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(name, "True or False", value)
    return value


def seed(name: str, value: Any) -> int | None:
    """`value` as an unsigned 32-bit int, or None for a random seed."""
    if value is None:
        return None
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 0 <= int(value) < 2**32:
        raise ArgumentError(name, "an integer from 0 to 2**32 - 1, or None", value)
    return int(value)


def from_keras(module_name: str) -> Check:
    """Makes a check that resolves names, configs and objects with `keras.<module>.get`."""

    def check(name: str, value: Any) -> Any:
        import keras

        module = getattr(keras, module_name)
        if isinstance(value, (dict, type)) or value is None:
            return module.get(value)
        if isinstance(value, str):
            try:
                return module.get(value)
            except ValueError:
                names = {n for n in dir(module) if n[0].islower()}
                hint = nearest(value, names - {"get", "serialize", "deserialize"})
                kind = name.rsplit("_", 1)[-1]
                article = "an" if kind[0] in "aeiou" else "a"
                raise ArgumentError(name, f"{article} {kind} of Keras", value, hint) from None
        if not callable(value):
            raise ArgumentError(name, "a name or a callable", value)
        return value

    return check


def keras_layer(name: str, value: Any) -> "keras.layers.Layer":
    """`value` as a Keras layer, deserialized from a config."""
    import keras

    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, keras.layers.Layer):
        raise ArgumentError(name, "a Keras layer", value)
    return value


def cell_list(name: str, value: Any) -> list:
    """`value` as a list of recurrent cells, which have `call` and `state_size`."""
    import keras

    items = value if isinstance(value, (list, tuple)) else ()
    load = keras.saving.deserialize_keras_object
    cells = [load(item) if isinstance(item, dict) else item for item in items]
    if not cells or not all(hasattr(c, "call") and hasattr(c, "state_size") for c in cells):
        raise ArgumentError(name, "a non-empty list of recurrent cells", value)
    return cells


def layer_sizes_or_none(name: str, value: Any) -> tuple[int, ...] | None:
    """`value` as a tuple of positive integers; None for None and (): no layers."""
    return None if value is None or value in ((), []) else layer_sizes(name, value)


def state_sizes(name: str, value: Any) -> int | list[int]:
    """`value` as the width of the state, or a list of widths."""
    if isinstance(value, (list, tuple)):
        return list(layer_sizes(name, value))
    return positive_integer(name, value)


def optional(check: Check) -> Check:
    """Makes a check that accepts None too."""
    return lambda name, value: None if value is None else check(name, value)


_initializer = from_keras("initializers")
_regularizer = from_keras("regularizers")
_constraint = from_keras("constraints")
_activation = from_keras("activations")

CHECKS: dict[str, Check] = {
    "units": positive_integer,
    "depth": positive_integer,
    "state_size": optional(state_sizes),
    "input_units": layer_sizes_or_none,
    "transition_units": layer_sizes_or_none,
    "output_units": layer_sizes_or_none,
    "shortcut": flag,
    "input_to": one_of(("first", "all")),
    "num_tokens": optional(positive_integer),
    "skip": one_of((None, "residual", "all_to_output")),
    "use_bias": flag,
    "activation": _activation,
    "input_activation": optional(_activation),
    "intermediate_activation": optional(_activation),
    "output_activation": optional(_activation),
    "input_initializer": optional(_initializer),
    "kernel_initializer": _initializer,
    "recurrent_initializer": _initializer,
    "shortcut_initializer": optional(_initializer),
    "bias_initializer": _initializer,
    "kernel_regularizer": _regularizer,
    "recurrent_regularizer": _regularizer,
    "bias_regularizer": _regularizer,
    "kernel_constraint": _constraint,
    "recurrent_constraint": _constraint,
    "bias_constraint": _constraint,
    "dropout": rate,
    "recurrent_dropout": rate,
    "output_dropout": rate,
    "zoneout": rate,
    "learn_initial_state": flag,
    "reset_after": flag,
    "seed": seed,
    "return_state_sequences": flag,
    "jit_compile": optional(flag),
    "batch_parts": optional(positive_integer),
    "remat": optional(positive_integer),
    "persistent": flag,
    "plus": keras_layer,
    "predict": optional(keras_layer),
    "normalization": optional(keras_layer),
}

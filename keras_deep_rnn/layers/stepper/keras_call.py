"""Keras operations and layers on arrays, for those that have no NumPy function."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from ...utils.errors import UserError


class Placeholder:
    """Stands for an array among the arguments of an operation."""


class KerasCall:
    """A Keras operation or layer as a function of arrays, to a list of arrays."""

    def __init__(self, operation: keras.Operation, arguments: tuple) -> None:
        self.operation, self.arguments = operation, arguments

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        given = iter([ops.convert_to_tensor(array) for array in arrays])
        args, kwargs = keras.tree.map_structure(
            lambda leaf: next(given) if leaf is Placeholder else leaf, self.arguments
        )
        return [freeze(y) for y in keras.tree.flatten(self.operation(*args, **kwargs))]

    def __reduce__(self) -> tuple:
        # Keras pickles layers; an operation is its class and the arguments of its constructor.
        made = self.operation
        if not isinstance(made, keras.layers.Layer):
            made = functools.partial(type(made), **made.get_config())
        return _restore, (made, self.arguments)


def _restore(made: Any, arguments: tuple) -> KerasCall:
    return KerasCall(made() if isinstance(made, functools.partial) else made, arguments)


def is_array(value: Any) -> bool:
    """Whether a value is an array or a tensor, symbolic ones included."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def freeze(value: Any) -> Any:
    """A tensor as a NumPy copy, floats as float32; any other value as it is."""
    if not is_array(value):
        return value
    floats = "float" in keras.backend.standardize_dtype(value.dtype)
    return np.array(ops.convert_to_numpy(value), np.float32 if floats else None)


def refusal(part: Any, reason: Any) -> UserError:
    """The error for a part of the network that cannot be frozen."""
    first = str(reason).strip().splitlines() or [type(reason).__name__]
    return UserError(
        f"`stepper` cannot freeze a {type(part).__name__}, use `layer.step`: {first[0]}"
    )

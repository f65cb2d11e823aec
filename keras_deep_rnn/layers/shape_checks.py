"""Checks of what a recurrent layer is called with.

They run before the call, because Keras wraps what a `call` raises into a message of many lines.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ..utils.errors import ArgumentError, UserError, Words


def shape_of(value: Any) -> tuple:
    """The shape of a tensor, or of what can become one."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def _unequal(a: int | None, b: int | None) -> bool:
    """Whether two sizes differ, as far as both are known."""
    return a is not None and b is not None and a != b


def check_call(
    layer: Any, sequences: Any, initial_state: Any = None, mask: Any = None, reset: Any = None
) -> None:
    """Checks the arguments of a layer's call.

    Raises:
        UserError: One of them has not the shape that `DeepRNN` describes.
    """
    if isinstance(sequences, (list, tuple)) and any(hasattr(x, "shape") for x in sequences):
        raise UserError(
            "`sequences` must be one tensor of shape (B, T, D), got a list: pass the first "
            "states as `initial_state=`."
        )
    shape = shape_of(sequences)
    check_sequences(layer, shape)
    if layer.built and _unequal(shape[2], layer._features):
        expected = f"D = {layer._features} features"
        raise ArgumentError("sequences", expected, Words(shape), verb="have")
    if mask is not None and (
        len(shape_of(mask)) != 2 or any(_unequal(a, b) for a, b in zip(shape_of(mask), shape))
    ):
        raise ArgumentError(
            "mask", f"shape (B, T) = {shape[:2]}", Words(shape_of(mask)), verb="have"
        )
    if initial_state is not None:
        states = keras.tree.flatten(initial_state)
        check_states("initial_state", states, layer.state_size, shape[0])
    elif layer.stateful and layer.states is not None:
        batch = layer.states[0].shape[0]
        if _unequal(batch, shape[0]):
            raise ArgumentError(
                "sequences",
                f"the batch size of the carried states, {batch}",
                Words(shape[0]),
                verb="have",
            )
    if reset is not None and (
        shape_of(reset)[1:] not in ((), (1,))
        or not shape_of(reset)
        or _unequal(shape_of(reset)[0], shape[0])
    ):
        raise ArgumentError(
            "reset", f"shape (B, 1) or (B,), B = {shape[0]}", Words(shape_of(reset)), verb="have"
        )


def check_sequences(layer: Any, shape: Sequence) -> None:
    """Checks the shape of the input sequences.

    Raises:
        UserError: It is not (B, T, D), or T or D is unknown where it must be known.
    """
    shape = tuple(shape)
    if len(shape) != 3:
        raise ArgumentError("sequences", "shape (B, T, D)", Words(shape), verb="have")
    if shape[1] == 0:
        raise ArgumentError(
            "sequences", "at least one time step", Words(f"shape {shape}"), verb="have"
        )
    if shape[2] is None:
        raise ArgumentError("sequences", "a known number of features D", Words(shape), verb="have")
    if layer.unroll and shape[1] is None:
        raise UserError(
            "`unroll=True` needs a known number of time steps: give it in the model's input, "
            f"got a shape of {shape}."
        )


def check_states(name: str, states: Any, widths: Sequence[int], batch: int | None) -> None:
    """Checks a list of states, the argument `name`.

    Raises:
        UserError: It is not a list of one tensor (B, H) for each of the widths.
    """
    if not isinstance(states, (list, tuple)) or len(states) != len(widths):
        got = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
        raise ArgumentError(name, f"{len(widths)} tensor(s)", Words(got), verb="have")
    for state, width in zip(states, widths):
        expected, got = (batch, width), shape_of(state)
        if len(got) != 2 or any(_unequal(*sizes) for sizes in zip(got, expected)):
            raise ArgumentError(name, f"shape (B, H) = {expected}", Words(got), verb="have")

"""`Stepper`: one time step in plain NumPy, from a snapshot of a layer's weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ...utils.errors import ArgumentError, UserError, Words
from ..cells import DeepRNNCell, StackedRNNCell
from ..cells.base import state_widths
from .keras_call import freeze, refusal
from .program import Program, compile_program


def _check(cell: Any) -> None:
    """Raises a `UserError` for a cell whose step is not that of an `Operator`."""
    if isinstance(cell, StackedRNNCell) and type(cell).call is StackedRNNCell.call:
        for level in cell.cells:
            _check(level)
    elif not isinstance(cell, DeepRNNCell):
        raise refusal(cell, "it is no cell of this package")
    elif type(cell).call is not DeepRNNCell.call:
        raise refusal(cell, "it has a `call` of its own")
    elif not cell._has_maps:
        raise refusal(cell.plus, "⊕ must be an `Operator` without a `call` of its own")


class Stepper:
    """A frozen snapshot of a recurrent layer that computes one time step in NumPy.

    Made by `layer.stepper()`. It computes what `layer.step` does, in float32 whatever the dtype
    policy of the layer, from a copy of the weights. It can be pickled, and called by several
    threads at once.

    Args:
        layer: A built `DeepRNN`.

    Call arguments:
        x_t: x(t), shape (B, D), or tokens of shape (B, 1). B may change from call to call.
        states: List of the states at t-1, (B, H) each; None for the initial ones.

    Returns:
        y(t), shape (B, units of y), and the list of the states at t: new arrays of float32.

    Raises:
        UserError: An input has not the shape described here. On construction: the layer is not
            built or reads backwards, or its step cannot be frozen: ⊕ is no `Operator`, a level of a
            stack is no cell of this package, or one of them has a `call` of its own.

    Example:

    >>> from keras_deep_rnn import DeepTransitionRNN
    >>> layer = DeepTransitionRNN(4, transition_units=(8,))
    >>> layer.build((None, None, 3))
    >>> stepper = Stepper(layer)
    >>> y, states = stepper(np.ones((1, 3)))
    >>> y, states = stepper(np.ones((1, 3)), states)
    >>> y.shape, [state.shape for state in states]
    ((1, 4), [(1, 4)])
    """

    def __init__(self, layer: keras.layers.Layer) -> None:
        if layer.go_backwards:
            raise UserError("`stepper` goes forwards, but the layer has `go_backwards=True`.")
        if not layer.built:
            raise UserError("`stepper` needs a built layer: call it once, or its `build`.")
        cell = layer.cell
        _check(cell)
        self._features, self._widths = layer._features, state_widths(cell)
        tokens = cell.input_tokens is not None
        self._dtype = np.int64 if tokens else np.float32
        x = keras.KerasTensor((None, self._features), "int32" if tokens else "float32")
        states = [keras.KerasTensor((None, width), "float32") for width in self._widths]
        try:
            program = Program(cell, [x, *states])
        except UserError:
            raise
        except Exception as error:
            raise refusal(cell, error) from error
        self._program = program.steps, program.slots, program.results
        self._run = compile_program(len(states) + 1, *self._program)
        first = layer.get_initial_state(1)
        self._first = [freeze(state) for state in keras.tree.flatten(first)]

    def __call__(self, x_t: Any, states: Sequence | None = None) -> tuple[np.ndarray, list]:
        x = np.asarray(x_t, self._dtype)
        if x.ndim != 2 or x.shape[1] != self._features:
            raise ArgumentError(
                "x_t", f"shape (B, D), D = {self._features}", Words(x.shape), verb="have"
            )
        rows = x.shape[0]
        if states is None:
            states = [np.repeat(state, rows, axis=0) for state in self._first]
        if not isinstance(states, (list, tuple)) or len(states) != len(self._widths):
            got = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
            raise ArgumentError("states", f"{len(self._widths)} array(s)", Words(got), verb="have")
        given = [x]
        for state, width in zip(states, self._widths):
            state = np.asarray(state, np.float32)
            if state.shape != (rows, width):
                raise ArgumentError(
                    "states", f"shape (B, H) = {(rows, width)}", Words(state.shape), verb="have"
                )
            given.append(state)
        y, *new = self._run(*given)
        return y, new

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_run"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._run = compile_program(len(self._widths) + 1, *self._program)

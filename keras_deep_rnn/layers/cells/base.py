"""The base of the cells, and functions for any cell: of this package, of Keras, user-defined."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ...utils.keras_compat import KerasDropoutCell
from ..options import Configured


class Cell(KerasDropoutCell, Configured):
    """Base of the cells: the interface of a Keras cell, with states that are a flat list."""

    # Whether the states before the first step are weights.
    learn_initial_state = False

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """Zeros for each state, (B, H) each, in the cell's compute type."""
        states = [
            ops.zeros((batch_size, width), dtype=self.compute_dtype) for width in state_widths(self)
        ]
        return states if isinstance(self.state_size, (list, tuple)) else states[0]

    def compute_output_shape(self, inputs_shape: Sequence, states_shape: Any = None) -> tuple:
        batch = inputs_shape[0]
        return (batch, self.output_size), [(batch, width) for width in state_widths(self)]


def state_widths(cell: Any) -> list[int]:
    """Widths of a cell's states, as a flat list."""
    return keras.tree.flatten(cell.state_size)


def output_width(cell: Any) -> int:
    """Width of a cell's output; without `output_size` that of the first state, as in Keras."""
    size = getattr(cell, "output_size", None)
    return state_widths(cell)[0] if size is None else size


def as_list(value: Any) -> list:
    """`value` as a list, of one if it is not a list or tuple."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def built_output_width(cell: Any, features: int) -> int:
    """The width of a built cell's output, which Keras does not require a cell to declare."""
    if getattr(cell, "output_size", None) is not None or not isinstance(cell, keras.layers.Layer):
        return output_width(cell)
    x, *states = (
        keras.KerasTensor((None, n), dtype=cell.compute_dtype)
        for n in (features, *state_widths(cell))
    )
    return cell(x, pack_states(cell, states))[0].shape[-1]


def initial_states(cell: Any, batch_size: Any) -> list:
    """The states of any cell before the first step, as a flat list."""
    if hasattr(cell, "get_initial_state"):
        return keras.tree.flatten(cell.get_initial_state(batch_size=batch_size))
    dtype = cell.compute_dtype
    return [ops.zeros((batch_size, width), dtype=dtype) for width in state_widths(cell)]


def pack_states(cell: Any, states: list) -> list:
    """A flat list of states in the structure of the cell's `state_size`."""
    return keras.tree.pack_sequence_as(as_list(cell.state_size), list(states))

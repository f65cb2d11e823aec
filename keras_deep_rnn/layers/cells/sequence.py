"""Any cell, of this package or not, over a whole sequence."""

from typing import Any

import keras
from keras import ops

from ... import recurrence
from ...recurrence import DEFAULT_LOOP, Loop
from ...utils.keras_compat import KerasDropoutCell, autocast
from .base import built_output_width, pack_states


def has_run_sequence(cell: Any) -> bool:
    """Whether `run_sequence` belongs to the cell's `call`: a subclass may override `call` alone."""
    for parent in type(cell).__mro__:
        if "run_sequence" in vars(parent):
            return True
        if "call" in vars(parent) or "__call__" in vars(parent):
            return False
    return False


def run_sequence(
    cell: Any,
    sequences: Any,
    states: list,
    mask: Any = None,
    training: bool = False,
    loop: Loop = DEFAULT_LOOP,
) -> tuple[Any, list]:
    """Any cell over a whole sequence: by its own `run_sequence`, or by its `call` step by step."""
    if has_run_sequence(cell):
        # A cell may have another dtype than the layer or the level before it.
        if cell.autocast:
            sequences = ops.cast(sequences, cell.compute_dtype)
        states = [ops.cast(state, cell.compute_dtype) for state in states]
        with autocast(cell.compute_dtype):
            return cell.run_sequence(sequences, states, mask, training, loop)
    if isinstance(cell, KerasDropoutCell):
        cell.get_dropout_mask(sequences[0])
        cell.get_recurrent_dropout_mask(states[0])

    def step(inputs: list, carry: list) -> list:
        y, states = cell(*inputs, pack_states(cell, carry[1:]))
        return [y, *keras.tree.flatten(states)]

    # JAX's loop carries what the cell itself updates, such as the seed of its dropout.
    updated = cell.non_trainable_variables if isinstance(cell, keras.layers.Layer) else []
    no_output = ops.zeros(
        (ops.shape(sequences)[1], built_output_width(cell, sequences.shape[-1])), cell.compute_dtype
    )
    masks = [] if mask is None else [mask]
    y, *state_sequences = recurrence.run(
        step, [sequences], [no_output, *states], masks, loop.unroll, updated
    )
    if isinstance(cell, KerasDropoutCell):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    return y, state_sequences


def recurrence_of(cell: Any, loop: Loop = DEFAULT_LOOP) -> str | list[str]:
    """Which loop runs a cell over a whole sequence: "fast", "persistent", or "plain" and why."""
    if not hasattr(cell, "run_sequence"):
        return f"plain: the cell is a {type(cell).__name__}"
    if not has_run_sequence(cell):
        return f"plain: {type(cell).__name__} has a `call` of its own"
    return cell.recurrence(loop)

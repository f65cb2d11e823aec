"""One step of the sRNN: cells upon cells; and any cell over a whole sequence."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from .. import recurrence
from ..recurrence import DEFAULT_LOOP, Loop
from ..utils.errors import UserError
from ..utils.keras_compat import KerasDropoutCell
from ..utils.validation import CHECKS, cell_list, layer_sizes
from .cells import Cell, DeepTransitionRNNCell, as_list, output_width, state_widths
from .initializers import numbered
from .options import CellOptions, keras_options


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class StackedRNNCell(Cell):
    """One step of the sRNN, level upon level; see `StackedRNN`.

        h_l(t) = f_l(h_l(t-1), h_{l-1}(t)),   h_0(t) = x(t)

    Arguments and weight order: see `StackedRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = StackedRNNCell(units=(4, 4), skip="all_to_output")
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(
        self,
        units: Sequence | None = None,
        cells: Sequence | None = None,
        skip: str | None = None,
        level_dropout: float | None = None,
        transition_units: Sequence[int] | None = None,
        shortcut: bool = False,
        input_to: str = "first",
        **options: Unpack[CellOptions],
    ) -> None:
        of_keras = keras_options(**options)
        super().__init__(**of_keras)
        self.refuse_unknown(options)
        if units is not None and cells is None and not _widths(units):
            units, cells = None, units
        if (cells is None) == (units is None):
            raise UserError(
                "give either `units`, the width of each level, or `cells`, a list of cells; "
                f"got cells={cells!r}, units={units!r}."
            )
        if cells is None:
            of_level = dict(
                transition_units=transition_units, shortcut=shortcut, input_to=input_to, **options
            )
            of_level.pop("name", None)
            cells = _levels(layer_sizes("units", units), level_dropout, of_level)
        else:
            own = {n: v for n, v in options.items() if n not in of_keras}
            own |= {"transition_units": transition_units} if transition_units else {}
            own |= {"shortcut": shortcut} if shortcut else {}
            own |= {"input_to": input_to} if input_to != "first" else {}
            own |= {"level_dropout": level_dropout} if level_dropout is not None else {}
            if own:
                raise UserError(
                    f"`{next(iter(own))}` can be given with `units` only: "
                    "each of the `cells` has its own options."
                )
        self.skip = CHECKS["skip"]("skip", skip)
        self.cells = cell_list("cells", cells)
        for level, cell in enumerate(self.cells, start=1):
            setattr(self, f"level_{level}", cell)  # TensorFlow's checkpoints see no lists
        self.units = tuple(output_width(cell) for cell in self.cells)
        self.autocast = self.autocast and self.input_tokens is None

    @property
    def input_tokens(self) -> int | None:
        """How many tokens the lowest level knows, where x(t) is one of them."""
        return getattr(self.cells[0], "input_tokens", None)

    @property
    def learn_initial_state(self) -> bool:
        """Whether a level learns its first states."""
        return any(getattr(cell, "learn_initial_state", False) for cell in self.cells)

    @property
    def state_size(self) -> list[int]:
        return [width for cell in self.cells for width in state_widths(cell)]

    @property
    def output_size(self) -> int:
        return sum(self._widths) if self.skip == "all_to_output" else self._widths[-1]

    @property
    def _widths(self) -> list[int]:
        """Widths of the levels' outputs; those of the user's own are known once they are built."""
        return getattr(self, "_built_widths", None) or [output_width(cell) for cell in self.cells]

    def build(self, input_shape: Sequence) -> None:
        self._input_widths, widths, width = [], [], input_shape[-1]
        for level, cell in enumerate(self.cells):
            self._input_widths.append(width)
            if isinstance(cell, keras.layers.Layer) and not cell.built:
                cell.build((None, width))
                cell.built = True
            below, width = width, width_of_output(cell, width)
            if self.skip == "residual" and level and width != below:
                raise UserError(
                    "`skip='residual'` needs levels of equal width, got "
                    f"{below} below and {width} at level {level + 1}."
                )
            widths.append(width)
        self._built_widths = widths

    def get_initial_state(self, batch_size: Any = None) -> list:
        """The first states of all levels, from below."""
        return [state for cell in self.cells for state in initial_states(cell, batch_size)]

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list]:
        def one_step(cell: Any, x: Any, own: list) -> tuple[Any, list]:
            y, own = cell(x, _packed(cell, own))
            return y, keras.tree.flatten(own)

        return self._upwards(one_step, inputs, as_list(states))

    def run_sequence(
        self,
        sequences: Any,
        states: list,
        mask: Any = None,
        training: bool = False,
        loop: Loop = DEFAULT_LOOP,
    ) -> tuple[Any, list]:
        """The whole sequence, one level after the other; see `DeepRNNCell.run_sequence`."""

        def all_steps(cell: Any, x: Any, own: list) -> tuple[Any, list]:
            return run_sequence(cell, x, own, mask, training, loop)

        return self._upwards(all_steps, sequences, states)

    def recurrence(self, loop: Loop = DEFAULT_LOOP) -> list:
        """Which loop each level takes; see `DeepRNNCell.recurrence`."""
        return [recurrence_of(cell, loop) for cell in self.cells]

    def _upwards(self, run: Callable, x: Any, states: list) -> tuple[Any, list]:
        """Lets `run(cell, x, its states)` climb the levels; gives the output and all states."""
        outputs, new_states, start = [], [], 0
        for cell in self.cells:
            end = start + len(state_widths(cell))
            y, own = run(cell, x, states[start:end])
            if self.skip == "residual" and outputs:
                y = y + x
            outputs.append(y)
            new_states.extend(own)
            x, start = y, end
        if self.skip == "all_to_output":
            x = ops.concatenate(outputs, axis=-1)
        return x, new_states

    def get_dropout_mask(self, x: Any) -> None:
        """Draws the masks on the inputs of all levels; `keras.layers.RNN` asks before its loop."""
        for cell, width in zip(self.cells, self._input_widths):
            if isinstance(cell, KerasDropoutCell):
                cell.get_dropout_mask(ops.ones((ops.shape(x)[0], width), self.compute_dtype))

    def get_recurrent_dropout_mask(self, h: Any) -> None:
        """Draws the masks on the states of all levels."""
        for cell in self.cells:
            if isinstance(cell, KerasDropoutCell):
                width = state_widths(cell)[0]
                cell.get_recurrent_dropout_mask(
                    ops.ones((ops.shape(h)[0], width), self.compute_dtype)
                )

    def reset_dropout_mask(self) -> None:
        for cell in self.cells:
            if isinstance(cell, KerasDropoutCell):
                cell.reset_dropout_mask()

    def reset_recurrent_dropout_mask(self) -> None:
        for cell in self.cells:
            if isinstance(cell, KerasDropoutCell):
                cell.reset_recurrent_dropout_mask()

    def get_config(self) -> dict[str, Any]:
        config = keras.layers.Layer.get_config(self)
        cells = [keras.saving.serialize_keras_object(cell) for cell in self.cells]
        return {**config, "cells": cells, "skip": self.skip}


def _widths(units: Any) -> bool:
    """Whether these are not cells, so that they are meant to be widths."""
    given = units if isinstance(units, (list, tuple)) and units else [units]
    return not any(hasattr(cell, "call") or isinstance(cell, dict) for cell in given)


def _levels(sizes: Sequence[int], level_dropout: float | None, options: dict) -> list:
    """Plain levels of the given widths that share their options, but no random draw."""
    cells = []
    for level, units in enumerate(sizes):
        own = dict(options)
        if level:
            own.pop("num_tokens", None)
            own.pop("input_initializer", None)
            if level_dropout is not None:
                own["dropout"] = CHECKS["dropout"]("level_dropout", level_dropout)
        if own.get("seed") is not None:
            own["seed"] = CHECKS["seed"]("seed", own["seed"]) + level
        for role in ("kernel_initializer", "recurrent_initializer"):
            if role in own:
                # Far from the numbers that a level gives to its own weights.
                own[role] = numbered(CHECKS[role](role, own[role]), 1000 * level)
        own["name"] = f"level_{level + 1}"
        cells.append(DeepTransitionRNNCell(units, **own))
    return cells


def width_of_output(cell: Any, features: int) -> int:
    """The width of a built cell's output, which Keras does not ask a cell to log."""
    if getattr(cell, "output_size", None) is not None or not isinstance(cell, keras.layers.Layer):
        return output_width(cell)
    x, *states = (
        keras.KerasTensor((None, n), dtype=cell.compute_dtype)
        for n in (features, *state_widths(cell))
    )
    return cell(x, _packed(cell, states))[0].shape[-1]


def initial_states(cell: Any, batch_size: Any) -> list:
    """The first states of any cell, as a flat list."""
    if hasattr(cell, "get_initial_state"):
        return keras.tree.flatten(cell.get_initial_state(batch_size=batch_size))
    dtype = cell.compute_dtype
    return [ops.zeros((batch_size, width), dtype=dtype) for width in state_widths(cell)]


def _packed(cell: Any, states: list) -> list:
    """A flat list of states in the structure of the cell's `state_size`."""
    return keras.tree.pack_sequence_as(as_list(cell.state_size), list(states))


def _runs_itself(cell: Any) -> bool:
    """Whether `run_sequence` is that of the class whose `call` the cell has.

    A subclass with its own `call` is run step by step, by that.
    """
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
    """Any cell over a whole sequence: by its own `run_sequence`, or step by step."""
    if _runs_itself(cell):
        return cell.run_sequence(sequences, states, mask, training, loop)
    if isinstance(cell, KerasDropoutCell):
        cell.get_dropout_mask(sequences[0])
        cell.get_recurrent_dropout_mask(states[0])

    def step(inputs: list, carry: list) -> list:
        y, states = cell(*inputs, _packed(cell, carry[1:]))
        return [y, *keras.tree.flatten(states)]

    # JAX's loop must be told what the cell itself updates, such as the seed of its dropout.
    updated = cell.non_trainable_variables if isinstance(cell, keras.layers.Layer) else []
    no_output = ops.zeros(
        (ops.shape(sequences)[1], width_of_output(cell, sequences.shape[-1])), cell.compute_dtype
    )
    keep = [] if mask is None else [mask]
    y, *state_sequences = recurrence.run(
        step, [sequences], [no_output, *states], keep, loop.unroll, updated
    )
    if isinstance(cell, KerasDropoutCell):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    return y, state_sequences


def recurrence_of(cell: Any, loop: Loop = DEFAULT_LOOP) -> str | list[str]:
    """Which loop a cell takes over a whole sequence."""
    if not hasattr(cell, "run_sequence"):
        return f"plain: the cell is a {type(cell).__name__}"
    if not _runs_itself(cell):
        return f"plain: {type(cell).__name__} has a `call` of its own"
    return cell.recurrence(loop)

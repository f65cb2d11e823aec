"""One step of the sRNN: cells upon cells; and any cell over a whole sequence."""

import keras
from keras import ops

from . import recurrence
from .arguments import CHECKS, cell_list, layer_sizes, numbered
from .cells import (
    Cell,
    DeepTransitionRNNCell,
    KerasDropoutCell,
    as_list,
    output_width,
    state_widths,
)
from .errors import UserError
from .recurrence import DEFAULT_LOOP


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class StackedRNNCell(Cell):
    """One step of the sRNN, level upon level; see `StackedRNN`.

        h_l(t) = f_l(h_l(t-1), h_{l-1}(t)),   h_0(t) = x(t)

    Args, the weights and their order are those of the layer without the options of its loop.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: List of the states at t-1 of all levels, from below, (B, H of the level) each.
        training: Whether to drop units.

    Returns:
        y(t), shape (B, units of y), and the list of the new states.

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = StackedRNNCell(units=(4, 4), skip="all_to_output")
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    options_of = (DeepTransitionRNNCell,)

    def __init__(self, cells=None, units=None, skip=None, **kwargs):
        keras_arguments = {n: kwargs.pop(n) for n in ("name", "dtype", "trainable") if n in kwargs}
        super().__init__(**keras_arguments)
        if (cells is None) == (units is None):
            raise UserError(
                "give either `cells`, a list of cells, or `units`, the width of each level; "
                f"got cells={cells!r}, units={units!r}."
            )
        if cells is None:
            cells = self._levels(layer_sizes("units", units), keras_arguments.get("dtype"), kwargs)
        elif kwargs:
            raise UserError(
                f"`{next(iter(kwargs))}` can be given with `units` only: "
                "each of the `cells` has its own options."
            )
        self.skip = CHECKS["skip"]("skip", skip)
        self.cells = cell_list("cells", cells)
        self.units = tuple(output_width(cell) for cell in self.cells)

    @staticmethod
    def _levels(sizes, dtype, options):
        """Plain levels of the given widths that share their options, but no random draw."""
        cells = []
        for level, units in enumerate(sizes):
            own = dict(options)
            if level:
                own.pop("num_tokens", None)
                own.pop("input_initializer", None)
            if own.get("seed") is not None:
                own["seed"] = CHECKS["seed"]("seed", own["seed"]) + level
            for role in ("kernel_initializer", "recurrent_initializer"):
                if role in own:
                    # Far from the numbers that a level gives to its own weights.
                    own[role] = numbered(CHECKS[role](role, own[role]), 1000 * level)
            cells.append(DeepTransitionRNNCell(units, dtype=dtype, **own))
        return cells

    @property
    def state_size(self):
        return [width for cell in self.cells for width in state_widths(cell)]

    @property
    def output_size(self):
        sizes = [output_width(cell) for cell in self.cells]
        return sum(sizes) if self.skip == "all_to_output" else sizes[-1]

    def build(self, input_shape):
        self._input_widths = []
        width = input_shape[-1]
        for level, cell in enumerate(self.cells):
            self._input_widths.append(width)
            if isinstance(cell, keras.layers.Layer) and not cell.built:
                cell.build((None, width))
                cell.built = True
            if self.skip == "residual" and level and output_width(cell) != width:
                raise UserError(
                    "`skip='residual'` needs levels of equal width, got "
                    f"{width} below and {output_width(cell)} at level {level + 1}."
                )
            width = output_width(cell)

    def call(self, inputs, states, training=False):
        def one_step(cell, x, own):
            y, own = cell(x, own)
            return y, as_list(own)

        return self._upwards(one_step, inputs, states)

    def over_time(self, sequences, states, mask=None, training=False, loop=DEFAULT_LOOP):
        """The whole sequence at once, one level after the other; see `DeepRNNCell.over_time`."""

        def all_steps(cell, x, own):
            return over_time(cell, x, own, mask, training, loop)

        return self._upwards(all_steps, sequences, states)

    def recurrence(self, loop=DEFAULT_LOOP):
        """Which loop each level takes; see `DeepRNNCell.recurrence`."""
        return [recurrence_of(cell, loop) for cell in self.cells]

    def _upwards(self, run, x, states):
        """Lets `run(cell, x, its states)` climb the levels; gives the output and all states."""
        states = as_list(states)
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

    def get_dropout_mask(self, x):
        """Draws the masks on the inputs of all levels; `keras.layers.RNN` asks before its loop."""
        for cell, width in zip(self.cells, self._input_widths):
            if isinstance(cell, KerasDropoutCell):
                cell.get_dropout_mask(ops.ones((ops.shape(x)[0], width), self.compute_dtype))

    def get_recurrent_dropout_mask(self, h):
        """Draws the masks on the states of all levels."""
        for cell in self.cells:
            if isinstance(cell, KerasDropoutCell):
                width = state_widths(cell)[0]
                cell.get_recurrent_dropout_mask(
                    ops.ones((ops.shape(h)[0], width), self.compute_dtype)
                )

    def reset_dropout_mask(self):
        for cell in self.cells:
            if isinstance(cell, KerasDropoutCell):
                cell.reset_dropout_mask()

    def reset_recurrent_dropout_mask(self):
        for cell in self.cells:
            if isinstance(cell, KerasDropoutCell):
                cell.reset_recurrent_dropout_mask()

    def get_config(self):
        config = keras.layers.Layer.get_config(self)
        cells = [keras.saving.serialize_keras_object(cell) for cell in self.cells]
        return {**config, "cells": cells, "skip": self.skip}


def over_time(cell, sequences, states, mask=None, training=False, loop=DEFAULT_LOOP):
    """Any cell over a whole sequence: by its own `over_time`, or step by step."""
    if hasattr(cell, "over_time"):
        return cell.over_time(sequences, states, mask, training, loop)
    if isinstance(cell, KerasDropoutCell):
        cell.get_dropout_mask(sequences[:, 0])
        cell.get_recurrent_dropout_mask(states[0])

    def step(x, carry):
        y, states = cell(x, carry[1:])
        return [y, *as_list(states)]

    batch = ops.shape(sequences)[0]
    no_output = ops.zeros((batch, output_width(cell)), dtype=cell.compute_dtype)
    y, *state_sequences = recurrence.run(step, sequences, [no_output, *states], mask, loop.unroll)
    if isinstance(cell, KerasDropoutCell):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    return y, state_sequences


def recurrence_of(cell, loop=DEFAULT_LOOP):
    """Which loop a cell takes over a whole sequence."""
    if hasattr(cell, "recurrence"):
        return cell.recurrence(loop)
    return f"plain: the cell is a {type(cell).__name__}"

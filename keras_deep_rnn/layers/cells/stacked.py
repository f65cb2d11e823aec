"""One step of the sRNN: levels of cells."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...recurrence import DEFAULT_LOOP, Loop
from ...utils.errors import UserError
from ...utils.keras_compat import KerasDropoutCell
from ...utils.validation import CHECKS, cell_list, layer_sizes
from ..initializers import numbered
from ..options import CellOptions, Described, keras_options
from .base import (
    Cell,
    as_list,
    built_output_width,
    initial_states,
    output_width,
    pack_states,
    state_widths,
)
from .paper import DeepTransitionRNNCell
from .sequence import recurrence_of, run_sequence


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class StackedRNNCell(Cell):
    """One step of the sRNN, level upon level; see `StackedRNN`.

    Arguments and weight order: see `StackedRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
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
        intermediate_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        of_keras = keras_options(**options)
        super().__init__(**of_keras)
        self.refuse_unknown(options)
        if units is not None and cells is None and not _are_widths(units):
            units, cells = None, units
        if (cells is None) == (units is None):
            raise UserError(
                "give either `units`, the width of each level, or `cells`, a list of cells; "
                f"got cells={cells!r}, units={units!r}."
            )
        if cells is None:
            of_level = dict(
                transition_units=transition_units,
                shortcut=shortcut,
                input_to=input_to,
                intermediate_activation=intermediate_activation,
                **options,
            )
            of_level.pop("name", None)
            cells = _levels(layer_sizes("units", units), level_dropout, of_level)
        else:
            changed = {
                **{name: name not in of_keras for name in options},
                "transition_units": bool(transition_units),
                "shortcut": bool(shortcut),
                "input_to": input_to != "first",
                "intermediate_activation": intermediate_activation is not None,
                "level_dropout": level_dropout is not None,
            }
            of_levels = [name for name in changed if changed[name]]
            if of_levels:
                raise UserError(
                    f"`{of_levels[0]}` can be given with `units` only: "
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
        """The number of tokens of the lowest level, where x(t) is a token; else None."""
        return getattr(self.cells[0], "input_tokens", None)

    @property
    def learn_initial_state(self) -> bool:
        """Whether a level learns its states before the first step."""
        return any(getattr(cell, "learn_initial_state", False) for cell in self.cells)

    @property
    def state_size(self) -> list[int]:
        return [width for cell in self.cells for width in state_widths(cell)]

    @property
    def output_size(self) -> int:
        return sum(self._widths) if self.skip == "all_to_output" else self._widths[-1]

    @property
    def _widths(self) -> list[int]:
        """Widths of the levels' outputs; of user-defined cells they are known once built."""
        return getattr(self, "_built_widths", None) or [output_width(cell) for cell in self.cells]

    def build(self, input_shape: Sequence) -> None:
        self._input_widths, widths, width = [], [], input_shape[-1]
        for level, cell in enumerate(self.cells):
            self._input_widths.append(width)
            if isinstance(cell, keras.layers.Layer) and not cell.built:
                cell.build((None, width))
                cell.built = True
            below, width = width, built_output_width(cell, width)
            if self.skip == "residual" and level and width != below:
                raise UserError(
                    "`skip='residual'` needs levels of equal width, got "
                    f"{below} below and {width} at level {level + 1}."
                )
            widths.append(width)
        self._built_widths = widths

    def get_initial_state(self, batch_size: Any = None) -> list:
        """The states of all levels before the first step, from below."""
        return [state for cell in self.cells for state in initial_states(cell, batch_size)]

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list]:
        def one_step(cell: Any, x: Any, own: list) -> tuple[Any, list]:
            y, own = cell(x, pack_states(cell, own))
            return y, keras.tree.flatten(own)

        return self.run_levels(one_step, inputs, as_list(states))

    def run_sequence(
        self,
        sequences: Any,
        states: list,
        mask: Any = None,
        training: bool = False,
        loop: Loop = DEFAULT_LOOP,
    ) -> tuple[Any, list]:
        """Runs one level after the other over the sequence; see `DeepRNNCell.run_sequence`."""

        def all_steps(cell: Any, x: Any, own: list) -> tuple[Any, list]:
            return run_sequence(cell, x, own, mask, training, loop)

        return self.run_levels(all_steps, sequences, states)

    def recurrence(self, loop: Loop = DEFAULT_LOOP) -> list:
        """Which loop runs each level; see `DeepRNNCell.recurrence`."""
        return [recurrence_of(cell, loop) for cell in self.cells]

    def run_levels(self, run: Callable, x: Any, states: list) -> tuple[Any, list]:
        """Applies `run(cell, x, its states)` to each level; gives the output and all states."""
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
        """Draws the dropout masks of all levels, as `keras.layers.RNN` does before its loop."""
        for cell, width in zip(self.cells, self._input_widths):
            if isinstance(cell, KerasDropoutCell):
                cell.get_dropout_mask(ops.ones((ops.shape(x)[0], width), self.compute_dtype))

    def get_recurrent_dropout_mask(self, h: Any) -> None:
        """Draws the recurrent dropout masks of all levels."""
        for cell in self._dropout_cells:
            shape = ops.shape(h)[0], state_widths(cell)[0]
            cell.get_recurrent_dropout_mask(ops.ones(shape, self.compute_dtype))

    def reset_dropout_mask(self) -> None:
        for cell in self._dropout_cells:
            cell.reset_dropout_mask()

    def reset_recurrent_dropout_mask(self) -> None:
        for cell in self._dropout_cells:
            cell.reset_recurrent_dropout_mask()

    @property
    def _dropout_cells(self) -> list:
        return [cell for cell in self.cells if isinstance(cell, KerasDropoutCell)]

    def get_config(self) -> dict[str, Any]:
        config = keras.layers.Layer.get_config(self)
        cells = [keras.saving.serialize_keras_object(cell) for cell in self.cells]
        return {**config, "cells": cells, "skip": self.skip}


def _are_widths(units: Any) -> bool:
    """Whether these are not cells, so that they are meant to be widths."""
    given = units if isinstance(units, (list, tuple)) and units else [units]
    return not any(hasattr(cell, "call") or isinstance(cell, dict) for cell in given)


def _levels(sizes: Sequence[int], level_dropout: float | None, options: dict) -> list:
    """Deep-transition cells of the given widths with the same options and different seeds."""
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
                # Far from the numbers that a level gives its own weights.
                own[role] = numbered(CHECKS[role](role, own[role]), 1000 * level)
        own["name"] = f"level_{level + 1}"
        cells.append(DeepTransitionRNNCell(units, **own))
    return cells

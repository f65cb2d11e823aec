"""Records the calls of the recurrent cells while a model runs, and probes their states."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import DeepRNN, DeepRNNCell, StackedRNNCell
from ...layers.cells.base import as_list
from ...layers.cells.sequence import has_run_sequence
from ...layers.operators.operator import apply_zoneout, at_all_steps
from ...recurrence import Loop
from ...utils.keras_compat import sublayers


@dataclasses.dataclass
class CellCall:
    """What one call of a cell read and computed, with time as the first axis.

    Attributes:
        name: Name of the layer, and of the level in a stack: "recurrent/level_1".
        cell: The cell.
        x: Its input, (T, B, D), in the order in which it was read.
        first_states: The states before the first step, (B, H) each.
        mask: Boolean, (T, B, 1), or None; where it is False the states stay as they are.
        states: The states at every step, (T, B, H) each.
    """

    name: str
    cell: DeepRNNCell
    x: Any
    first_states: list
    mask: Any
    states: list

    def step(self, x: Any, mask: Any, states: list) -> list:
        """The states after one step of inference.

        Args:
            x: (B, D).
            mask: Boolean, (B, 1), or None.
            states: The states before it, (B, H) each.
        """
        new = apply_zoneout(as_list(self.cell.plus([x, *states])), states, self.cell.zoneout)
        if mask is None:
            return new
        return [ops.where(mask, after, before) for after, before in zip(new, states)]


def recurrent_cells(model: keras.layers.Layer) -> tuple[list[tuple[str, DeepRNNCell]], list[str]]:
    """The cells of the recurrent layers in a model, by name, and the names of those of others.

    The second list has the layers and cells that cannot be recorded: of Keras, or with a `call` of
    their own.
    """
    found: dict[int, tuple[str, DeepRNNCell]] = {}
    skipped = []

    def add(name: str, cell: Any) -> None:
        if isinstance(cell, StackedRNNCell) and has_run_sequence(cell):
            for level, inner in enumerate(cell.cells, start=1):
                add(f"{name}/level_{level}", inner)
        elif isinstance(cell, DeepRNNCell) and has_run_sequence(cell):
            found.setdefault(id(cell), (name, cell))
        else:
            skipped.append(f"{name} ({type(cell).__name__})")

    for layer in [model, *sublayers(model)]:
        if isinstance(layer, DeepRNN):
            add(layer.name, layer.cell)
        elif isinstance(layer, keras.layers.RNN):
            skipped.append(f"{layer.name} ({type(layer).__name__})")
    return list(found.values()), skipped


@contextlib.contextmanager
def recorded(
    cells: Sequence[tuple[str, DeepRNNCell]], probes: Sequence[Sequence] | None = None
) -> Iterator[list[CellCall]]:
    """Records the calls of cells in the block, in their order.

    Args:
        cells: Result of `recurrent_cells`.
        probes: Tensors to add to the states of each call, (T, B, H) each, before the output is
            computed from them; None for none. They do not enter the recurrence: the gradient with
            respect to a probe is that of the paths that leave h(t) upwards.

    Yields:
        The list of the calls, which grows.
    """
    calls: list[CellCall] = []

    def recording(name: str, cell: DeepRNNCell, original: Callable) -> Callable:
        def run_sequence(
            sequences: Any, states: list, mask: Any = None, training: bool = False, *loop: Loop
        ) -> tuple[Any, list]:
            y, history = original(sequences, states, mask, training, *loop)
            if probes is not None:
                history = [h + probe for h, probe in zip(history, probes[len(calls)])]
                y = history[0]
                y = y if cell.predict is None else at_all_steps(cell.predict, y)
            calls.append(CellCall(name, cell, sequences, list(states), mask, history))
            return y, history

        return run_sequence

    try:
        for name, cell in cells:
            # Past Keras's tracking of attributes.
            object.__setattr__(cell, "run_sequence", recording(name, cell, cell.run_sequence))
        yield calls
    finally:
        for _, cell in cells:
            cell.__dict__.pop("run_sequence", None)

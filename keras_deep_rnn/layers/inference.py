"""A cell in inference as a plain function, for single steps."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..utils.keras_compat import sublayers
from .cells import DeepRNNCell, StackedRNNCell
from .cells.base import as_list


def inference_of(cell: Any) -> Callable:
    """A cell in inference, as a function of x(t) and the list of states.

    The overhead of Keras around a `call` is several times that of a small step. It is skipped where
    the cell and ⊕ are of this package, for which it would only cast the inputs.
    """
    if isinstance(cell, StackedRNNCell) and type(cell).call is StackedRNNCell.call:
        if all(isinstance(level, DeepRNNCell) for level in cell.cells):
            levels = {id(level): inference_of(level) for level in cell.cells}
            run = functools.partial(_step_of_level, levels)
            return lambda x, states: cell.run_levels(run, x, states)
    own = isinstance(cell, DeepRNNCell) and type(cell).call is DeepRNNCell.call and cell._has_maps
    # Keras passes `training=False` to these.
    inner = [part for part in sublayers(cell) if part is not cell.plus] if own else []
    if not own or any("training" in inspect.signature(part.call).parameters for part in inner):
        return functools.partial(cell, training=False)

    def cast(value: Any) -> Any:
        value = value if ops.is_tensor(value) else ops.convert_to_tensor(value)
        dtype = keras.backend.standardize_dtype(value.dtype)
        fits = dtype == cell.compute_dtype or "float" not in dtype or not cell.autocast
        return value if fits else ops.cast(value, cell.compute_dtype)

    def step(x: Any, states: list) -> tuple[Any, list]:
        x, *states = (cast(value) for value in (x, *states))
        return cell.finish_step(as_list(cell.plus.call([x, *states])), states, False)

    return step


def _step_of_level(levels: dict, cell: Any, x: Any, states: list) -> tuple[Any, list]:
    return levels[id(cell)](x, states)

"""How a layer runs its loop over time, and the plain loop.

Time is the first axis: inputs (T, B, D), state sequences (T, B, H). Each backend's module has the
primitive

    looped(body, shapes, reverse=False, xla=False)

which returns a function of `carry`, `inputs` and `constants`, lists of tensors. It applies
`carry, outputs = body(carry, [x[t] for x in inputs], constants)` for each t, from the last if
`reverse`, and returns the last carry and the stacked outputs, as `jax.lax.scan` does.
"""

import dataclasses
import importlib
import os
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..utils.errors import UserError
from ..utils.keras_compat import without_autocast

BACKENDS = ("tensorflow", "jax", "torch")


def backend() -> types.ModuleType:
    """The module with the loop primitive of the backend that Keras runs on."""
    name = keras.backend.backend()
    if name not in BACKENDS:
        raise UserError(
            f"the backend of Keras must be one of {', '.join(BACKENDS)}, got {name!r}: set "
            "KERAS_BACKEND before Keras is imported."
        )
    return importlib.import_module(f".{name}", __package__)


# A part of fewer rows reads all weights for too little work. Measured on two cores: the loops of
# both halves of a batch are 1.0 to 2 times as fast as one loop from 8 rows on, slower with fewer.
LEAST_ROWS = 4


@dataclasses.dataclass(frozen=True)
class Loop:
    """How a layer runs its loop over time; the layers' arguments of the same names.

    Attributes:
        unroll: Whether the loop is unrolled.
        jit_compile: Whether XLA compiles the recurrence; None for yes, unless the environment
            variable KERAS_DEEP_RNN_XLA is 0.
        batch_parts: Number of parts of the batch whose loops run in parallel; None for the
            backend's default.
        remat: Steps of a chunk of time whose affine maps are recomputed in the backward pass; None
            stores those of all steps.
        persistent: Whether one kernel that keeps the weights on a GPU's chip runs all steps, where
            it fits.
    """

    unroll: bool = False
    jit_compile: bool | None = None
    batch_parts: int | None = None
    remat: int | None = None
    persistent: bool = True

    def compiled(self, batch: int | None = 1) -> bool:
        """Whether XLA compiles the recurrence of a batch of that size (None: unknown).

        Never in an export: a stock TF Serving rejects ops compiled by XLA.
        """
        if self.jit_compile is not None:
            return self.jit_compile and not backend().exporting()
        enabled = os.environ.get("KERAS_DEEP_RNN_XLA", "1") != "0"
        return enabled and not backend().exporting(batch)

    def parts(self) -> tuple[int, int]:
        """The largest number of parts of the batch, and the least number of rows of a part."""
        if self.batch_parts is not None:
            return self.batch_parts, 1
        return (1 if backend().exporting() else backend().default_parts()), LEAST_ROWS

    def one_product(self) -> bool:
        """Whether all products with a state in a step are one.

        Faster where the parts of the batch keep all cores busy; otherwise XLA runs the small ones
        in parallel. An export does as the model did, so that it rounds alike.
        """
        return (self.batch_parts or backend().default_parts()) > 1


DEFAULT_LOOP = Loop()


def warn_if_slow(dtype: str) -> None:
    """Warns of 16-bit types on a machine without an accelerator."""
    if dtype in ("float16", "bfloat16") and not backend().accelerated():
        warnings.warn(
            f"a recurrence in {dtype} is up to six times as slow as one in float32 on a processor "
            "without an accelerator",
            stacklevel=2,
        )


def available_cores() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def number_of_parts(rows: Any, parts: int, least: int) -> int:
    """`parts`, or fewer, so that each has at least `least` of the rows."""
    # In shape inference JAX's number of rows is symbolic.
    return max(min(parts, rows // least), 1) if isinstance(rows, int) else 1


def split_with(array_split: Callable, tensors: list, parts: int, least: int, axis: int) -> list:
    """The tensors in parts along an axis, see `tensorflow.split`, by a framework's own function."""
    parts = number_of_parts(tensors[0].shape[axis], parts, least)
    if parts == 1:
        return [list(tensors)]
    return list(zip(*(array_split(tensor, parts, axis) for tensor in tensors)))


def run(
    step: Callable,
    inputs: Sequence,
    states: Sequence,
    masks: Sequence = (),
    unroll: bool = False,
    variables: Sequence = (),
) -> list:
    """The plain loop: any step, differentiated by the backend.

    Args:
        step: Function of the list of inputs at t, (B, n) each, and the list of states at t-1 to
            the list of states at t.
        inputs: List of tensors (T, B, n).
        states: List of the states before the first step, (B, H) each.
        masks: Boolean masks (T, B, 1) or (T, B, H): none, one for all states, or one for each.
            Where one is False, the state stays as it is.
        unroll: Whether to unroll the loop; T must then be known.
        variables: Those that the step may update, such as the seed of a dropout layer.

    Returns:
        List of the states at every step, (T, B, H) each.
    """
    # Only JAX's loop must carry what its body updates.
    variables = list(variables) if keras.backend.backend() == "jax" and not unroll else []
    count = len(states)

    def body(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        old, values = carry[:count], carry[count:]
        x, live = inputs[:count_x], inputs[count_x:]
        if not variables:
            new = step(x, old)
        else:
            with keras.StatelessScope(state_mapping=list(zip(variables, values))) as scope:
                new = step(x, old)
            values = [scope.get_current_value(variable) for variable in variables]
        if live:
            new = [ops.where(*values) for values in zip(for_each(live, new), new, old)]
        return [*new, *values], list(new)

    inputs, count_x = [*inputs, *masks], len(inputs)
    shapes = [state.shape[-1] for state in states]
    with without_autocast():
        first = [ops.convert_to_tensor(variable) for variable in variables]
    loop = unrolled if unroll else backend().looped
    carry, sequences = loop(body, shapes)([*states, *first], inputs, [])
    for variable, value in zip(variables, carry[count:]):
        variable.assign(value)
    return sequences


def for_each(masks: Sequence, states: Sequence) -> Sequence:
    """The mask of each state: one for all, or one for each."""
    return masks if len(masks) == len(states) else [masks[0]] * len(states)


def unrolled(
    body: Callable, shapes: Sequence, reverse: bool = False, xla: bool = False
) -> Callable:
    """The backends' `looped`, with one copy of the body for each t."""

    def loop(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        steps = list(zip(*(ops.unstack(x) for x in inputs)))
        history = []
        for now in reversed(steps) if reverse else steps:
            carry, outputs = body(carry, list(now), constants)
            history.append(outputs)
        if reverse:
            history.reverse()
        return carry, [ops.stack(values) for values in zip(*history)]

    return loop

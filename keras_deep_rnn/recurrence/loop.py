"""The loop over time: what is the same on every backend, and the plain loop.

Everything here has time as its first axis: inputs (T, B, D), state sequences (T, B, H). Each
backend's module has the primitive

    looped(body, shapes, reverse=False, xla=False)

which gives a function of `carry`, `inputs` and `constants`, lists of tensors. That applies
`carry, outputs = body(carry, [x[t] for x in inputs], constants)` for each t, from the last if
`reverse`, and returns the last carry and the stacked outputs.
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


def on_jax() -> bool:
    """Whether Keras runs on JAX."""
    return keras.backend.backend() == "jax"


# A part of fewer rows reads all weights for too little work: measured on two cores, the loops of
# both halves of a batch ran 1.0 to 2 times as fast as one loop from 8 rows on, slower with fewer.
LEAST_ROWS = 4


@dataclasses.dataclass(frozen=True)
class Loop:
    """How a layer runs its loop over time; the layers' arguments of the same names.

    Attributes:
        unroll: Whether the steps are written out one by one.
        jit_compile: Whether XLA compiles the recurrence; None for yes, unless the environment
            variable KERAS_DEEP_RNN_XLA is 0.
        batch_parts: Into how many parts the batch is split, whose loops run side by side; None for
            what suits the machine.
        remat: Steps of a chunk of time whose affine maps are recomputed in the backward pass; None
            stores those of all steps.
        persistent: Whether one kernel that keeps the weights on a GPU's chip runs all steps, where
            it fits.
    """

    unroll: bool = False
    jit_compile: bool | None = None
    batch_parts: int | None = None
    remat: int | None = None
    persistent: bool = False

    def compiled(self, batch: int | None = 1) -> bool:
        """Whether XLA compiles the recurrence of a batch of that size (None: unknown).

        Never in an export: a stock TF Serving refuses what XLA has compiled.
        """
        if self.jit_compile is not None:
            return self.jit_compile and not backend().exporting()
        asked = os.environ.get("KERAS_DEEP_RNN_XLA", "1") != "0"
        return asked and not backend().exporting(batch)

    def parts(self) -> tuple[int, int]:
        """Into how many parts the batch is split, at most, and the least rows of a part."""
        if self.batch_parts is not None:
            return self.batch_parts, 1
        return (1 if backend().exporting() else backend().parts_side_by_side()), LEAST_ROWS

    def one_product(self) -> bool:
        """Whether all products with a state in a step are one.

        That is best where the parts of the batch keep all cores busy; otherwise XLA runs small ones
        side by side. An export does as the model did, so that it rounds alike.
        """
        return (self.batch_parts or backend().parts_side_by_side()) > 1


DEFAULT_LOOP = Loop()


def warn_if_slow(dtype: str) -> None:
    """Warns of 16-bit arithmetic where there is no accelerator for it."""
    if dtype in ("float16", "bfloat16") and not backend().accelerated():
        warnings.warn(
            f"a recurrence in {dtype} is up to six times as slow as one in float32 on a processor "
            "without an accelerator",
            stacklevel=2,
        )


def available_cores() -> int:
    """The processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def number_of_parts(rows: Any, parts: int, least: int) -> int:
    """`parts`, or fewer, so that each has at least `least` of the rows."""
    # Where only shapes are inferred, JAX's rows are a symbol.
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
    keep: Sequence = (),
    unroll: bool = False,
    variables: Sequence = (),
) -> list:
    """The plain loop: any step, differentiated as it is written.

    Args:
        step: Function of the list of inputs at t, (B, n) each, and the list of states at t-1; gives
            the list of states at t.
        inputs: List of tensors (T, B, n).
        states: List of the states before the first step, (B, H) each.
        keep: Boolean masks (T, B, 1) or (T, B, H): none, one for all states, or one for each. Where
            it is False, the state stays as it is.
        unroll: Whether to write the steps out one by one; T must be known then.
        variables: Those that the step may update, such as the seed of a dropout layer.

    Returns:
        List of the states at every step, (T, B, H) each.
    """
    # Only JAX's loop must be handed what its body updates.
    variables = list(variables) if on_jax() and not unroll else []
    count = len(states)

    def body(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        old, values = carry[:count], carry[count:]
        now, live = inputs[:fed], inputs[fed:]
        if not variables:
            new = step(now, old)
        else:
            with keras.StatelessScope(state_mapping=list(zip(variables, values))) as scope:
                new = step(now, old)
            values = [scope.get_current_value(variable) for variable in variables]
        if live:
            new = [ops.where(*values) for values in zip(for_each(live, new), new, old)]
        return [*new, *values], list(new)

    inputs, fed = [*inputs, *keep], len(inputs)
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
    """The same as the backends' `looped`, with one copy of the body for each t."""

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

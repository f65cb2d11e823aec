"""The loop over time: what is the same on every backend.

`run` loops any step; `transition.run` loops the transition of ⊕, with a gradient of its own. Both
stand on one primitive, the `scan` of the backend's module:

    scan(step, carry, inputs, shapes, reverse=False)

applies `carry, outputs = step(carry, [x[t] for x in inputs])` for each t, from the last if
`reverse`, and gives the last carry and the stacked outputs. Time is the first axis of inputs and
results; outputs have the given shapes, in the type of the carry.
"""

import dataclasses
import importlib
import os
import warnings

import keras
from keras import ops


def backend():
    """The module with the loop primitive of the backend that Keras runs on."""
    return importlib.import_module(f".{keras.backend.backend()}_loop", __name__)


def on_jax():
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
        remat: Steps of a chunk of time whose hidden layers are computed again on the way back; None
            for keeping those of all steps.
    """

    unroll: bool = False
    jit_compile: bool | None = None
    batch_parts: int | None = None
    remat: int | None = None

    def compiled(self):
        """Whether XLA compiles the recurrence: never in an export.

        A stock TF Serving refuses what XLA has compiled.
        """
        asked = self.jit_compile
        if asked is None:
            asked = os.environ.get("KERAS_DEEP_RNN_XLA", "1") != "0"
        return asked and not backend().exporting()

    def parts(self):
        """Into how many parts the batch is split, at most, and the least rows of a part."""
        if self.batch_parts is not None:
            return self.batch_parts, 1
        return (1 if backend().exporting() else backend().parts_side_by_side()), LEAST_ROWS


DEFAULT_LOOP = Loop()


def warn_if_slow(dtype):
    """Warns of 16-bit arithmetic where there is no accelerator for it."""
    if dtype in ("float16", "bfloat16") and not backend().accelerated():
        warnings.warn(
            f"a recurrence in {dtype} is up to six times as slow as one in float32 on a processor "
            "without an accelerator",
            stacklevel=2,
        )


def available_cores():
    """The processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def number_of_parts(rows, parts, least):
    """`parts`, or fewer, so that each has at least `least` of the rows."""
    # Where only shapes are inferred, JAX's rows are a symbol.
    return max(min(parts, rows // least), 1) if isinstance(rows, int) else 1


def run(step, inputs, states, mask=None, unroll=False):
    """Runs a recurrence over a batch of sequences.

    Args:
        step: Function of x(t), shape (B, D), and the list of states at t-1, each (B, H); gives the
            list of states at t.
        inputs: Tensor of shape (B, T, D).
        states: List of the states before the first step, each (B, H).
        mask: Boolean tensor (B, T) or None. Where it is False the states stay as they are.
        unroll: Whether to write the steps out one by one; T must be known then.

    Returns:
        List of the states at every step, each of shape (B, T, H).
    """
    inputs = [ops.swapaxes(inputs, 0, 1)]
    if mask is not None:
        inputs.append(ops.expand_dims(ops.transpose(mask), -1))

    def masked_step(states, inputs):
        new_states = step(inputs[0], states)
        if mask is not None:
            new_states = [ops.where(inputs[1], new, old) for new, old in zip(new_states, states)]
        return new_states, new_states

    scan = unrolled_scan if unroll else backend().scan
    shapes = [(states[0].shape[0], state.shape[-1]) for state in states]
    _, sequences = scan(masked_step, states, inputs, shapes)
    return [ops.swapaxes(sequence, 0, 1) for sequence in sequences]


def unrolled_scan(step, carry, inputs, shapes, reverse=False):
    """The same as the backends' `scan`, with one copy of the step for each t."""
    steps = list(zip(*(ops.unstack(x) for x in inputs)))
    history = []
    for now in reversed(steps) if reverse else steps:
        carry, outputs = step(carry, now)
        history.append(outputs)
    if reverse:
        history.reverse()
    return carry, [ops.stack(values) for values in zip(*history)]

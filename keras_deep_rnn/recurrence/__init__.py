"""The loop over time: what is the same on every backend.

`run` loops any step; `transition.run` loops the transition of ⊕, with a gradient of its own. Both
stand on one primitive, the `scan` of the backend's module:

    scan(step, carry, inputs, widths, reverse=False)

applies `carry, outputs = step(carry, [x[t] for x in inputs])` for each t, from the last if
`reverse`, and gives the last carry and the stacked outputs. Time is the first axis of inputs and
results; outputs are (B, width) in the type of the carry.
"""

import importlib
import os

import keras
from keras import ops


def backend():
    """The module with the loop primitive of the backend that Keras runs on."""
    return importlib.import_module(f".{keras.backend.backend()}_loop", __name__)


def on_jax():
    """Whether Keras runs on JAX."""
    return keras.backend.backend() == "jax"


def xla():
    """Whether XLA compiles the recurrence: yes, unless KERAS_DEEP_RNN_XLA is 0 or in an export.

    A stock TF Serving refuses what XLA has compiled.
    """
    return os.environ.get("KERAS_DEEP_RNN_XLA", "1") != "0" and not backend().exporting()


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
    widths = [state.shape[-1] for state in states]
    _, sequences = scan(masked_step, states, inputs, widths)
    return [ops.swapaxes(sequence, 0, 1) for sequence in sequences]


def unrolled_scan(step, carry, inputs, widths, reverse=False):
    """The same as the backends' `scan`, with one copy of the step for each t."""
    times = range(inputs[0].shape[0])
    history = []
    for t in reversed(times) if reverse else times:
        carry, outputs = step(carry, [x[t] for x in inputs])
        history.append(outputs)
    if reverse:
        history.reverse()
    return carry, [ops.stack(values) for values in zip(*history)]

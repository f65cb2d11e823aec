"""The loop over time: what is the same on every backend. `scan` is each backend's own part."""

import importlib

import keras
from keras import ops


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
        if mask is None:
            return new_states
        return [ops.where(inputs[1], new, old) for new, old in zip(new_states, states)]

    scan = unrolled_scan if unroll or keras.backend.backend() == "torch" else compiled_scan()
    return [ops.swapaxes(sequence, 0, 1) for sequence in scan(masked_step, states, inputs)]


def compiled_scan():
    """`scan` of the backend that Keras runs on, as one loop of its graph."""
    return importlib.import_module(f".{keras.backend.backend()}_scan", __name__).scan


def unrolled_scan(step, carry, inputs):
    """The same as the backends' `scan`, with one copy of the step for each t.

    On PyTorch, which runs step by step anyway, this is the loop.
    """
    history = []
    for t in range(inputs[0].shape[0]):
        carry = step(carry, [x[t] for x in inputs])
        history.append(carry)
    return [ops.stack(values) for values in zip(*history)]

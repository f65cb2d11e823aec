"""Gradients with respect to the states at every step, and the Jacobians of single steps.

Shapes: B batch, T time steps, H units of a state.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from ...recurrence import backend
from .recording import CellCall


def state_gradients(call: CellCall, direct: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Backpropagates through the recurrence of one cell.

        g(t) = direct(t) + g(t+1) dh(t+1)/dh(t)

    With several states, such as those of an LSTM, h stands for all of them side by side.

    Args:
        call: The recorded call.
        direct: Of each state the gradient that does not come through the recurrence, (T, B, H).

    Returns:
        The norms of g(t) for each row, (T, B); and how much of the gradient of each row's last
        step is left k steps before it, (T, B) with k as the first axis: the norm of the gradient
        that has come through these k steps, divided by that of the last step's direct(t). The last
        step is the last one with a direct gradient; NaN before the first step.
    """
    pull_back, steps = _pull_back(call), len(direct[0])
    own = np.sqrt(sum(np.sum(np.square(d, dtype="float64"), axis=-1) for d in direct))
    last = steps - 1 - np.argmax((own > 0)[::-1], axis=0)
    total, carried = ([np.zeros_like(d[0]) for d in direct] for _ in range(2))
    norms, carried_norms = np.zeros_like(own), np.zeros_like(own)
    for t in reversed(range(steps)):
        if t + 1 < steps:
            both = [np.concatenate(pair) for pair in zip(total, carried)]
            found = pull_back(t + 1, np.tile(np.arange(own.shape[1]), 2), both)
            total, carried = zip(*(np.split(gradient, 2) for gradient in found))
        total = [gradient + d[t] for gradient, d in zip(total, direct)]
        begins = (last == t)[:, None]
        carried = [np.where(begins, d[t], gradient) for gradient, d in zip(carried, direct)]
        norms[t], carried_norms[t] = _norms(total), _norms(carried)
    left = np.full_like(carried_norms, np.nan)
    for row, end in enumerate(last):
        if own[end, row] > 0:
            left[: end + 1, row] = carried_norms[: end + 1, row][::-1] / own[end, row]
    return norms, left


def jacobian_singular_values(call: CellCall, row: int) -> np.ndarray:
    """The largest singular value of dh(t)/dh(t-1) at every step of one row, (T,).

    The Jacobian is computed whole, from one pullback of the unit vectors. With several states h
    stands for all of them side by side.
    """
    pull_back, widths = _pull_back(call), [state.shape[-1] for state in call.states]
    unit_vectors = np.split(np.eye(sum(widths), dtype="float32"), np.cumsum(widths)[:-1], axis=1)
    found = []
    for t in range(len(call.states[0])):
        rows = np.full(sum(widths), row)
        jacobian = np.concatenate(pull_back(t, rows, unit_vectors), axis=1).astype("float64")
        finite = np.all(np.isfinite(jacobian))
        # The eigenvalues of J^T J take a fraction of the time of a decomposition of J.
        largest = np.linalg.eigvalsh(jacobian.T @ jacobian)[-1] if finite else np.nan
        found.append(np.sqrt(np.maximum(largest, 0)))
    return np.array(found)


def _pull_back(call: CellCall) -> Callable:
    """A function of t, rows of the batch and gradients of h(t), (N, H) each, to those of h(t-1)."""

    def gradients(x: object, mask: object, states: list, found: list) -> list:
        return backend().vjp(lambda s: call.step(x, mask, s), [states], found)[0]

    run = backend().compiled(gradients)
    array, tensor = ops.convert_to_numpy, ops.convert_to_tensor
    x, mask = array(call.x), None if call.mask is None else array(call.mask)
    first, states = list(map(array, call.first_states)), list(map(array, call.states))
    dtypes = [keras.backend.standardize_dtype(state.dtype) for state in call.states]

    def pull_back(t: int, rows: np.ndarray, found: list[np.ndarray]) -> list[np.ndarray]:
        before = first if t == 0 else [state[t - 1] for state in states]
        arguments = [
            tensor(x[t][rows]),
            None if mask is None else tensor(mask[t][rows]),
            [tensor(state[rows], dtype) for state, dtype in zip(before, dtypes)],
            [tensor(gradient, dtype) for gradient, dtype in zip(found, dtypes)],
        ]
        return [np.asarray(ops.convert_to_numpy(g), "float32") for g in run(*arguments)]

    return pull_back


def _norms(gradients: list[np.ndarray]) -> np.ndarray:
    """The norm of each row of gradients, (B, H) each."""
    return np.sqrt(sum(np.sum(np.square(g, dtype="float64"), axis=-1) for g in gradients))

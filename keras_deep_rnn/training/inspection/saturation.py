"""The share of the values of a layer at which its activation has almost no slope."""

from typing import Any

import numpy as np
from keras import activations, ops

from ...layers import Operator, Plus
from ...layers.gated.base import GatedPlus
from ...recurrence.affine import affine_of
from ...recurrence.fast_loop.weight_gradients import flatten_time
from ...utils.keras_compat import autocast
from .recording import CellCall

# |tanh(z)| above which a unit is saturated: its slope, 1 - a^2, is then below 0.0975.
LIMIT = 0.95


def saturation(call: CellCall) -> dict[str, float]:
    """The saturated share of the values of each layer of the transition.

    Counted are the units at every unmasked step of every row. Of tanh: abs(a) > 0.95, where the
    slope is below 0.0975; of sigmoid the same, abs(2a - 1) > 0.95; of relu: units that are 0
    at every step. Of a gated network it is that of h, where its activation is tanh.

    Args:
        call: The recorded call.

    Returns:
        {"a_1", "a_2", ... of the layers below h, and "h": share from 0 to 1}; layers with another
        activation are left out.
    """
    plus: Any = call.cell.plus
    values: dict[str, tuple[Any, np.ndarray]] = {}
    if isinstance(plus, GatedPlus):
        if plus.activation is activations.tanh:  # of another one h has no such limits
            values["h"] = plus.activation, _flat(call.states[0])
    elif isinstance(plus, Operator) and type(plus).call is Operator.call:
        phis = [part.activation for part in plus.affine_maps()]
        names = [f"a_{i}" for i in range(1, len(phis) + 1)]
        if isinstance(plus, Plus):  # the last layer of its transition is h
            names[-1] = "h"
        for i, a in _map_values(call).items():
            values[names[i]] = phis[i], a
    counted = ... if call.mask is None else ops.convert_to_numpy(call.mask).reshape(-1)
    shares = {name: _share(phi, a[counted]) for name, (phi, a) in values.items()}
    return {name: share for name, share in shares.items() if share is not None}


def _map_values(call: CellCall) -> dict[int, np.ndarray]:
    """The value of each affine map with an activation at every step of every row: (T*B, units)."""
    plus: Any = call.cell.plus
    # All steps of all rows at once, as rows: a step may look at the other axes.
    before = [
        flatten_time(ops.concatenate([ops.cast(first, after.dtype)[None], after[:-1]]))
        for first, after in zip(call.first_states, call.states)
    ]
    x = ops.cast(call.x, plus.compute_dtype) if plus.autocast else call.x
    values: dict[int, np.ndarray] = {}

    def recording(i: int, *us: Any) -> Any:
        value = affine(i, *us)
        if plus.maps[i].activation is not None and plus.maps[i].pieces == 1:
            values[i] = _flat(value)
        return value

    with autocast(plus.compute_dtype):
        projections = [flatten_time(projection) for projection in plus.project(x)]
        affine = affine_of(plus.maps, projections, plus.loop_kernels(), plus.loop_biases())
        plus.run_step(recording, before)
    return values


def _flat(values: Any) -> np.ndarray:
    array = ops.convert_to_numpy(values).astype("float32")
    return array.reshape(-1, array.shape[-1])


def _share(phi: Any, a: np.ndarray) -> float | None:
    """The saturated share of values (N, units); None for an activation without a rule."""
    if not len(a):
        return None
    if phi is activations.tanh:
        return float(np.mean(np.abs(a) > LIMIT))
    if phi is activations.sigmoid:
        return float(np.mean(np.abs(2 * a - 1) > LIMIT))
    if phi is activations.relu:
        return float(np.mean(np.all(a <= 0, axis=0)))
    return None

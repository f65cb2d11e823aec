"""`inspect`: a recurrent network seen from inside, on one batch.

Shapes: B batch, T time steps, H units of h.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ...recurrence import backend
from ...utils.errors import NOTHING, ArgumentError, UserError, Words
from .advice import advice_of
from .recording import CellCall, recorded, recurrent_cells
from .saturation import saturation
from .through_time import jacobian_singular_values, state_gradients


@dataclasses.dataclass(frozen=True)
class LayerInspection:
    """One recurrent layer, or one level of a stack, on a batch. The inference network is meant.

    t counts the steps in the order in which the layer reads them.

    Attributes:
        name: Name of the layer; of a level "layer/level_1"; of a later call of the same layer with
            "#2" at its end.
        network: Class of the cell.
        units: H, the width of h.
        states: The states at every step, (B, T, H) each, h first; an LSTM has a second one, c.
        saturation: {layer of the transition: saturated share from 0 to 1} of "a_1", "a_2", ... and
            "h", as far as their activations are tanh (abs(a) > 0.95), sigmoid (abs(2a - 1) > 0.95)
            or relu (units that are 0 at every step).
        gradient_norm: (B, T), the norm of the gradient of the loss with respect to the states at
            t, through all paths: the output at t and all later steps.
        gradient_left: (B, T), how much of the gradient of the last step is left k steps before it:
            the norm after k steps back through the recurrence of this layer alone, divided by the
            norm at the last step that the loss depends on; index k, 1 at k = 0, NaN before the
            first step.
        singular_value: (T,), the largest singular value of the Jacobian dh(t)/dh(t-1), of one row:
            below 1 a step shrinks every gradient. Several states count as one.
    """

    name: str
    network: str
    units: int
    states: tuple[np.ndarray, ...]
    saturation: dict[str, float]
    gradient_norm: np.ndarray
    gradient_left: np.ndarray
    singular_value: np.ndarray

    @property
    def mean_gradient_left(self) -> np.ndarray:
        """The mean of `gradient_left` over the rows that are long enough, (T,); NaN for none."""
        known = np.isfinite(self.gradient_left)
        total = np.where(known, self.gradient_left, 0).sum(axis=0)
        rows = known.sum(axis=0)
        return np.where(rows > 0, total / np.maximum(rows, 1), np.nan)


@dataclasses.dataclass(frozen=True)
class WeightInspection:
    """One trainable weight of the model.

    Attributes:
        path: Keras's path of the weight.
        shape: Its shape.
        norm: Its norm (the square root of the sum of squares).
        gradient_norm: That of the gradient of the loss.
    """

    path: str
    shape: tuple[int, ...]
    norm: float
    gradient_norm: float


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What `inspect` finds.

    Attributes:
        loss: The loss of the batch.
        layers: Recurrent layers, from the input to the output.
        weights: The trainable weights of the model, in its order.
        skipped: Names of recurrent layers that are not of this package, with their classes.
        row: The row of the batch whose Jacobians were computed.
    """

    loss: float
    layers: tuple[LayerInspection, ...]
    weights: tuple[WeightInspection, ...]
    skipped: tuple[str, ...]
    row: int

    @property
    def advice(self) -> list[str]:
        """What the numbers say about training, a line each; see `advice.py` for the thresholds."""
        return [line for layer in self.layers for line in advice_of(layer)]


def inspect(
    model: keras.Model, batch: Any, *, loss: Callable | str | None = None, row: int = 0
) -> Inspection:
    """Looks inside the recurrent layers of a model: states, saturation, gradients through time.

    The model runs in inference, without dropout; its weights and states stay as they are.

    Args:
        model: Built Keras model with at least one recurrent layer of this package, also inside
            `Bidirectional` and `WeightNoise`. Others are named in `skipped`.
        batch: x, (x, y) or (x, y, sample_weight), as `fit` takes them; x may be a dict of inputs.
            There is no limit to its size, but 8 rows of 100 steps say enough: the time is that of
            T steps back, and of T Jacobians of H x H numbers.
        loss: Keras loss, its name, or a function of y and the outputs whose mean is taken; None:
            that of `compile` with its regularization, or for x alone half the mean square of the
            outputs.
        row: Row of the batch whose Jacobians are computed.

    Returns:
        `Inspection`.

    Raises:
        UserError: The model has no recurrent layer of this package, there is no loss for y, or
            `row` is not a row of the batch.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_deep_rnn
    >>> layer = keras_deep_rnn.DeepTransitionRNN(8, transition_units=(6,), return_sequences=True)
    >>> model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(2)])
    >>> x, y = np.ones((4, 20, 3), "float32"), np.zeros((4, 20, 2), "float32")
    >>> found = keras_deep_rnn.inspect(model, (x, y), loss="mse")
    >>> (layer,) = found.layers
    >>> layer.states[0].shape, layer.gradient_norm.shape, layer.singular_value.shape
    ((4, 20, 8), (4, 20), (20,))
    >>> sorted(layer.saturation)
    ['a_1', 'h']
    """
    cells, skipped = recurrent_cells(model)
    if not cells:
        found = ", ".join(skipped) or f"a {type(model).__name__} without one"
        raise ArgumentError("model", "a recurrent layer of this package", Words(found), verb="have")
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    x, y, sample_weight = keras.tree.map_structure(_tensor, (x, y, sample_weight))
    rows = keras.tree.flatten(x)[0].shape[0]
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < rows:
        raise ArgumentError("row", f"a row of the batch, from 0 to {rows - 1}", row)
    loss_of = _loss(model, loss, x, y, sample_weight)

    variables = model.trainable_variables
    values = [ops.convert_to_tensor(variable.value) for variable in variables]
    calls, outputs = _forward(model, cells, x)
    if not calls:
        raise UserError("no recurrent layer of this package was called by the model.")
    total = loss_of(outputs)  # here, as its first call may make variables
    probes = [[ops.zeros_like(state) for state in call.states] for call in calls]

    def loss_with(probes: list, values: list) -> list:
        scope = keras.StatelessScope(list(zip(variables, values, strict=True)))
        with recorded(cells, probes), scope:
            return [loss_of(model(x, training=False))]

    def gradients(probes: list, values: list, of_loss: Any) -> list:
        return backend().vjp(loss_with, [probes, values], [of_loss])

    of_probes, of_weights = backend().compiled(gradients)(probes, values, ops.ones_like(total))
    layers = [
        _layer(call, [_array(g) for g in direct], row, number)
        for call, direct, number in zip(calls, of_probes, _numbers(calls))
    ]
    return Inspection(
        loss=float(_array(total)),
        layers=tuple(layers),
        weights=tuple(
            WeightInspection(v.path, tuple(v.shape), _norm(v.value), _norm(gradient))
            for v, gradient in zip(variables, of_weights, strict=True)
        ),
        skipped=tuple(skipped),
        row=row,
    )


def _forward(model: keras.Model, cells: Sequence, x: Any) -> tuple[list[CellCall], Any]:
    """The recorded calls of the cells on a batch, and the outputs of the model."""
    calls: list[CellCall] = []

    def run(x: Any) -> tuple:
        # In a scope of their own stateful layers keep their states.
        with recorded(cells) as recording, keras.StatelessScope():
            outputs = model(x, training=False)
        calls.extend(recording)
        return outputs, [(c.x, c.first_states, c.mask, c.states) for c in recording]

    # Where a backend traces `run`, the calls hold symbols; the values are in what it returns.
    outputs, found = backend().compiled(run)(x)
    for call, values in zip(calls, found, strict=True):
        call.x, call.first_states, call.mask, call.states = values
    return calls, outputs


def _layer(call: CellCall, direct: list[np.ndarray], row: int, number: int) -> LayerInspection:
    norms, left = state_gradients(call, direct)
    states = tuple(np.swapaxes(_array(state), 0, 1) for state in call.states)
    return LayerInspection(
        name=call.name + (f"#{number}" if number > 1 else ""),
        network=type(call.cell).__name__,
        units=states[0].shape[-1],
        states=states,
        saturation=saturation(call),
        gradient_norm=norms.T,
        gradient_left=left.T,
        singular_value=jacobian_singular_values(call, row),
    )


def _numbers(calls: list[CellCall]) -> list[int]:
    """Of each call, how many calls of the same cell there were until then."""
    ids = [id(call.cell) for call in calls]
    return [ids[: i + 1].count(cell) for i, cell in enumerate(ids)]


def _loss(model: keras.Model, loss: Any, x: Any, y: Any, sample_weight: Any) -> Callable:
    """The loss as a function of the outputs."""
    if y is None:
        if loss is not None:
            raise ArgumentError("batch", "(x, y) with a `loss`", Words("x alone"))
        return lambda outputs: sum(
            ops.mean(ops.square(ops.cast(y, "float32"))) / 2 for y in keras.tree.flatten(outputs)
        )
    if loss is not None:
        function: Any = keras.losses.get(loss)
        if isinstance(function, keras.losses.Loss):
            return lambda outputs: function(y, outputs, sample_weight)
        if sample_weight is None:
            return lambda outputs: ops.mean(function(y, outputs))
        weight = sample_weight
        return lambda outputs: ops.mean(function(y, outputs) * weight)
    if not model.compiled:
        raise ArgumentError("loss", "given for y, as the model is not compiled", NOTHING)

    def compiled_loss(outputs: Any) -> Any:
        return model.compute_loss(x, y, outputs, sample_weight, training=False)

    return compiled_loss


def _tensor(value: Any) -> Any:
    return value if value is None or ops.is_tensor(value) else ops.convert_to_tensor(value)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor)).astype("float32")


def _norm(tensor: Any) -> float:
    return float(np.linalg.norm(_array(ops.convert_to_tensor(tensor)).astype("float64").ravel()))

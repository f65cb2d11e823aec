"""A Keras model with its states as explicit inputs and outputs.

Shapes: B batch, T time steps, D input features, S the states of all recurrent layers side by side.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from ...layers import TiedEmbedding, WeightNoise
from ...recurrence.tensorflow import as_exported
from ...training.models import OneHot
from .eligibility import call, has_recurrent, layers_in
from .joint_output import NADEParameters

# Layers that compute each step by itself, with the ranks of a sequence that they take.
STEP_BY_STEP = {
    keras.layers.Dense: (3,),
    keras.layers.Embedding: (2,),
    NADEParameters: (3,),
    OneHot: (2,),
    TiedEmbedding: (2, 3),
}
# Keras's cells draw masks of dropout, and move their seed on, in inference too.
DROPOUT_CELLS = (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell)
# How a recurrent layer is called: run(layer, sequences, **its other arguments).
Run = Callable[..., Any]


class StreamingModel:
    """Functions of the input and the states of a Keras model, which stays as it is.

    The functions call a clone of the model, made by `keras.models.clone_model`, in which every
    layer is wrapped and shares the weights of the original. The wrappers of recurrent layers (this
    package's and Keras's) receive their initial states and return their last ones.

    Args:
        model: A model that `eligibility.exportable` accepts.

    Attributes:
        widths: Width of each state, in the order of their places in S; empty without a step.
        unsupported_reason: Why the model has no step, a clause; None if it has.
    """

    def __init__(self, model: keras.Model) -> None:
        self._run: Run = lambda layer, sequences, **given: layer.call(sequences, **given)
        self._one_step = False
        self._wrapped = {}
        self._cells = [part for part in layers_in(model) if isinstance(part, DROPOUT_CELLS)]
        with self._running(self._run):
            # A functional model of the same layers: Keras's `Sequential` has other ways to run.
            graph = keras.Model(model.inputs, model.outputs)
            self._clone = keras.models.clone_model(graph, clone_function=self._wrap)
        self._in_order = []
        self.unsupported_reason = self._find_unsupported(model)
        sizes = [] if self.unsupported_reason else [layer.state_size for layer in self._in_order]
        self.widths: list[int] = [int(n) for n in keras.tree.flatten(sizes)]

    @property
    def size(self) -> int:
        """S."""
        return sum(self.widths)

    def initial_state(self, rows: Any) -> tf.Tensor:
        """The states before the first step, (rows, S) float32."""
        states = [layer.get_initial_state(rows) for layer in self._in_order]
        return _side_by_side(keras.tree.flatten(states))

    def whole(self, x: tf.Tensor, lengths: tf.Tensor | None = None) -> tf.Tensor:
        """The model's output for whole sequences, from its own first states.

        Args:
            x: (B, T, D), or tokens (B, T).
            lengths: int32 (B,): how many steps of each row count, the rest is masked; None for all.
        """

        def from_own_states(layer: Any, sequences: tf.Tensor, **given: Any) -> Any:
            if lengths is not None:
                given["mask"] = _counted(sequences, lengths, given.get("mask"))
            return layer.call(sequences, **given)

        with self._running(from_own_states):
            return call(self._clone, x)

    def prefill(
        self, x: tf.Tensor, lengths: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Whole sequences from given states.

        Args:
            x: As for `whole`.
            lengths: As for `whole`.
            state: (B, S) float32.

        Returns:
            The model's output, and the states after each row's last step, (B, S) float32.
        """

        def all_steps(layer: Any, sequences: tf.Tensor, states: list[Any]) -> tuple[Any, ...]:
            mask = _counted(sequences, lengths)
            with _attributes([layer], return_state=True):
                y, *rest = layer.call(sequences, initial_state=states, mask=mask)
            return y, rest[: len(states)], rest[len(states) :]

        return self._with_states(all_steps, x, state)

    def step(self, x_t: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One time step.

        Args:
            x_t: (B, D), or tokens (B,).
            state: (B, S) float32.

        Returns:
            The model's output at this step, (B, V), and the new states (B, S) float32.
        """

        def one_step(layer: Any, sequences: tf.Tensor, states: list[Any]) -> tuple[Any, ...]:
            y, states = layer.cell(_at_step(sequences), states)
            states = list(states) if isinstance(states, (list, tuple)) else [states]
            over_time = [tf.expand_dims(state, 1) for state in keras.tree.flatten(states)]
            return (tf.expand_dims(y, 1) if layer.return_sequences else y), states, over_time

        with _attributes([self], _one_step=True):
            y, state = self._with_states(one_step, tf.expand_dims(x_t, 1), state)
        return (_at_step(y) if len(y.shape) == 3 else y), state

    def _with_states(
        self, run: Callable[..., tuple[Any, ...]], x: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Calls the clone with `run(layer, sequences, states)` for recurrent layers.

        `run` returns y, the new states and the states of every step.
        """
        before = iter(tf.split(state, self.widths, axis=-1) if len(self.widths) > 1 else [state])
        after = []

        def from_states(layer: Any, sequences: tf.Tensor, **_: Any) -> Any:
            states = keras.tree.map_structure(
                lambda _: tf.cast(next(before), layer.cell.compute_dtype), list(layer.state_size)
            )
            y, states, state_sequences = run(layer, sequences, states)
            after.extend(keras.tree.flatten(states))
            result = [tf.cast(y, layer.compute_dtype)]
            if layer.return_state:
                result += states
            if getattr(layer, "return_state_sequences", False):
                result += state_sequences
            return result[0] if len(result) == 1 else tuple(result)

        with self._running(from_states):
            y = call(self._clone, x)
        return y, _side_by_side(after)

    @contextlib.contextmanager
    def _running(self, run: Run) -> Iterator[None]:
        """In the block, `run` calls the recurrent layers of the clone, without dropout."""
        rates = {"dropout": 0.0, "recurrent_dropout": 0.0}
        with _attributes([self], _run=run), _attributes(self._cells, **rates), as_exported():
            yield

    def _wrap(self, layer: Any) -> Any:
        """The layer of the clone for a layer of the model, one for all its uses."""
        if id(layer) not in self._wrapped:
            self._wrapped[id(layer)] = self._new_wrapper(layer)
        return self._wrapped[id(layer)]

    def _new_wrapper(self, layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation of keras.ops
        inner = layer
        while isinstance(inner, WeightNoise):  # of training alone
            inner = inner.layer
        if isinstance(inner, keras.Model) and getattr(inner, "inputs", None):
            return keras.models.clone_model(inner, clone_function=self._wrap)
        kind = RecurrentWrapper if has_recurrent(inner) else StepwiseWrapper
        return kind(inner, self, layer.name)

    def _find_unsupported(self, model: keras.Model) -> str | None:
        """Why there is no step, or None; also finds the order of the recurrent layers."""
        x = model.inputs[0]
        if x.shape[1] is not None:
            return f"the model takes sequences of {x.shape[1]} steps alone"
        reasons = []

        def seen(layer: Any, sequences: tf.Tensor, **given: Any) -> Any:
            self._in_order.append(layer)
            reasons.append(_no_step(layer, given))
            return layer.call(sequences, **given)

        with self._running(seen):
            call(self._clone, tf.zeros((1, 1, *x.shape[2:]), x.dtype))
        if not self._in_order:
            return "no layer is recurrent"
        return next((reason for reason in reasons if reason is not None), None)


class _Wrapper(keras.layers.Layer):
    """Wraps a layer of the model for the clone, with its weights and masks.

    Keras records every symbolic call at the layer; those of the clone stay at its wrappers.
    """

    def __init__(
        self, layer: keras.layers.Layer, streaming: StreamingModel, name: str, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.layer, self._streaming = layer, streaming
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask) if self.layer.supports_masking else None


class RecurrentWrapper(_Wrapper):
    """Wraps a recurrent layer: calls the function that its `StreamingModel` runs."""

    def __init__(self, layer: keras.layers.Layer, streaming: StreamingModel, name: str) -> None:
        # The original's `call` runs in the place of its `__call__`, with the same casts.
        casts = {"dtype": layer.dtype_policy, "autocast": layer.autocast}
        super().__init__(layer, streaming, name, **casts)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, **options: Any
    ) -> Any:
        given = {"initial_state": initial_state, "mask": mask, **options}
        given = {name: value for name, value in given.items() if value is not None}
        return self._streaming._run(self.layer, sequences, **given)


class StepwiseWrapper(_Wrapper):
    """Wraps any other layer; in a step, those of `STEP_BY_STEP` are called without the time axis.

    A matrix product takes nine more operations for that axis, as long as the product.
    """

    def __init__(self, layer: keras.layers.Layer, streaming: StreamingModel, name: str) -> None:
        super().__init__(layer, streaming, name, autocast=False)
        self._ranks = STEP_BY_STEP.get(type(layer), ())

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        ranks = self._ranks if self._streaming._one_step else ()
        if ranks and len(inputs.shape) in ranks:
            return tf.expand_dims(self.layer(_at_step(inputs), *args, **kwargs), 1)
        return self.layer(inputs, *args, **kwargs)


@contextlib.contextmanager
def _attributes(objects: list[Any], **values: Any) -> Iterator[None]:
    """Sets attributes of the objects for the block, and restores them after it."""
    before = [(each, name, getattr(each, name)) for each in objects for name in values]
    try:
        for each, name, _ in before:
            setattr(each, name, values[name])
        yield
    finally:
        for each, name, value in before:
            setattr(each, name, value)


def _no_step(layer: Any, given: dict[str, Any]) -> str | None:
    """Why a recurrent layer cannot run step by step, or None."""
    if isinstance(layer, keras.layers.Bidirectional):
        return f"{layer.name!r} is Bidirectional and needs the end of a sequence"
    if not isinstance(layer, keras.layers.RNN):
        return f"{layer.name!r} hides the states of the recurrent layer inside of it"
    if layer.go_backwards:
        return f"{layer.name!r} has go_backwards=True and needs the end of a sequence"
    if "initial_state" in given:
        return f"{layer.name!r} gets its first state from another layer of the model"
    if "mask" in given:
        return (
            f"{layer.name!r} gets a mask from the model (Masking or mask_zero=True), under which "
            "it repeats its last output, and no state holds that: `lengths` stands in for a mask"
        )
    return None


def _counted(sequences: tf.Tensor, lengths: tf.Tensor, mask: Any = None) -> tf.Tensor:
    """The mask (B, T) of the steps within each row's length, and within `mask`."""
    counts = tf.sequence_mask(lengths, tf.shape(sequences)[1])
    counts.set_shape(sequences.shape[:2])
    return counts if mask is None else tf.logical_and(counts, tf.cast(mask, "bool"))


def _at_step(x: Any) -> Any:
    """Removes the time axis of x, (B, 1, ...); undoes an `expand_dims` without an operation."""
    if not tf.executing_eagerly() and x.op.type == "ExpandDims":
        return x.op.inputs[0]
    return tf.squeeze(x, 1)


def _side_by_side(states: Iterable[Any]) -> tf.Tensor:
    states = [tf.cast(state, "float32") for state in states]
    return states[0] if len(states) == 1 else tf.concat(states, axis=-1)

"""A model whose states come in from outside and go out again.

Shapes: B batch, T time steps, D input features, S the states of all recurrent layers side by side.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from ...recurrence.tensorflow import as_exported
from ...training.models import OneHot
from .eligibility import call, layers_in

# How Keras asks a cell for its masks of dropout.
DRAWN = ("get_dropout_mask", "get_recurrent_dropout_mask")
# Layers that compute each step by itself, with the rank of a sequence that they take.
STEP_BY_STEP = {keras.layers.Dense: 3, keras.layers.Embedding: 2, OneHot: 2}


class Streamed:
    """A Keras model as functions of its input and its states; the model stays as it is.

    While one of the functions runs, the recurrent layers of the model (those of this package and
    of Keras) start from the states that they are given instead of zeros, and leave a record of
    their last ones. Everything else is the model's own graph, called as always.

    Args:
        model: A model that `contract.exportable` lets through.

    Attributes:
        widths: Width of each state, in the order of their places in S; None where the model cannot
            be streamed.
        why_not: Why the model has no states that a step could hand on, a sentence; None if it has.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._recurrent = [part for part in layers_in(model) if _is_recurrent(part)]
        self._in_order = []
        self.why_not = self._let_a_step_through()
        sizes = [layer.state_size for layer in self._in_order]
        self.widths = None if self.why_not else [int(n) for n in keras.tree.flatten(sizes)]

    @property
    def size(self) -> int:
        """S."""
        return sum(self.widths or ())

    def initial_state(self, rows: Any) -> tf.Tensor:
        """The states before the first step, (rows, S) float32."""
        states = [
            state
            for layer in self._in_order
            for state in keras.tree.flatten(layer.get_initial_state(rows))
        ]
        return _side_by_side(states)

    def whole(self, x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The model's output for whole sequences, from its own first states.

        Args:
            x: (B, T, D), or tokens (B, T).
            lengths: int32 (B,): how many steps of each row count. The rest is masked.
        """

        def own_states(
            layer: Any,
            own: Callable[..., Any],
            sequences: tf.Tensor,
            initial_state: Any = None,
            mask: Any = None,
            **_: Any,
        ) -> Any:
            counts = _counted(sequences, lengths, mask)
            return own(sequences, initial_state=initial_state, mask=counts)

        with self._replaced(own_states):
            return call(self.model, x)

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

        def all_steps(
            layer: Any, own: Callable[..., Any], sequences: tf.Tensor, states: list[Any]
        ) -> tuple[Any, list[Any], list[Any]]:
            counts = _counted(sequences, lengths)
            with _attributes(layer, return_state=True):
                y, *rest = own(sequences, initial_state=states, mask=counts)
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

        def one_step(
            layer: Any, own: Callable[..., Any], sequences: tf.Tensor, states: list[Any]
        ) -> tuple[Any, list[Any], list[Any]]:
            y, states = layer.cell(_at_step(sequences), states)
            states = list(states) if isinstance(states, (list, tuple)) else [states]
            over_time = [tf.expand_dims(state, 1) for state in keras.tree.flatten(states)]
            return (tf.expand_dims(y, 1) if layer.return_sequences else y), states, over_time

        with self._without_time():
            y, state = self._with_states(one_step, tf.expand_dims(x_t, 1), state)
        return (_at_step(y) if len(y.shape) == 3 else y), state

    @contextlib.contextmanager
    def _without_time(self) -> Iterator[None]:
        """In the block, layers that compute every step alike get one without the axis of time.

        A product with a matrix takes nine more operations for that axis, as long as the product.
        """

        def one_step(
            rank: int, own: Callable[..., Any], x: tf.Tensor, *arguments: Any, **options: Any
        ) -> Any:
            if len(x.shape) != rank:
                return own(x, *arguments, **options)
            return tf.expand_dims(own(_at_step(x), *arguments, **options), 1)

        with contextlib.ExitStack() as stack:
            for layer in layers_in(self.model):
                rank = STEP_BY_STEP.get(type(layer))
                if rank is not None:
                    own = functools.partial(one_step, rank, layer.call)
                    stack.enter_context(_attributes(layer, call=own))
            yield

    def _with_states(
        self, run: Callable[..., tuple[Any, list[Any], list[Any]]], x: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the model with `run(layer, own call, sequences, states)` for recurrent layers."""
        widths = self.widths or ()
        before = iter(tf.split(state, widths, axis=-1) if len(widths) > 1 else [state])
        after = []

        def from_states(layer: Any, own: Callable[..., Any], sequences: tf.Tensor, **_: Any) -> Any:
            states = keras.tree.map_structure(
                lambda _: tf.cast(next(before), layer.cell.compute_dtype), list(layer.state_size)
            )
            y, states, state_sequences = run(layer, own, sequences, states)
            after.extend(keras.tree.flatten(states))
            result = [tf.cast(y, layer.compute_dtype)]
            if layer.return_state:
                result += states
            if getattr(layer, "return_state_sequences", False):
                result += state_sequences
            return result[0] if len(result) == 1 else tuple(result)

        with self._replaced(from_states):
            y = call(self.model, x)
        return y, _side_by_side(after)

    @contextlib.contextmanager
    def _replaced(self, run: Callable[..., Any]) -> Iterator[None]:
        """In the block, a recurrent layer is `run(layer, its own call, sequences, ...)`."""
        with contextlib.ExitStack() as stack:
            for layer in self._recurrent:
                own = functools.partial(run, layer, layer.call)
                stack.enter_context(_attributes(layer, call=own))
                # Keras draws the masks of dropout, and moves its seed on, in inference too.
                for part in layers_in(layer.cell):
                    stack.enter_context(_attributes(part, **dict.fromkeys(DRAWN, _no_mask)))
            stack.enter_context(as_exported())
            yield

    def _let_a_step_through(self) -> str | None:
        """Sees which recurrent layers a step meets in which order; gives the first `why_not`."""
        for part in layers_in(self.model):
            if isinstance(part, keras.layers.Bidirectional):
                return f"{part.name!r} is Bidirectional and needs the end of a sequence"
        reasons = []

        def seen(
            layer: Any,
            own: Callable[..., Any],
            sequences: tf.Tensor,
            initial_state: Any = None,
            mask: Any = None,
            **_: Any,
        ) -> Any:
            self._in_order.append(layer)
            reasons.append(_why_no_step(layer, initial_state, mask))
            return own(sequences)

        x = self.model.inputs[0]
        with self._replaced(seen):
            call(self.model, tf.zeros((1, 1, *x.shape[2:]), x.dtype))
        if not self._in_order:
            return "no layer is recurrent"
        return next((reason for reason in reasons if reason is not None), None)


@contextlib.contextmanager
def _attributes(layer: Any, **values: Any) -> Iterator[None]:
    """In the block, a layer has these attributes of its own; afterwards those that it had."""
    before = vars(layer).copy()
    vars(layer).update(values)
    try:
        yield
    finally:
        for name in values:
            if name in before:
                vars(layer)[name] = before[name]
            else:
                del vars(layer)[name]


def _no_mask(values: Any) -> None:
    """No units are dropped in inference."""


def _is_recurrent(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.RNN)


def _why_no_step(layer: Any, initial_state: Any, mask: Any) -> str | None:
    """Why a recurrent layer cannot do online what it does with a whole sequence; None if it can."""
    if layer.go_backwards:
        return f"{layer.name!r} has go_backwards=True and needs the end of a sequence"
    if initial_state is not None:
        return f"{layer.name!r} gets its first state from another layer of the model"
    if mask is not None:
        return (
            f"{layer.name!r} gets a mask from the model (Masking or mask_zero=True), under which "
            "it repeats its last output, and no state holds that: `lengths` stands in for a mask"
        )
    return None


def _counted(sequences: tf.Tensor, lengths: tf.Tensor, mask: Any = None) -> tf.Tensor:
    """The mask (B, T): the steps within each row's length, of which a mask may take more."""
    counts = tf.sequence_mask(lengths, tf.shape(sequences)[1])
    counts.set_shape(sequences.shape[:2])
    return counts if mask is None else tf.logical_and(counts, tf.cast(mask, "bool"))


def _at_step(x: Any) -> Any:
    """The one step in x, (B, 1, ...).

    Where the axis of time has just been put there, that is undone instead of followed by one more
    operation.
    """
    if not tf.executing_eagerly() and x.op.type == "ExpandDims":
        return x.op.inputs[0]
    return tf.squeeze(x, 1)


def _side_by_side(states: Iterable[Any]) -> tf.Tensor:
    states = [tf.cast(state, "float32") for state in states]
    return states[0] if len(states) == 1 else tf.concat(states, axis=-1)

"""`DeepRNNCell`: one step of a network given by its two operators."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ... import recurrence
from ...recurrence import DEFAULT_LOOP, Loop
from ...utils.errors import ArgumentError, Words
from ...utils.validation import CHECKS
from ..operators import Operator, Predict
from ..operators.operator import apply_zoneout, at_all_steps
from ..options import OperatorOptions, keras_options
from .base import Cell, as_list, state_widths


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepRNNCell(Cell):
    """A recurrent network given by its two operators (section 4 of the paper).

        h(t) = x(t) ⊕ h(t-1)
        y(t) = ▷ h(t)

    Any Keras layer can be an operator. ⊕ is called with the list `[x, h]`, as Keras's merging
    layers and functional models are, and gives the new h; ▷ is called with h.

    Args:
        plus: ⊕, a Keras layer: `[x, h]` of shapes (B, D) and (B, H) to (B, H).
        predict: ▷, a Keras layer: h of shape (B, H) to y; None returns h itself.
        state_size: H. None: `plus.state_size` or `plus.units`.
        dropout, recurrent_dropout, output_dropout, zoneout: Rates; see `DeepRNN`. In
            `keras.layers.RNN(cell)` on JAX, which advances no seed in its loop, `zoneout` keeps the
            same units at all steps and in all calls: take a layer instead.
        learn_initial_state, seed: See `DeepRNN`.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: h(t-1), shape (B, H), or a list of it.
        training: Whether to drop units.

    Returns:
        y(t) and the list of h(t).

    Raises:
        UserError: An argument is of the wrong kind, or ⊕ does not return the shape of h.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> x, h = keras.Input((6,)), keras.Input((4,))
    >>> new_h = keras.layers.Dense(4, "tanh")(keras.layers.Concatenate()([x, h]))
    >>> plus = keras.Model([x, h], new_h)
    >>> cell = DeepRNNCell(plus, predict=keras.layers.Dense(3), state_size=4)
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 6))).shape)
    (2, 3)
    """

    parts = ("plus", "predict")

    def __init__(
        self,
        plus: keras.layers.Layer,
        predict: keras.layers.Layer | None = None,
        state_size: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        output_dropout: float = 0.0,
        zoneout: float = 0.0,
        learn_initial_state: bool = False,
        seed: int | None = None,
        **_: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(**keras_options(**_))
        self.refuse_unknown(_)
        self.plus = CHECKS["plus"]("plus", plus)
        self.predict = CHECKS["predict"]("predict", predict)
        if state_size is None:
            state_size = getattr(self.plus, "state_size", getattr(self.plus, "units", None))
            if state_size is None:
                raise ArgumentError(
                    "state_size",
                    "given where `plus` has neither `state_size` nor `units`",
                    Words(type(self.plus).__name__),
                )
        self.state_size = CHECKS["state_size"]("state_size", state_size)
        self.dropout = CHECKS["dropout"]("dropout", dropout)
        self.recurrent_dropout = CHECKS["recurrent_dropout"]("recurrent_dropout", recurrent_dropout)
        self.output_dropout = CHECKS["output_dropout"]("output_dropout", output_dropout)
        self.zoneout = CHECKS["zoneout"]("zoneout", zoneout)
        self.learn_initial_state = CHECKS["learn_initial_state"](
            "learn_initial_state", learn_initial_state
        )
        self.seed = CHECKS["seed"]("seed", seed)
        if self.dropout and getattr(self.plus, "num_tokens", None) and not self._has_maps:
            raise ArgumentError(
                "dropout",
                "0 with the `num_tokens` of a `plus` that is no `Operator` or has its own `call`",
                Words(f"{dropout} with a {type(self.plus).__name__}"),
            )
        self.autocast = self.autocast and self.input_tokens is None
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._output_width = None
        self.reset_dropout_mask()
        self.reset_recurrent_dropout_mask()

    @property
    def _has_maps(self) -> bool:
        """Whether ⊕ is an `Operator` that keeps its `call`; else it is any function of [x, h]."""
        return isinstance(self.plus, Operator) and type(self.plus).call is Operator.call

    @property
    def input_tokens(self) -> int | None:
        """The number of tokens, where x(t) is a token; else None."""
        return self.plus.num_tokens if self._has_maps else None

    def build(self, input_shape: Sequence) -> None:
        shapes = [(None, width) for width in state_widths(self)]
        x = keras.KerasTensor((None, input_shape[-1]), dtype=self.compute_dtype)
        states = [keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes]
        new = as_list(self.plus([x, *states]))
        if [tuple(state.shape) for state in new] != shapes:
            expected = ", ".join(f"(B, {width})" for _, width in shapes)
            raise ArgumentError(
                "plus", f"the shape of h, {expected}", Words(new[0].shape), verb="give"
            )
        if self.predict is not None:
            y = self.predict(states[0])
            if len(y.shape) != 2:
                raise ArgumentError("predict", "y of shape (B, units)", Words(y.shape), verb="give")
            self._output_width = y.shape[-1]
        if self.learn_initial_state:
            for k, (_, width) in enumerate(shapes):
                name = f"initial_state_{k}"
                setattr(self, name, self.add_weight(name=name, shape=(width,), initializer="zeros"))

    @property
    def output_size(self) -> int | None:
        """Width of y; with a user-defined ▷ it is known once the cell is built."""
        if self.predict is None:
            return state_widths(self)[0]
        if self._output_width is None and isinstance(self.predict, Predict):
            return self.predict.output_units[-1]
        return self._output_width

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """Zeros, or the learned states, for each row of the batch: (B, H) each."""
        zeros = super().get_initial_state(batch_size)
        if not (self.learn_initial_state and self.built):
            return zeros
        learned = [
            state + ops.cast(getattr(self, f"initial_state_{k}"), self.compute_dtype)
            for k, state in enumerate(as_list(zeros))
        ]
        return learned if isinstance(zeros, list) else learned[0]

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list]:
        x, states, mask, token_mask = inputs, as_list(states), None, {}
        if training:
            x, token_mask = self._drop_input(x, self.get_dropout_mask(x))
            mask = self.get_recurrent_dropout_mask(states[0])
        if mask is not None and self._has_maps:
            new = self.plus([x, *states], recurrent_mask=mask, **token_mask)
        else:
            new = self.plus([x, _masked(states[0], mask), *states[1:]], **token_mask)
        return self.finish_step(as_list(new), states, training)

    def finish_step(self, new: list, states: list, training: bool) -> tuple[Any, list]:
        """y(t) and the states after zoneout, from the states at t-1 and the new ones of ⊕."""
        if not training:
            new = apply_zoneout(new, states, self.zoneout)
        elif self.zoneout:
            masks = [self._draw_zoneout_mask(ops.shape(state)) for state in new]
            new = [ops.where(*values) for values in zip(masks, new, states)]
        y = _masked(new[0], self.get_output_dropout_mask(new[0])) if training else new[0]
        return (y if self.predict is None else self.predict(y)), new

    def _draw_zoneout_mask(self, shape: Sequence) -> Any:
        """True for the units of a state that take their new value."""
        return keras.random.uniform(shape, seed=self.seed_generator) >= self.zoneout

    def run_sequence(
        self,
        sequences: Any,
        states: list,
        mask: Any = None,
        training: bool = False,
        loop: Loop = DEFAULT_LOOP,
    ) -> tuple[Any, list]:
        """The cell over a whole sequence: what depends on x or on h alone stays out of the loop.

        Args:
            sequences: Shape (T, B, D): time comes first.
            states: List of the states before the first step, (B, H) each.
            mask: Boolean (T, B, 1); where it is False, the states stay as they are.
            training: Whether to drop units.
            loop: How to run.

        Returns:
            y of shape (T, B, units of ▷), and the list of the states, (T, B, H) each.
        """
        recurrent_mask, token_mask, masks = None, {}, [] if mask is None else [mask]
        if training:
            dropout_mask = self.get_dropout_mask(sequences[0])
            sequences, token_mask = self._drop_input(sequences, dropout_mask)
            recurrent_mask = self.get_recurrent_dropout_mask(states[0])
            if self.zoneout:
                steps = ops.shape(sequences)[0]
                drawn = [self._draw_zoneout_mask((steps, *ops.shape(state))) for state in states]
                masks = drawn if mask is None else [ops.logical_and(mask, d) for d in drawn]
        zoneout = 0.0 if training else self.zoneout
        if self._has_maps:
            history = self.plus.run_sequence(
                sequences, states, masks, recurrent_mask, loop=loop, zoneout=zoneout,
                training=training, **token_mask,
            )  # fmt: skip
        else:

            def step(inputs: list, states: list) -> list:
                h, *others = states
                new = as_list(self.plus([*inputs, _masked(h, recurrent_mask), *others]))
                return apply_zoneout(new, states, zoneout)

            updated = self.plus.non_trainable_variables
            history = recurrence.run(step, [sequences], states, masks, loop.unroll, updated)
        h = history[0]
        y = _masked(h, self.get_output_dropout_mask(states[0])) if training else h
        return (y if self.predict is None else at_all_steps(self.predict, y)), history

    def recurrence(self, loop: Loop = DEFAULT_LOOP) -> str:
        """Which loop runs a sequence: "fast", "persistent", or "plain" and why."""
        if not isinstance(self.plus, Operator):
            return f"plain: ⊕ is a {type(self.plus).__name__}"
        reason = self.plus.fallback_reason(loop)
        if reason is not None:
            return f"plain: {reason}"
        return "persistent" if self.plus.is_persistent(loop) else "fast"

    def _drop_input(self, x: Any, mask: Any) -> tuple[Any, dict]:
        """x after dropout; tokens stay, and the keep mask of their embedding rows comes beside."""
        if mask is None or self.input_tokens is None:
            return _masked(x, mask), {}
        tokens = ops.cast(x[..., 0], "int32")  # (B,) or (T, B)
        by_row = ops.transpose(ops.reshape(tokens, (-1, ops.shape(mask)[0])))
        keep_mask = ops.transpose(ops.take_along_axis(mask, by_row, axis=1))
        return x, {"keep_mask": ops.reshape(keep_mask, ops.shape(x))}

    def get_dropout_mask(self, x: Any) -> Any:
        """The dropout mask of x(t), (B, D); with tokens, of their D unit vectors."""
        if self.dropout and self.input_tokens is not None:
            x = ops.ones((ops.shape(x)[0], self.input_tokens), self.compute_dtype)
        return super().get_dropout_mask(x)

    def get_output_dropout_mask(self, h: Any) -> Any:
        """The dropout mask of the input of ▷, drawn once a sequence, like Keras's other two."""
        if self._output_dropout_mask is None and self.output_dropout > 0:
            self._output_dropout_mask = keras.random.dropout(
                ops.ones_like(h), self.output_dropout, seed=self.seed_generator
            )
        return self._output_dropout_mask

    def get_recurrent_dropout_mask(self, h: Any) -> Any:
        mask = super().get_recurrent_dropout_mask(h)
        self.get_output_dropout_mask(h)  # Keras asks for the first two masks only.
        return mask

    def reset_recurrent_dropout_mask(self) -> None:
        super().reset_recurrent_dropout_mask()
        self._output_dropout_mask = None


def _masked(values: Any, mask: Any) -> Any:
    """`values`, (B, n) or (T, B, n), times a dropout mask (B, n) or None."""
    return values if mask is None else values * mask

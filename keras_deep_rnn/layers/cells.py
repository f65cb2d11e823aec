"""One step of each network of the paper.

A cell is a choice of ⊕ and ▷. It works in `keras.layers.RNN(cell)` as any Keras cell does; the
layers of `paper.py` run the same cell over whole sequences faster, with the same numbers.
"""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from .. import recurrence
from ..recurrence import DEFAULT_LOOP, Loop
from ..utils.errors import UserError
from ..utils.keras_compat import KerasDropoutCell
from ..utils.validation import CHECKS, layer_sizes
from .initializers import numbered
from .operators import Operator, Plus, Predict, in_rows, zoned_out
from .options import CellOptions, Configured, Described, OperatorOptions, keras_options, weights_of


class Cell(KerasDropoutCell, Configured):
    """What Keras expects of every cell, for states that are a flat list."""

    # Whether the states before the first step are weights.
    learn_initial_state = False

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """Zeros for each state, (B, H) each, in the cell's compute type."""
        states = [
            ops.zeros((batch_size, width), dtype=self.compute_dtype) for width in state_widths(self)
        ]
        return states if isinstance(self.state_size, (list, tuple)) else states[0]

    def compute_output_shape(self, inputs_shape: Sequence, states_shape: Any = None) -> tuple:
        batch = inputs_shape[0]
        return (batch, self.output_size), [(batch, width) for width in state_widths(self)]


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepRNNCell(Cell):
    """A recurrent network given by its two operators (section 4 of the paper).

        h(t) = x(t) ⊕ h(t-1)
        y(t) = ▷ h(t)

    Any Keras layer can be an operator. ⊕ is called with the list `[x, h]`, as Keras's merging
    layers and functional models are, and gives the new h; ▷ is called with h.

    Args:
        plus: ⊕, a Keras layer: `[x, h]` of shapes (B, D) and (B, H) to (B, H).
        predict: ▷, a Keras layer: h of shape (B, H) to y; None gives out h itself.
        state_size: H. None takes `plus.state_size` or `plus.units`.
        dropout: Dropout rate of x; one mask for the whole sequence. Of tokens, the units that they
            stand for: all occurrences of a token in a row are dropped, or none.
        recurrent_dropout: Recurrent dropout rate: of h(t-1) where it enters an affine map; one mask
            for the whole sequence.
        output_dropout: Dropout rate of h(t) before ▷; one mask for the whole sequence. The carried
            state is not touched.
        zoneout: Probability with which each unit of a state keeps its value at a step of training
            (arXiv:1606.01305); in inference it keeps that share of it.
        learn_initial_state: Whether the states before the first step are weights, which start at
            zero; else they are zero.
        seed: Int, makes the masks reproducible; None for a random one.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: h(t-1), shape (B, H), or a list of it.
        training: Whether to drop units.

    Returns:
        y(t) and the list of h(t).

    Raises:
        UserError: An argument is of the wrong kind, or ⊕ does not give back the shape of h.

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
                raise UserError(
                    "`state_size` must be given where `plus` has neither `state_size` nor "
                    f"`units`, got {type(self.plus).__name__}."
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
            raise UserError(
                "`dropout` must be 0 with the `num_tokens` of a `plus` that is no `Operator` or "
                f"has its own `call`, got {dropout} with a {type(self.plus).__name__}."
            )
        self.autocast = self.autocast and self.input_tokens is None
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._output_width = None
        self.reset_dropout_mask()
        self.reset_recurrent_dropout_mask()

    @property
    def _has_maps(self) -> bool:
        """Whether ⊕ is known by its affine maps; otherwise it is any function of x and h."""
        return isinstance(self.plus, Operator) and type(self.plus).call is Operator.call

    @property
    def input_tokens(self) -> int | None:
        """How many tokens the cell knows, where x(t) is one of them."""
        return self.plus.num_tokens if self._has_maps else None

    def build(self, input_shape: Sequence) -> None:
        shapes = [(None, width) for width in state_widths(self)]
        x = keras.KerasTensor((None, input_shape[-1]), dtype=self.compute_dtype)
        states = [keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes]
        new = as_list(self.plus([x, *states]))
        if [tuple(state.shape) for state in new] != shapes:
            expected = ", ".join(f"(B, {width})" for _, width in shapes)
            raise UserError(f"`plus` must give the shape of h, {expected}, got {new[0].shape}.")
        if self.predict is not None:
            y = self.predict(states[0])
            if len(y.shape) != 2:
                raise UserError(f"`predict` must give y of shape (B, units), got {y.shape}.")
            self._output_width = y.shape[-1]
        if self.learn_initial_state:
            for k, (_, width) in enumerate(shapes):
                name = f"initial_state_{k}"
                setattr(self, name, self.add_weight(name=name, shape=(width,), initializer="zeros"))

    @property
    def output_size(self) -> int | None:
        """Width of y; that of a ▷ of the user's own is known once the cell is built."""
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
        x, states, of_tokens, mask = inputs, as_list(states), {}, None
        if training:
            x, of_tokens = self._drop(x, self.get_dropout_mask(x))
            mask = self.get_recurrent_dropout_mask(states[0])
        if mask is not None and self._has_maps:
            new = self.plus([x, *states], dropped=mask, **of_tokens)
        else:
            new = self.plus([x, _dropped(states[0], mask), *states[1:]], **of_tokens)
        return self.finished(as_list(new), states, training)

    def finished(self, new: list, states: list, training: bool) -> tuple[Any, list]:
        """What a step returns, from the states before it and what ⊕ makes of them."""
        if not training:
            new = zoned_out(new, states, self.zoneout)
        elif self.zoneout:
            masks = [self._updated(ops.shape(state)) for state in new]
            new = [ops.where(*values) for values in zip(masks, new, states)]
        y = _dropped(new[0], self.get_output_dropout_mask(new[0])) if training else new[0]
        return (y if self.predict is None else self.predict(y)), new

    def _updated(self, shape: Sequence) -> Any:
        """Which units of a state zoneout lets change, drawn anew."""
        return keras.random.uniform(shape, seed=self.seed_generator) >= self.zoneout

    def run_sequence(
        self,
        sequences: Any,
        states: list,
        mask: Any = None,
        training: bool = False,
        loop: Loop = DEFAULT_LOOP,
    ) -> tuple[Any, list]:
        """The whole sequence at once: what depends on x or on h alone stays out of the loop.

        Args:
            sequences: Shape (T, B, D): time comes first.
            states: List of the states before the first step, (B, H) each.
            mask: Boolean (T, B, 1); where it is False, the states stay as they are.
            training: Whether to drop units.
            loop: `recurrence.Loop`, how to run.

        Returns:
            y of shape (T, B, units of ▷), and the list of the states, (T, B, H) each.
        """
        dropped, of_tokens, keep = None, {}, [] if mask is None else [mask]
        if training:
            sequences, of_tokens = self._drop(sequences, self.get_dropout_mask(sequences[0]))
            dropped = self.get_recurrent_dropout_mask(states[0])
            if self.zoneout:
                steps = ops.shape(sequences)[0]
                drawn = [self._updated((steps, *ops.shape(state))) for state in states]
                keep = drawn if mask is None else [ops.logical_and(mask, d) for d in drawn]
        mixed = 0.0 if training else self.zoneout
        if self._has_maps:
            sequence = self.plus.run_sequence(
                sequences, states, keep, dropped, loop=loop, zoneout=mixed, training=training,
                **of_tokens,
            )  # fmt: skip
        else:

            def step(inputs: list, states: list) -> list:
                new = as_list(self.plus([*inputs, _dropped(states[0], dropped), *states[1:]]))
                return zoned_out(new, states, mixed)

            updated = self.plus.non_trainable_variables
            sequence = recurrence.run(step, [sequences], states, keep, loop.unroll, updated)
        h = sequence[0]
        y = _dropped(h, self.get_output_dropout_mask(states[0])) if training else h
        return (y if self.predict is None else in_rows(self.predict, y)), sequence

    def recurrence(self, loop: Loop = DEFAULT_LOOP) -> str:
        """Which loop `run_sequence` takes: "fast", "persistent", or "plain" and why."""
        if not isinstance(self.plus, Operator):
            return f"plain: ⊕ is a {type(self.plus).__name__}"
        reason = self.plus.fallback_reason(loop)
        if reason is not None:
            return f"plain: {reason}"
        return "persistent" if self.plus.fits_chip(loop) else "fast"

    def _drop(self, x: Any, mask: Any) -> tuple[Any, dict]:
        """x without the units that the mask drops, and the factors of the rows of tokens.

        Tokens stay what they are: their rows of U are scaled by the mask.
        """
        if mask is None or self.input_tokens is None:
            return _dropped(x, mask), {}
        tokens = ops.cast(x[..., 0], "int32")  # (B,) or (T, B)
        by_row = ops.transpose(ops.reshape(tokens, (-1, ops.shape(mask)[0])))
        kept = ops.transpose(ops.take_along_axis(mask, by_row, axis=1))
        return x, {"kept": ops.reshape(kept, ops.shape(x))}

    def get_dropout_mask(self, x: Any) -> Any:
        """The mask on x(t) (B, D); of tokens, on the D units that they stand for."""
        if self.dropout and self.input_tokens is not None:
            x = ops.ones((ops.shape(x)[0], self.input_tokens), self.compute_dtype)
        return super().get_dropout_mask(x)

    def get_output_dropout_mask(self, h: Any) -> Any:
        """The mask on what ▷ sees, drawn when first asked for, as Keras does for the other two."""
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


def deep_output(
    plus: Plus, output_units: Sequence[int], output_activation: Described = None
) -> Predict:
    """▷ with the options of the weights of ⊕."""
    shared = {
        name: getattr(plus, name)
        for name in Predict.arguments()
        if name not in ("output_units", "output_activation")
    }
    kernels_of_plus = len(plus.input_units or ()) + len(plus.transition_units or ()) + 1
    shared["kernel_initializer"] = numbered(plus.kernel_initializer, kernels_of_plus)
    activation = plus.activation if output_activation is None else output_activation
    return Predict(
        layer_sizes("output_units", output_units),
        activation,
        dtype=plus.dtype_policy,
        name="predict",
        **shared,
    )


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionRNNCell(DeepRNNCell):
    """One step of the DT-RNN or DT(S)-RNN; see `DeepTransitionRNN`.

        h(t) = x(t) ⊕ h(t-1), ⊕ as deep as `transition_units` says;   y(t) = h(t)

    Arguments and weight order: see `DeepTransitionRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepTransitionRNNCell(4, transition_units=(8,), shortcut=True)
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        transition_units: Sequence[int] | None = None,
        shortcut: bool = False,
        input_to: str = "first",
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(units, transition_units, shortcut, input_to, **weights_of(**options))
        super().__init__(plus, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepInputRNNCell(DeepRNNCell):
    """One step of the recurrent network with a deep input; see `DeepInputRNN`.

        h(t) = phi(h(t-1) W + MLP(x(t)) U + b);   y(t) = h(t)

    Arguments and weight order: see `DeepInputRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepInputRNNCell(4, input_units=(8,))
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        input_units: Sequence[int],
        input_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(
            units,
            input_units=layer_sizes("input_units", input_units),
            input_activation=input_activation,
            **weights_of(**options),
        )
        super().__init__(plus, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputRNNCell(DeepRNNCell):
    """One step of the DO-RNN; see `DeepOutputRNN`.

        h(t) = phi(h(t-1) W + x(t) U + b);   y(t) = ▷ h(t)

    Arguments and weight order: see `DeepOutputRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepOutputRNNCell(4, output_units=(8,))
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(
        self,
        units: int,
        output_units: Sequence[int],
        output_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(units, **weights_of(**options))
        super().__init__(plus, deep_output(plus, output_units, output_activation), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputTransitionRNNCell(DeepRNNCell):
    """One step of the DOT-RNN or DOT(S)-RNN; see `DeepOutputTransitionRNN`.

        h(t) = x(t) ⊕ h(t-1);   y(t) = ▷ h(t);   both deep

    Arguments and weight order: see `DeepOutputTransitionRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepOutputTransitionRNNCell(4, transition_units=(8,), output_units=(6,))
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 6)
    """

    def __init__(
        self,
        units: int,
        transition_units: Sequence[int],
        output_units: Sequence[int],
        shortcut: bool = False,
        input_to: str = "first",
        input_units: Sequence[int] | None = None,
        input_activation: Described = None,
        output_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(
            units,
            layer_sizes("transition_units", transition_units),
            shortcut,
            input_to,
            input_units,
            input_activation,
            **weights_of(**options),
        )
        super().__init__(plus, deep_output(plus, output_units, output_activation), **options)


def state_widths(cell: Any) -> list[int]:
    """Widths of a cell's states, as a flat list."""
    return keras.tree.flatten(cell.state_size)


def output_width(cell: Any) -> int:
    """Width of a cell's output; without `output_size` that of the first state, as in Keras."""
    size = getattr(cell, "output_size", None)
    return state_widths(cell)[0] if size is None else size


def as_list(value: Any) -> list:
    """`value` as a list, of one if it is not a list or tuple."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _dropped(values: Any, mask: Any) -> Any:
    """`values`, (B, n) or (T, B, n), with the units of the mask (B, n) dropped."""
    return values if mask is None else values * mask

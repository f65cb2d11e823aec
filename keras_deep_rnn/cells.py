"""One step of each network of the paper.

A cell is a choice of ⊕ and ▷. It works in `keras.layers.RNN(cell)` as any Keras cell does; the
layers of `layers.py` run the same cell over whole sequences faster, with the same numbers.
"""

import keras
from keras import ops

from . import recurrence
from .arguments import CHECKS, Configured, layer_sizes, numbered
from .errors import UserError
from .operators import Plus, Predict
from .recurrence import DEFAULT_LOOP

# `keras.layers.RNN` draws the masks of a cell before its loop only where the cell is of this class,
# which Keras does not export: it is found among the parents of a cell that Keras does export.
_PARENTS = {parent.__name__: parent for parent in keras.layers.SimpleRNNCell.__mro__}
if "DropoutRNNCell" not in _PARENTS:
    raise ImportError(f"keras-deep-rnn cannot work with the cells of Keras {keras.__version__}")
KerasDropoutCell = _PARENTS["DropoutRNNCell"]

# Arguments of ⊕ and ▷ that the shallow variants decide by themselves.
_TRANSITION = ("transition_units", "shortcut", "input_to", "shortcut_initializer")
_OUTPUT = ("output_units", "output_activation", "output_dropout")


class Cell(KerasDropoutCell, Configured):
    """What Keras expects of every cell, for states that are a flat list."""

    def get_initial_state(self, batch_size=None):
        """Zeros for each state, (B, H) each, in the cell's compute type."""
        states = [
            ops.zeros((batch_size, width), dtype=self.compute_dtype)
            for width in state_widths(self)
        ]
        return states if isinstance(self.state_size, (list, tuple)) else states[0]

    def compute_output_shape(self, input_shape, states_shape=None):
        batch = input_shape[0]
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
        dropout: Share of the units of x to drop; one mask for the whole sequence. Of tokens,
            the units that they stand for: all occurrences of a token in a row are dropped, or none.
        recurrent_dropout: Share of the units of h(t-1) to drop; one mask for the whole sequence.
        output_dropout: Share of the units of h(t) to drop before ▷; one mask for the whole
            sequence. The carried state is not touched.
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

    def __init__(
        self,
        plus,
        predict=None,
        state_size=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        output_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        plus = CHECKS["plus"]("plus", plus)
        if state_size is None:
            state_size = getattr(plus, "state_size", getattr(plus, "units", None))
            if state_size is None:
                raise UserError(
                    "`state_size` must be given where `plus` has neither `state_size` nor "
                    f"`units`, got {type(plus).__name__}."
                )
        self.keep(locals())
        if self.dropout and getattr(plus, "num_tokens", None) and type(plus) is not Plus:
            raise UserError(
                "`dropout` must be 0 with the `num_tokens` of a `plus` other than `Plus`, "
                f"got {dropout} with a {type(plus).__name__}."
            )
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._output_width = None
        self.reset_dropout_mask()
        self.reset_recurrent_dropout_mask()

    def build(self, input_shape):
        hidden = (None, self.state_size)
        x = keras.KerasTensor((None, input_shape[-1]), dtype=self.compute_dtype)
        h = keras.KerasTensor(hidden, dtype=self.compute_dtype)
        new_h = self.plus([x, h])
        if tuple(new_h.shape) != hidden:
            raise UserError(
                f"`plus` must give the shape of h, (B, {self.state_size}), got {new_h.shape}."
            )
        if self.predict is not None:
            self._output_width = self.predict(h).shape[-1]

    @property
    def output_size(self):
        """Width of y; that of a ▷ of the user's own is known once the cell is built."""
        if self.predict is None:
            return self.state_size
        if self._output_width is None and isinstance(self.predict, Predict):
            return self.predict.output_units[-1]
        return self._output_width

    def call(self, inputs, states, training=False):
        x, (h,), of_tokens = inputs, as_list(states), {}
        if training:
            x, of_tokens = self._drop(x, self.get_dropout_mask(x))
            h = _dropped(h, self.get_recurrent_dropout_mask(h))
        h = self.plus([x, h], **of_tokens)
        y = _dropped(h, self.get_output_dropout_mask(h)) if training else h
        return (y if self.predict is None else self.predict(y)), [h]

    def over_time(self, sequences, states, mask=None, training=False, loop=DEFAULT_LOOP):
        """The whole sequence at once: what depends on x or on h alone stays out of the loop.

        Args:
            sequences: Shape (B, T, D).
            states: List of h before the first step, (B, H).
            mask: Boolean (B, T); where it is False, h stays as it is.
            training: Whether to drop units.
            loop: `recurrence.Loop`, how to run.

        Returns:
            y of shape (B, T, units of ▷), and the list of h of shape (B, T, H).
        """
        recurrent_mask, of_tokens = None, {}
        if training:
            sequences, of_tokens = self._drop(sequences, self.get_dropout_mask(sequences[:, 0]))
            recurrent_mask = self.get_recurrent_dropout_mask(states[0])
        if type(self.plus) is Plus:
            h = self.plus.over_time(sequences, states[0], mask, recurrent_mask, loop, **of_tokens)
        else:

            def step(x, states):
                return [self.plus([x, _dropped(states[0], recurrent_mask)])]

            # JAX's loop cannot carry what ⊕ itself updates, such as the seed of a dropout layer.
            unroll = loop.unroll or (recurrence.on_jax() and self.plus.non_trainable_variables)
            (h,) = recurrence.run(step, sequences, states, mask, unroll)
        y = _dropped(h, self.get_output_dropout_mask(states[0])) if training else h
        return (y if self.predict is None else self._predict_all(y)), [h]

    def recurrence(self, loop=DEFAULT_LOOP):
        """Which loop `over_time` takes: "fast", or "plain" and why."""
        if type(self.plus) is Plus:
            reason = self.plus.why_plain(loop)
        else:
            reason = f"⊕ is a {type(self.plus).__name__}"
        return "fast" if reason is None else f"plain: {reason}"

    def _predict_all(self, h):
        if type(self.predict) is Predict:
            return self.predict(h)
        # Any other layer sees (B, H), as it does in a single step.
        y = self.predict(ops.reshape(h, (-1, self.state_size)))
        return ops.reshape(y, (-1, ops.shape(h)[1], y.shape[-1]))

    def _drop(self, x, mask):
        """x without the units that the mask drops, and what ⊕ has to be told of it.

        Tokens stay what they are: ⊕ is told by how much each one's rows of U count.
        """
        if mask is None or self._num_tokens is None:
            return _dropped(x, mask), {}
        tokens = ops.reshape(ops.cast(x, "int32"), (ops.shape(x)[0], -1))
        kept = ops.take_along_axis(mask, tokens, axis=1)
        return x, {"kept": ops.reshape(kept, ops.shape(x))}

    @property
    def _num_tokens(self):
        return self.plus.num_tokens if type(self.plus) is Plus else None

    def get_dropout_mask(self, x):
        """The mask on x(t) (B, D); of tokens, on the D units that they stand for."""
        if self.dropout and self._num_tokens is not None:
            x = ops.ones((ops.shape(x)[0], self._num_tokens), self.compute_dtype)
        return super().get_dropout_mask(x)

    def get_output_dropout_mask(self, h):
        """The mask on what ▷ sees, drawn when first asked for, as Keras does for the other two."""
        if self._output_dropout_mask is None and self.output_dropout > 0:
            self._output_dropout_mask = keras.random.dropout(
                ops.ones_like(h), self.output_dropout, seed=self.seed_generator
            )
        return self._output_dropout_mask

    def get_recurrent_dropout_mask(self, h):
        mask = super().get_recurrent_dropout_mask(h)
        self.get_output_dropout_mask(h)  # Keras asks for the first two masks only.
        return mask

    def reset_recurrent_dropout_mask(self):
        super().reset_recurrent_dropout_mask()
        self._output_dropout_mask = None


class _PaperCell(DeepRNNCell):
    """A cell whose operators are made from its own arguments."""

    decided = ("plus", "predict", "state_size")
    options_of = (Predict, Plus)

    def __init__(self, units, output_units=None, output_activation=None, **kwargs):
        dtype = kwargs.get("dtype")
        options = {name: kwargs.pop(name) for name in list(kwargs) if name in Plus.accepts}
        plus = Plus(units, dtype=dtype, **options)
        predict = None
        if output_units is not None:
            shared = {n: getattr(plus, n) for n in Predict.accepts if n in Plus.accepts}
            kernels_of_plus = len(plus.input_units or ()) + len(plus.transition_units or ()) + 1
            shared["kernel_initializer"] = numbered(plus.kernel_initializer, kernels_of_plus)
            activation = plus.activation if output_activation is None else output_activation
            predict = Predict(output_units, activation, dtype=dtype, **shared)
        super().__init__(plus, predict, **kwargs)
        self.keep({name: getattr(plus, name) for name in Plus.accepts})
        self.keep({"output_units": output_units, "output_activation": output_activation})


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionRNNCell(_PaperCell):
    """One step of the DT-RNN or DT(S)-RNN; see `DeepTransitionRNN`.

        h(t) = x(t) ⊕ h(t-1), ⊕ as deep as `transition_units` says;   y(t) = h(t)

    Args, the weights and their order are those of the layer without the options of its loop.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: h(t-1), shape (B, H), or a list of it.
        training: Whether to drop units.

    Returns:
        y(t), shape (B, units of y), and the list of h(t).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepTransitionRNNCell(4, transition_units=(8,), shortcut=True)
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    decided = (*_PaperCell.decided, *_OUTPUT, "input_units", "input_activation")

    def __init__(self, units, transition_units=None, shortcut=False, input_to="first", **kwargs):
        super().__init__(
            units,
            transition_units=transition_units,
            shortcut=shortcut,
            input_to=input_to,
            **kwargs,
        )


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepInputRNNCell(_PaperCell):
    """One step of the recurrent network with a deep input; see `DeepInputRNN`.

        h(t) = phi(h(t-1) W + MLP(x(t)) U + b);   y(t) = h(t)

    Args, the weights and their order are those of the layer without the options of its loop.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: h(t-1), shape (B, H), or a list of it.
        training: Whether to drop units.

    Returns:
        y(t), shape (B, units of y), and the list of h(t).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepInputRNNCell(4, input_units=(8,))
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    decided = (*_PaperCell.decided, *_OUTPUT, *_TRANSITION)

    def __init__(self, units, input_units, **kwargs):
        input_units = layer_sizes("input_units", input_units)
        super().__init__(units, input_units=input_units, **kwargs)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputRNNCell(_PaperCell):
    """One step of the DO-RNN; see `DeepOutputRNN`.

        h(t) = phi(h(t-1) W + x(t) U + b);   y(t) = ▷ h(t)

    Args, the weights and their order are those of the layer without the options of its loop.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: h(t-1), shape (B, H), or a list of it.
        training: Whether to drop units.

    Returns:
        y(t), shape (B, units of y), and the list of h(t).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepOutputRNNCell(4, output_units=(8,))
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    decided = (*_PaperCell.decided, *_TRANSITION, "input_units", "input_activation")

    def __init__(self, units, output_units, **kwargs):
        output_units = layer_sizes("output_units", output_units)
        super().__init__(units, output_units, **kwargs)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputTransitionRNNCell(_PaperCell):
    """One step of the DOT-RNN or DOT(S)-RNN; see `DeepOutputTransitionRNN`.

        h(t) = x(t) ⊕ h(t-1);   y(t) = ▷ h(t);   both deep

    Args, the weights and their order are those of the layer without the options of its loop.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: h(t-1), shape (B, H), or a list of it.
        training: Whether to drop units.

    Returns:
        y(t), shape (B, units of y), and the list of h(t).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = DeepOutputTransitionRNNCell(4, transition_units=(8,), output_units=(6,))
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 6)
    """

    def __init__(
        self,
        units,
        transition_units,
        output_units,
        shortcut=False,
        input_to="first",
        input_units=None,
        **kwargs,
    ):
        super().__init__(
            units,
            layer_sizes("output_units", output_units),
            transition_units=layer_sizes("transition_units", transition_units),
            shortcut=shortcut,
            input_to=input_to,
            input_units=input_units,
            **kwargs,
        )


def state_widths(cell):
    """Widths of a cell's states, as a list."""
    return as_list(cell.state_size)


def output_width(cell):
    """Width of a cell's output; without `output_size` that of the first state, as in Keras."""
    size = getattr(cell, "output_size", None)
    return state_widths(cell)[0] if size is None else size


def as_list(value):
    """`value` as a list, of one if it is not a list or tuple."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _dropped(values, mask):
    """`values`, (B, n) or (B, T, n), with the units of the mask (B, n) dropped."""
    if mask is None:
        return values
    return values * (mask if len(values.shape) == 2 else ops.expand_dims(mask, 1))

"""The networks of the paper as recurrent layers of Keras.

Shapes: B batch, T time steps, D input features, H units of h.
"""

import inspect

import keras
from keras import ops

from .arguments import Configured, flag, signature
from .cells import (
    DeepInputRNNCell,
    DeepOutputRNNCell,
    DeepOutputTransitionRNNCell,
    DeepRNNCell,
    DeepTransitionRNNCell,
    StackedRNNCell,
    over_time,
)
from .errors import UserError

LOOP = (
    "return_sequences",
    "return_state",
    "return_state_sequences",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
)
KERAS_ARGUMENTS = ("name", "trainable", "dtype", "activity_regularizer")

OPTIONS = """activation: phi: a name, a function, or a layer, such as `LpUnit`, copied for each use.
    use_bias: Whether each layer of the network has a bias.
    kernel_initializer: For the kernels that an input feeds, and those of the output layers.
    recurrent_initializer: For the kernels of h(t-1) and of the transition.
    bias_initializer: For the biases.
    kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, likewise.
    kernel_constraint, recurrent_constraint, bias_constraint: Constraints, likewise.
"""
DROPOUT = """dropout: Share of the units of x to drop; one mask for the whole sequence.
    recurrent_dropout: Share of the units of h(t-1) to drop; one mask for the whole sequence.
    seed: Int, makes the masks reproducible; None for a random one.
    return_sequences: Whether to give y at every step, (B, T, units of y), or at the last, (B, ...).
    return_state: Whether to give the last h too, (B, H).
    return_state_sequences: Whether to give every h(t) too, (B, T, H).
    go_backwards: Whether to read the sequence from its end; outputs come in the order of reading.
    stateful: Whether each batch starts from the states that the one before ended with.
    unroll: Whether to write the steps out instead of looping; T must be known.
    zero_output_for_mask: Whether the output at a masked step is zero, or the one before it.
    name, dtype, trainable: As for every Keras layer.
"""
CALL = """Call arguments:
    sequences: x, shape (B, T, D).
    initial_state: h before the first step, (B, H); None for zeros, or for the carried state.
    mask: Boolean, (B, T). At a masked step h stays as it is; the output is the one before it, and
        zero where there is none.
    training: Whether to drop units.
    reset: (B,) or (B, 1), 1 for each row whose state starts from zeros in this batch, else 0.

Returns:
    y, then the last states (`return_state`), then the states of all steps
    (`return_state_sequences`).

Raises:
    UserError: An argument, or the shape of an input, is not as described here.
"""


def _documented(cls):
    """Gives a layer the signature of its cell and of the loop, and the texts that all share."""
    loop = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False)
        for name in LOOP
    }
    cls.parameters = {**cls.cell_class.parameters, **loop}
    cls.__signature__ = signature(cls.parameters)
    for name in cls.cell_class.parameters:
        if not hasattr(cls, name) and name != "state_size":
            setattr(cls, name, property(lambda self, name=name: getattr(self.cell, name)))
    doc = inspect.cleandoc(cls.__doc__ or "")
    for mark, text in (("{options}", OPTIONS), ("{dropout}", DROPOUT), ("{call}", CALL)):
        doc = doc.replace(mark, text.rstrip())
    cls.__doc__ = doc
    return keras.saving.register_keras_serializable(package="keras_deep_rnn")(cls)


class CarriedState(keras.layers.Layer):
    """The states that a stateful layer carries from batch to batch.

    They are variables of a layer of their own, so that the JAX trainer keeps them, but not
    weights: they are neither saved nor counted, as in Keras.
    """

    def __init__(self, shapes, **kwargs):
        super().__init__(**kwargs)
        self.states = [
            self.add_weight(name=f"state_{i}", shape=shape, initializer="zeros", trainable=False)
            for i, shape in enumerate(shapes)
        ]
        self.built = True

    @property
    def weights(self):
        return []

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


@_documented
class DeepRNN(Configured, keras.layers.RNN):
    """A recurrent layer given by its two operators, each any Keras layer (section 4 of the paper).

        h(t) = x(t) ⊕ h(t-1)
        y(t) = ▷ h(t)

    All recurrent layers of the package are this one with a cell of their own.

    Args:
        plus: ⊕, a Keras layer called with `[x, h]`; see `DeepRNNCell`.
        predict: ▷, a Keras layer called with h; None gives out h itself.
        state_size: H; None takes `plus.state_size` or `plus.units`.
        output_dropout: Share of the units of h(t) to drop before ▷.
        {dropout}

    {call}

    Example:

    >>> import keras
    >>> import numpy as np
    >>> x, h = keras.Input((6,)), keras.Input((4,))
    >>> new_h = keras.layers.Dense(4, "tanh")(keras.layers.Concatenate()([x, h]))
    >>> plus = keras.Model([x, h], new_h)
    >>> layer = DeepRNN(plus, predict=keras.layers.Dense(3), state_size=4)
    >>> tuple(layer(np.ones((2, 5, 6))).shape)
    (2, 3)
    """

    cell_class = DeepRNNCell

    def __init__(self, *args, **kwargs):
        loop = {name: flag(name, kwargs.pop(name, False)) for name in LOOP}
        own = {name: kwargs.pop(name) for name in KERAS_ARGUMENTS if name in kwargs}
        cell = self.cell_class(*args, dtype=own.get("dtype"), **kwargs)
        self.return_state_sequences = loop.pop("return_state_sequences")
        super().__init__(cell, **loop, **own)

    def build(self, sequences_shape, initial_state_shape=None):
        self._check_shapes(sequences_shape)
        if not self.cell.built:
            self.cell.build((sequences_shape[0], sequences_shape[-1]))
            self.cell.built = True
        if self.stateful and self.states is None:
            batch = sequences_shape[0]
            if batch is None:
                raise UserError(
                    "`stateful=True` needs a known batch size: give the model's input a "
                    f"`batch_size`, got a shape of {tuple(sequences_shape)}."
                )
            shapes = [(batch, width) for width in self.state_size]
            self.carried = CarriedState(shapes, dtype=self.dtype_policy, name="carried")
            # Set past Keras's tracking, which would count them among this layer's own weights.
            object.__setattr__(self, "states", self.carried.states)

    def __call__(self, sequences, *args, **kwargs):
        # Checked here, because Keras wraps what `call` raises into a message of many lines.
        given = dict(zip(("initial_state", "mask"), args)) | kwargs
        self._check_shapes(sequences.shape, given.get("mask"), given.get("initial_state"))
        return super().__call__(sequences, *args, **kwargs)

    def call(self, sequences, initial_state=None, mask=None, training=False, reset=None):
        states = self._first_states(sequences, initial_state, reset)
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)
        mask = None if mask is None else ops.cast(mask, "bool")

        y, state_sequences = over_time(
            self.cell, sequences, states, mask, bool(training), self.unroll
        )
        self.cell.reset_dropout_mask()
        self.cell.reset_recurrent_dropout_mask()

        last_states = [sequence[:, -1] for sequence in state_sequences]
        if self.stateful:
            for variable, state in zip(self.states, last_states):
                variable.assign(ops.cast(ops.stop_gradient(state), variable.dtype))
        if mask is not None:
            y = ops.where(self._shown(mask), y, ops.zeros_like(y))

        result = [y if self.return_sequences else y[:, -1]]
        if self.return_state:
            result += last_states
        if self.return_state_sequences:
            result += state_sequences
        return result[0] if len(result) == 1 else tuple(result)

    @property
    def recurrence(self):
        """Which loop over time runs: "fast", or "plain" and why; for a stack, of each level."""
        return self.cell.recurrence(self.unroll)

    def _shown(self, mask):
        """Where an output is given, (B, T, 1): a masked step repeats the last one before it."""
        if not self.zero_output_for_mask:
            mask = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
        return ops.expand_dims(mask, -1)

    def _first_states(self, sequences, initial_state, reset):
        batch = ops.shape(sequences)[0]
        if initial_state is None:
            initial_state = self.states if self.stateful else self.get_initial_state(batch)
        states = [
            ops.cast(ops.convert_to_tensor(state), self.cell.compute_dtype)
            for state in keras.tree.flatten(initial_state)
        ]
        if reset is None:
            return states
        keep = 1 - ops.cast(ops.reshape(reset, (-1, 1)), self.cell.compute_dtype)
        return [state * keep for state in states]

    def _check_shapes(self, shape, mask=None, initial_state=None):
        shape = tuple(shape)
        if len(shape) != 3:
            raise UserError(f"`sequences` must have shape (B, T, D), got {shape}.")
        if shape[1] == 0:
            raise UserError(f"`sequences` must have at least one time step, got shape {shape}.")
        if shape[2] is None:
            raise UserError(f"`sequences` must have a known number of features D, got {shape}.")
        if self.unroll and shape[1] is None:
            raise UserError(
                "`unroll=True` needs a known number of time steps: give it in the model's input, "
                f"got a shape of {shape}."
            )
        if mask is not None and (
            len(mask.shape) != 2 or any(_unequal(a, b) for a, b in zip(mask.shape, shape))
        ):
            raise UserError(
                f"`mask` must have shape (B, T) = {shape[:2]}, got {tuple(mask.shape)}."
            )
        states = [] if initial_state is None else keras.tree.flatten(initial_state)
        if initial_state is not None and len(states) != len(self.state_size):
            raise UserError(
                f"`initial_state` must have {len(self.state_size)} tensor(s), got {len(states)}."
            )
        for state, width in zip(states, self.state_size):
            expected = (shape[0], width)
            if len(state.shape) != 2 or any(_unequal(*d) for d in zip(state.shape, expected)):
                raise UserError(
                    f"`initial_state` must have shape (B, H) = {expected}, "
                    f"got {tuple(state.shape)}."
                )

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        batch, length = sequences_shape[0], sequences_shape[1]
        time = (length,) if self.return_sequences else ()
        shapes = [(batch, *time, self.cell.output_size)]
        if self.return_state:
            shapes += [(batch, width) for width in self.state_size]
        if self.return_state_sequences:
            shapes += [(batch, length, width) for width in self.state_size]
        return shapes[0] if len(shapes) == 1 else tuple(shapes)

    def compute_mask(self, sequences, mask=None):
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        masks = [mask if self.return_sequences else None]
        masks += [None] * (len(self.state_size) if self.return_state else 0)
        masks += [mask] * (len(self.state_size) if self.return_state_sequences else 0)
        return masks[0] if len(masks) == 1 else masks

    def get_config(self):
        loop = {name: getattr(self, name) for name in LOOP}
        return {**self.cell.get_config(), **keras.layers.Layer.get_config(self), **loop}


@_documented
class DeepTransitionRNN(DeepRNN):
    """The DT-RNN: a deep transition from h(t-1) to h(t) (section 3.3.1, figure 2 b).

        a_1 = phi(h(t-1) W_1 + x(t) U_1 + b_1)
        a_l = phi(a_{l-1} W_l + b_l)                        l = 2 ... L
        h(t) = a_L

    With `shortcut=True`, the DT(S)-RNN (figure 2 b*), every later layer also gets h(t-1) S_l; with
    `input_to="all"` it also gets x(t) U_l. Without `transition_units` it is the plain recurrent
    network, equal to `keras.layers.SimpleRNN` with the same weights.

    Args:
        units: Positive int, H: the width of h.
        transition_units: Widths of the layers between h(t-1) and h(t): `units=400,
            transition_units=(400,)` is the paper's "400, 400". None for a shallow transition.
        shortcut: Whether every later layer of the transition also sees h(t-1).
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds. The sizes in
            the paper's Table 1 are those of `"all"`.
        shortcut_initializer: For every S_l. None: as `recurrent_initializer`, with S_l and the W_l
            beside it scaled by 1/sqrt(2), which keeps the gain of the two paths together at one.
        {options}
        {dropout}

    {call}

    Example:

    >>> import numpy as np
    >>> layer = DeepTransitionRNN(4, transition_units=(8,), shortcut=True, return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        The weights come transition layer by transition layer: U_l, W_l, S_l, b_l, as far as the
        layer has them.
    """

    cell_class = DeepTransitionRNNCell


@_documented
class DeepInputRNN(DeepRNN):
    """A recurrent network with a deep input-to-hidden function (section 3.2.1).

        z_0 = x(t),   z_l = phi(z_{l-1} U'_l + b'_l)
        h(t) = phi(h(t-1) W + z_L(t) U + b)

    Args:
        units: Positive int, H: the width of h.
        input_units: Widths of the layers that x(t) goes through, for example `(400,)`.
        input_activation: phi of these layers; None takes `activation`.
        {options}
        {dropout}

    {call}

    Example:

    >>> import numpy as np
    >>> tuple(DeepInputRNN(4, input_units=(8, 8))(np.ones((2, 5, 3))).shape)
    (2, 4)

    Notes:
        The weights come input layer by input layer (kernel, bias), then U, W, b.
    """

    cell_class = DeepInputRNNCell


@_documented
class DeepOutputRNN(DeepRNN):
    """The DO-RNN: a deep output from h(t) to y(t) (section 3.3.2, figure 2 c).

        h(t) = phi(h(t-1) W + x(t) U + b)
        y_0 = h(t),   y_l = phi(y_{l-1} V_l + c_l)

    The layer to the classes is the user's own `keras.layers.Dense` after it.

    Args:
        units: Positive int, H: the width of h.
        output_units: Widths of the output layers, for example `(400,)`.
        output_activation: phi of these layers; None takes `activation`.
        output_dropout: Share of the units of h(t) to drop before the output layers.
        {options}
        {dropout}

    {call}

    Example:

    >>> import numpy as np
    >>> tuple(DeepOutputRNN(4, output_units=(8,))(np.ones((2, 5, 3))).shape)
    (2, 8)

    Notes:
        The weights come as U, W, b, then output layer by output layer (kernel, bias).
    """

    cell_class = DeepOutputRNNCell


@_documented
class DeepOutputTransitionRNN(DeepRNN):
    """The DOT-RNN: a deep transition and a deep output (sections 3.3.1 and 3.3.2, figure 2 c).

    h(t) as in `DeepTransitionRNN`, y(t) as in `DeepOutputRNN`; with `shortcut=True` the DOT(S)-RNN.
    It can have a deep input too, so that all three of the paper's functions are deep.

    Args:
        units: Positive int, H: the width of h.
        transition_units: Widths of the layers between h(t-1) and h(t).
        output_units: Widths of the output layers.
        shortcut: Whether every later layer of the transition also sees h(t-1).
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds.
        input_units: Widths of the layers that x(t) goes through first; None for none.
        input_activation: phi of the input layers; None takes `activation`.
        output_activation: phi of the output layers; None takes `activation`.
        output_dropout: Share of the units of h(t) to drop before the output layers.
        shortcut_initializer: For every S_l; see `DeepTransitionRNN`.
        {options}
        {dropout}

    {call}

    Example:

    >>> import numpy as np
    >>> layer = DeepOutputTransitionRNN(4, transition_units=(8,), output_units=(6,), shortcut=True)
    >>> tuple(layer(np.ones((2, 5, 3))).shape)
    (2, 6)

    Notes:
        The weights come in the order input layers, transition layers, output layers.
    """

    cell_class = DeepOutputTransitionRNNCell


@_documented
class StackedRNN(DeepRNN):
    """The sRNN: recurrent levels one upon the other (section 3.3.3, figure 2 d).

        h_l(t) = f_l(h_l(t-1), h_{l-1}(t)),   h_0(t) = x(t)

    Args:
        cells: List of cells, one a level, from below: cells of this package or of Keras. Give
            either this or `units`.
        units: Widths of the levels: each is then a `DeepTransitionRNNCell`, which takes what
            follows; cells given by `cells` have their own.
        transition_units, shortcut, input_to, shortcut_initializer: As in `DeepTransitionRNN`.
        skip: None: y(t) is the output of the top level. `"residual"`: from the second level on, a
            level's input is added to its output. `"all_to_output"`: y(t) is the outputs of all
            levels side by side.
        {options}
        {dropout}

    {call}

    Example:

    >>> import numpy as np
    >>> tuple(StackedRNN(units=(4, 4), skip="all_to_output")(np.ones((2, 5, 3))).shape)
    (2, 8)

    Notes:
        The states of all levels come as one flat list, from below; so do the weights. Each level
        drops units of its own input and state.
    """

    cell_class = StackedRNNCell


def _unequal(a, b):
    """Whether two sizes differ, as far as both are known."""
    return a is not None and b is not None and a != b

"""The recurrent layer of Keras that every network of the package is, with a cell of its own.

Shapes: B batch, T time steps, D input features, H units of h.
"""

import inspect

import keras
import numpy as np
from keras import ops

from .arguments import Configured, flag, signature
from .cells import DeepRNNCell
from .errors import UserError, nearest
from .recurrence import Loop, backend, warn_if_slow
from .stacked import over_time

# Arguments of the loop, with their defaults: what Keras has, and what is ours.
KERAS_LOOP = dict.fromkeys(
    (
        "return_sequences",
        "return_state",
        "go_backwards",
        "stateful",
        "unroll",
        "zero_output_for_mask",
    ),
    False,
)
OWN_LOOP = {
    "return_state_sequences": False,
    "jit_compile": None,
    "batch_parts": None,
    "remat": None,
}
KERAS_ARGUMENTS = ("name", "trainable", "dtype", "activity_regularizer")

OPTIONS = """activation: phi: a name, a function, or a layer, such as `LpUnit`, copied for each use.
    num_tokens: D where x is tokens, integers of shape (B, T, 1), each of which stands for its unit
        vector: x(t) U is looked up, a row of U. None: x is numbers.
    use_bias: Whether each layer of the network has a bias.
    input_initializer: For the kernels that x(t) feeds; None: `kernel_initializer`. See `Plus`.
    kernel_initializer: For the other kernels of input layers, and those of the output layers.
    recurrent_initializer: For the kernels of h(t-1) and of the transition.
    bias_initializer: For the biases.
    kernel_regularizer, recurrent_regularizer, bias_regularizer: Regularizers, likewise.
    kernel_constraint, recurrent_constraint, bias_constraint: Constraints, likewise.
"""
LOOP_OPTIONS = """dropout: Share of the units of x to drop; one mask for the whole sequence. Of
        tokens, the units that they stand for: all occurrences of a token in a row, or none.
    recurrent_dropout: Share of the units of h(t-1) to drop; one mask for the whole sequence.
    seed: Int, makes the masks reproducible; None for a random one.
    return_sequences: Whether to give y at every step, (B, T, units of y), or at the last, (B, ...).
    return_state: Whether to give the last h too, (B, H).
    return_state_sequences: Whether to give every h(t) too, (B, T, H). `Bidirectional` takes it only
        beside `return_state`, and leaves those of the backward layer in their order of reading.
    go_backwards: Whether to read the sequence from its end; outputs come in the order of reading.
    stateful: Whether each batch starts from the states that the one before ended with.
    unroll: Whether to write the steps out instead of looping; T must be known.
    jit_compile: Whether XLA compiles the recurrence on TensorFlow; None: yes, unless the
        environment variable KERAS_DEEP_RNN_XLA is 0. An export never contains such code.
    batch_parts: Into how many parts the batch is split, whose loops run side by side; None: on
        TensorFlow without a GPU one for each core, of at least 4 rows, else 1.
    remat: Keep only h(t) for the way back, and compute the hidden layers of the transition again,
        so many steps at a time: less memory, more time, equal gradients. None keeps them all.
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


def documented(cls):
    """Gives a layer the signature of its cell and of the loop, and the texts that all share."""
    loop = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in {**KERAS_LOOP, **OWN_LOOP}.items()
    }
    cls.accepts = {**cls.cell_class.accepts, **loop}
    cls.__signature__ = signature(cls.accepts)
    for name in cls.cell_class.accepts:
        if not hasattr(cls, name) and name != "state_size":
            setattr(cls, name, property(lambda self, name=name: getattr(self.cell, name)))
    doc = inspect.cleandoc(cls.__doc__ or "")
    for mark, text in (("{options}", OPTIONS), ("{loop}", LOOP_OPTIONS), ("{call}", CALL)):
        doc = doc.replace(mark, text.rstrip())
    cls.__doc__ = doc
    return keras.saving.register_keras_serializable(package="keras_deep_rnn")(cls)


class SingleSteps(dict):
    """The compiled steps of a layer, by whether XLA compiles them; they go into no copy of it."""

    def __deepcopy__(self, memo):
        return SingleSteps()

    def __reduce__(self):
        return SingleSteps, ()


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


@documented
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
        {loop}

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
        in_keras = {name: flag(name, kwargs.pop(name, False)) for name in KERAS_LOOP}
        loop = {name: kwargs.pop(name, default) for name, default in OWN_LOOP.items()}
        own = {name: kwargs.pop(name) for name in KERAS_ARGUMENTS if name in kwargs}
        for name in kwargs.keys() - self.cell_class.accepts.keys():
            hint = nearest(name, self.accepts)
            raise UserError(f"`{name}` is no argument of {type(self).__name__}{hint or '.'}")
        self.__signature__.bind(*args, **kwargs)
        cell = self.cell_class(*args, dtype=own.get("dtype"), **kwargs)
        super().__init__(cell, **in_keras, **own)
        self.keep(loop)
        object.__setattr__(self, "_steps", SingleSteps())

    def build(self, sequences_shape, initial_state_shape=None):
        self._check_shapes(sequences_shape)
        self._features = sequences_shape[-1]
        warn_if_slow(self.compute_dtype)
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
        shape = _shape(sequences)
        self._check_shapes(shape, given.get("mask"), given.get("initial_state"))
        reset = given.get("reset")
        if reset is not None and (
            _unequal(_shape(reset)[0], shape[0]) or _shape(reset)[1:] not in ((), (1,))
        ):
            raise UserError(
                f"`reset` must have shape (B, 1) or (B,), B = {shape[0]}, got {_shape(reset)}."
            )
        if not hasattr(sequences, "shape"):
            sequences = ops.convert_to_tensor(sequences)
        return super().__call__(sequences, *args, **kwargs)

    def call(self, sequences, initial_state=None, mask=None, training=False, reset=None):
        states = self._first_states(sequences, initial_state, reset)
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)
        mask = None if mask is None else ops.cast(mask, "bool")

        y, state_sequences = over_time(
            self.cell, sequences, states, mask, bool(training), self._loop
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
        return self.cell.recurrence(self._loop)

    @property
    def _loop(self):
        return Loop(self.unroll, self.jit_compile, self.batch_parts, self.remat)

    def step(self, x_t, states=None):
        """One time step for online inference, by a function that is compiled once for the layer.

        Nothing is dropped and nothing carried: what comes back as states goes in with the next x.

        Args:
            x_t: x(t), shape (B, D).
            states: List of the states at t-1, (B, H) each; None for zeros.

        Returns:
            y(t), shape (B, units of y), and the list of the states at t.

        Raises:
            UserError: An input has not the shape described here, or the layer reads backwards.

        Example:

        >>> import numpy as np
        >>> from keras_deep_rnn import DeepTransitionRNN
        >>> layer = DeepTransitionRNN(4, transition_units=(8,))
        >>> y, states = layer.step(np.ones((1, 3)))
        >>> y, states = layer.step(np.ones((1, 3)), states)
        >>> tuple(y.shape)
        (1, 4)
        """
        if self.go_backwards:
            raise UserError("`step` goes forwards, but the layer has `go_backwards=True`.")
        x_t = x_t if ops.is_tensor(x_t) else ops.convert_to_tensor(x_t, self.compute_dtype)
        if len(x_t.shape) != 2:
            raise UserError(f"`x_t` must have shape (B, D), got {tuple(x_t.shape)}.")
        if not self.built and self.stateful:
            raise UserError("`step` needs a layer with `stateful=True` built, with its batch size.")
        if not self.built:
            self.build((None, 1, x_t.shape[1]))
        if x_t.shape[1] != self._features:
            raise UserError(
                f"`x_t` must have D = {self._features} features, got {tuple(x_t.shape)}."
            )
        if states is None:
            states = self.get_initial_state(ops.shape(x_t)[0])
        self._check_states("states", states, x_t.shape[0])
        xla = self._loop.compiled()
        if xla not in self._steps:
            self._steps[xla] = backend().single_step(self.cell, xla)
        return self._steps[xla](x_t, list(states))

    def _shown(self, mask):
        """Where an output is given, (B, T, 1): a masked step repeats the last one before it."""
        if not self.zero_output_for_mask:
            mask = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
        return ops.expand_dims(mask, -1)

    def _first_states(self, sequences, initial_state, reset):
        if initial_state is None and self.stateful:
            # Copies: PyTorch writes the new states over the old, which the gradient needs.
            initial_state = [ops.copy(state) for state in self.states]
        elif initial_state is None:
            initial_state = self.get_initial_state(ops.shape(sequences)[0])
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
            len(_shape(mask)) != 2 or any(_unequal(a, b) for a, b in zip(_shape(mask), shape))
        ):
            raise UserError(f"`mask` must have shape (B, T) = {shape[:2]}, got {_shape(mask)}.")
        if initial_state is not None:
            self._check_states("initial_state", keras.tree.flatten(initial_state), shape[0])

    def _check_states(self, name, states, batch):
        if not isinstance(states, (list, tuple)) or len(states) != len(self.state_size):
            got = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
            raise UserError(f"`{name}` must have {len(self.state_size)} tensor(s), got {got}.")
        for state, width in zip(states, self.state_size):
            expected, got = (batch, width), _shape(state)
            if len(got) != 2 or any(_unequal(*sizes) for sizes in zip(got, expected)):
                raise UserError(f"`{name}` must have shape (B, H) = {expected}, got {got}.")

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
        loop = {name: getattr(self, name) for name in (*KERAS_LOOP, *OWN_LOOP)}
        return {**self.cell.get_config(), **keras.layers.Layer.get_config(self), **loop}


def _shape(value):
    """The shape of a tensor, or of what can become one."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def _unequal(a, b):
    """Whether two sizes differ, as far as both are known."""
    return a is not None and b is not None and a != b

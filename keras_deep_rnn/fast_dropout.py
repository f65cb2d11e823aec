"""Fast dropout: what dropout does on average, computed instead of drawn (arXiv:1311.0701).

Dropping each unit of x with probability p makes the pre-activation a sum of many independent
terms, which is nearly Gaussian. Its mean and variance have a closed form, and so have those of what
comes out of an activation, so that a network can hand on two numbers for each unit and needs no
random draw, neither in training nor after it.
"""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from . import recurrence
from .arguments import Configured
from .arguments import rate as share
from .cells import Cell, as_list
from .errors import UserError
from .recurrence import DEFAULT_LOOP, additive, derivatives

# The nodes and weights of Gauss and Hermite for averages over N(0, 1): exact up to degree 17.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
# Added to a variance under a square root, whose slope at 0 is infinite.
_LEAST = 1e-8


def dropped_moments(mean, variance, rate):
    """Mean and variance of d x for a unit x that is kept, d = 1, with probability q = 1 - p.

        E[d x] = q E[x]
        V[d x] = q V[x] + q p E[x]^2

    Args:
        mean: E[x].
        variance: V[x], or None for an x that is certain.
        rate: p.

    Returns:
        E[d x] and V[d x].

    Example:

    >>> dropped_moments(2.0, 1.0, 0.5)
    (1.0, 1.5)
    """
    keep = 1 - rate
    dropped = keep * rate * mean * mean
    return keep * mean, dropped if variance is None else keep * variance + dropped


def weighed(mean, variance, rate, kernel):
    """Mean and variance of the sum of d_i x_i w_i over the units of x, each kept or dropped.

        E = E[d x] W,   V = V[d x] W^2   (W^2 elementwise)

    Args:
        mean: E[x], (..., units).
        variance: V[x], (..., units), or None for an x that is certain.
        rate: The share of units that is dropped.
        kernel: W, (units, outputs).

    Returns:
        Two tensors of shape (..., outputs).
    """
    mean, variance = dropped_moments(mean, variance, rate)
    return ops.matmul(mean, kernel), ops.matmul(variance, ops.square(kernel))


def halves(state):
    """The mean and the variance that stand side by side, (..., H) each."""
    return ops.split(state, 2, axis=-1)


def activated_moments(activation, mean, variance):
    """Mean and variance of phi(a) for a Gaussian a.

    In closed form for the rectifier and the identity; for any other phi by the formula of Gauss and
    Hermite with nine nodes a_k = mean + deviation * node_k:

        E[phi(a)] = sum_k w_k phi(a_k)
        V[phi(a)] = sum_k w_k phi(a_k)^2 - E[phi(a)]^2

    At variance 0 they are phi(mean) and 0.

    Args:
        activation: phi, elementwise.
        mean: E[a].
        variance: V[a], not negative.

    Returns:
        E[phi(a)] and V[phi(a)], of the shape of `mean`.

    Example:

    >>> mean, variance = activated_moments(keras.activations.relu, ops.zeros(1), ops.ones(1))
    >>> round(float(mean[0]), 4), round(float(variance[0]), 4)  # 1 / sqrt(2 pi), 1/2 - 1 / (2 pi)
    (0.3989, 0.3408)
    """
    if activation is keras.activations.linear:
        return mean, variance
    deviation = ops.sqrt(variance + _LEAST)
    if activation is keras.activations.relu:
        ratio = mean / deviation
        density = ops.exp(-0.5 * ratio * ratio) / math.sqrt(2 * math.pi)
        positive = 0.5 * (1 + ops.erf(ratio / math.sqrt(2)))
        first = mean * positive + deviation * density
        second = (mean * mean + deviation * deviation) * positive + mean * deviation * density
        return first, ops.relu(second - first * first)
    # All nodes at once, along an axis of their own in front.
    nodes = ops.reshape(ops.cast(_NODES, deviation.dtype), (-1, *[1] * len(mean.shape)))
    weights = ops.cast(_WEIGHTS, deviation.dtype)
    values = activation(mean + deviation * nodes)
    first = ops.tensordot(weights, values, axes=1)
    return first, ops.tensordot(weights, ops.square(values - first), axes=1)


@dataclasses.dataclass(frozen=True)
class Moments:
    """What `recurrence.additive` calls a rule, for means and variances that stand side by side.

    Attributes:
        activation: phi.
        rate: The share of the units of h(t-1) that is dropped.
    """

    activation: object
    rate: float

    def before(self, state):
        """Of d h from those of h; a negative variance counts as 0."""
        mean, variance = halves(state)
        return ops.concatenate(dropped_moments(mean, ops.relu(variance), self.rate), axis=-1)

    def after(self, z):
        """Of phi(a) from those of a."""
        return ops.concatenate(activated_moments(self.activation, *halves(z)), axis=-1)

    def step(self, projection, state, weights):
        """Of h(t) from what x adds, and those of h(t-1)."""
        return self.after(projection + additive.products(self.before(state), weights))


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FastDropoutRNNCell(Cell):
    """One step of the recurrent network with fast dropout; see `FastDropoutRNN`.

        m(t), v(t) = mean and variance of phi(a(t)),   a(t) Gaussian;   y(t) = m(t)

    Args, the weights and their order are those of the layer without the options of its loop.

    Call arguments:
        inputs: x(t), shape (B, D).
        states: List of m(t-1) and v(t-1), (B, H) each. What is negative in v counts as 0.
        training: Without effect.

    Returns:
        y(t), shape (B, H), and the list of m(t) and v(t).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = FastDropoutRNNCell(4, dropout=0.2, recurrent_dropout=0.5)
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        dropout=0.0,
        recurrent_dropout=0.0,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        if isinstance(self.activation, keras.layers.Layer):
            raise UserError(
                "`activation` must be a function of one number for fast dropout, "
                f"got a {type(self.activation).__name__}."
            )

    @property
    def state_size(self):
        return [self.units, self.units]

    @property
    def output_size(self):
        return self.units

    def build(self, input_shape):
        def weight(name, role, shape):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=getattr(self, f"{role}_initializer"),
                regularizer=getattr(self, f"{role}_regularizer"),
                constraint=getattr(self, f"{role}_constraint"),
            )

        self.input_to_hidden = weight("input_to_hidden", "kernel", (input_shape[-1], self.units))
        self.hidden_to_hidden = weight("hidden_to_hidden", "recurrent", (self.units, self.units))
        self.bias = weight("bias", "bias", (self.units,)) if self.use_bias else None

    def call(self, inputs, states, training=False):
        state = ops.concatenate(as_list(states), axis=-1)
        state = self._moments.step(self._project(inputs), state, self._weights())
        mean, variance = halves(state)
        return mean, [mean, variance]

    def over_time(self, sequences, states, mask=None, training=False, loop=DEFAULT_LOOP):
        """The whole sequence at once; see `DeepRNNCell.over_time`."""

        weights = self._weights()
        projection, state = self._project(sequences), ops.concatenate(states, axis=-1)
        # A model for a server must not even have the operations of a gradient.
        if self.why_plain(loop) is None and not recurrence.backend().exporting():
            sequence = additive.run(self._moments, projection, state, mask, weights, loop)
        else:

            def step(projection, states):
                return [self._moments.step(projection, states[0], weights)]

            (sequence,) = recurrence.run(step, projection, [state], mask, loop.unroll)
        mean, variance = halves(sequence)
        return mean, [mean, variance]

    def recurrence(self, loop=DEFAULT_LOOP):
        """Which loop `over_time` takes; see `DeepRNNCell.recurrence`."""
        reason = self.why_plain(loop)
        return "fast" if reason is None else f"plain: {reason}"

    def _project(self, x):
        """Mean and variance of what x adds to the pre-activation, side by side."""
        mean, variance = weighed(x, None, self.dropout, self.input_to_hidden)
        mean = mean if self.bias is None else mean + self.bias
        return ops.concatenate([mean, variance], axis=-1)

    def _weights(self):
        """W and W^2, which the loop needs at every step."""
        kernel = ops.convert_to_tensor(self.hidden_to_hidden)
        return [kernel, ops.square(kernel)]

    @property
    def _moments(self):
        return Moments(self.activation, self.recurrent_dropout)

    def why_plain(self, loop=DEFAULT_LOOP):
        """Why the loop of `over_time` is differentiated as it is written; None if it is not."""
        return derivatives.why_plain(loop, self.activation)

    # Nothing is drawn, so the masks for which `keras.layers.RNN` asks are none.

    def get_dropout_mask(self, x):
        """None."""

    def get_recurrent_dropout_mask(self, h):
        """None."""

    def reset_dropout_mask(self):
        """Does nothing."""

    def reset_recurrent_dropout_mask(self):
        """Does nothing."""


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FastDropoutDense(Configured):
    """The layer to the logits after a `FastDropoutRNN`: their mean, shrunk by their spread.

        m, v = mean and variance of the sum of d_i h_i V_ik,   m_k = m_k + c_k
        logit_k = m_k / sqrt(1 + pi v_k / 8)

    The sigmoid of this logit is what the sigmoid of a Gaussian logit is on average (MacKay's
    approximation), so that a cross-entropy on it is one on the average prediction.

    Args:
        units: Number of logits.
        rate: Share of the units of h to drop.
        kernel_initializer: For V.
        bias_initializer: For c.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`.

    Call arguments:
        inputs: List of the mean and the variance of h, (..., H) each.

    Returns:
        Logits, (..., units).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> tuple(FastDropoutDense(3, rate=0.5)([np.ones((2, 5, 4)), np.zeros((2, 5, 4))]).shape)
    (2, 5, 3)
    """

    def __init__(
        self,
        units,
        rate=0.0,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.rate = share("rate", rate)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[0][-1], self.units),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer=self.bias_initializer
        )

    def call(self, inputs):
        mean, variance = weighed(*inputs, self.rate, self.kernel)
        return (mean + self.bias) / ops.sqrt(1 + math.pi / 8 * variance)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], self.units)

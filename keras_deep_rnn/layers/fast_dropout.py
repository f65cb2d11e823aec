"""Fast dropout: what dropout does on average, computed instead of drawn (arXiv:1311.0701).

Dropping each unit of x with probability p makes the pre-activation a sum of many independent
terms, which is nearly Gaussian. Its mean and variance have a closed form, and so have those of what
comes out of an activation, so that a network can hand on two numbers for each unit and needs no
random draw, neither in training nor after it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from ..utils.errors import UserError
from ..utils.validation import CHECKS, positive_integer
from .cells import DeepRNNCell
from .operators import Affine, Operator
from .options import (
    CellOptions,
    Configured,
    Described,
    KerasOptions,
    OperatorOptions,
    keep_untracked,
    weights_of,
)

# The nodes and weights of Gauss and Hermite for averages over N(0, 1): exact up to degree 17.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
# Added to a variance under a square root, whose slope at 0 is infinite.
_LEAST = 1e-8


def dropped_moments(mean: Any, variance: Any, rate: float) -> tuple[Any, Any]:
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


def affine_moments(mean: Any, variance: Any, rate: float, kernel: Any) -> tuple[Any, Any]:
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


def activated_moments(activation: Callable, mean: Any, variance: Any) -> tuple[Any, Any]:
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
    dtype = keras.backend.standardize_dtype(variance.dtype)
    if dtype == "float16":  # in which small deviations and their inverse are out of range
        moments = (ops.cast(x, "float32") for x in (mean, variance))
        return tuple(ops.cast(x, dtype) for x in activated_moments(activation, *moments))
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


class FastDropoutPlus(Operator):
    """⊕ of fast dropout: the states are mean and variance of h; see `FastDropoutRNN`.

    E[a] = q_h m W + q_x x U + b,    V[a] = V[d h] W^2 + V[d x] U^2
    m, v = mean and variance of phi(a)
    """

    def __init__(
        self,
        units: int,
        dropout: float,
        recurrent_dropout: float,
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, **options)
        self.dropout = CHECKS["dropout"]("dropout", dropout)
        self.recurrent_dropout = CHECKS["recurrent_dropout"]("recurrent_dropout", recurrent_dropout)
        if isinstance(self.activation, keras.layers.Layer):
            raise UserError(
                "`activation` must be a function of one number for fast dropout, "
                f"got a {type(self.activation).__name__}."
            )

    @property
    def state_size(self) -> list[int]:
        return [self.units, self.units]

    def affine_maps(self) -> list[Affine]:
        # The kernels of the second are the squares of those of the first.
        return [Affine(self.units, (self.units,), x=True, dropped=())]

    def step(self, affine: Callable, s: list, /) -> list:
        mean, variance = s
        mean, variance = dropped_moments(mean, ops.relu(variance), self.recurrent_dropout)
        return list(activated_moments(self.activation, affine(0, mean), affine(1, variance)))

    def build(self, input_shape: Sequence) -> None:
        super().build(input_shape)
        keep_untracked(self, "maps", self.maps * 2)
        keep_untracked(self, "_biases", [*self._biases, []])

    def project(self, x: Any, kept: Any = None) -> list:
        mean, variance = affine_moments(x, None, self.dropout, *self._of_input)
        return [mean + self._biases[0][0] if self.use_bias else mean, variance]

    def loop_kernels(self) -> list[list]:
        ((kernel,),) = super().loop_kernels()
        return [[kernel], [ops.square(kernel)]]

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()):  # before version 0.2 the weights were the cell's own
            super().load_own_variables(store)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FastDropoutRNNCell(DeepRNNCell):
    """One step of the recurrent network with fast dropout; see `FastDropoutRNN`.

        m(t), v(t) = mean and variance of phi(a(t)),   a(t) Gaussian;   y(t) = m(t)

    Arguments and weight order: see `FastDropoutRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`. What is negative in the
    state v counts as 0.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> cell = FastDropoutRNNCell(4, dropout=0.2, recurrent_dropout=0.5)
    >>> tuple(keras.layers.RNN(cell)(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        **options: Unpack[CellOptions],
    ) -> None:
        rates = options.get("dropout", 0.0), options.get("recurrent_dropout", 0.0)
        super().__init__(FastDropoutPlus(units, *rates, **weights_of(**options)), **options)

    # Nothing is drawn, so the masks for which `keras.layers.RNN` asks are none.

    def get_dropout_mask(self, x: Any) -> None:
        """None."""

    def get_recurrent_dropout_mask(self, h: Any) -> None:
        """None."""

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()):
            self.plus.load_own_variables(store)


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
        use_bias: Whether there is c.
        kernel_initializer, kernel_regularizer, kernel_constraint: For V.
        bias_initializer, bias_regularizer, bias_constraint: For c.
        **options: Arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

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
        units: int,
        rate: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: Described = "glorot_uniform",
        bias_initializer: Described = "zeros",
        kernel_regularizer: Described = None,
        bias_regularizer: Described = None,
        kernel_constraint: Described = None,
        bias_constraint: Described = None,
        **options: Unpack[KerasOptions],
    ) -> None:
        super().__init__(**options)
        self.units = positive_integer("units", units)
        self.rate = CHECKS["dropout"]("rate", rate)
        self.use_bias = CHECKS["use_bias"]("use_bias", use_bias)
        self.kernel_initializer = CHECKS["kernel_initializer"](
            "kernel_initializer", kernel_initializer
        )
        self.bias_initializer = CHECKS["bias_initializer"]("bias_initializer", bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape: Sequence) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[0][-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Sequence) -> Any:
        mean, variance = inputs
        mean, variance = affine_moments(mean, variance, self.rate, self.kernel)
        mean = mean if self.bias is None else mean + self.bias
        return mean / ops.sqrt(1 + math.pi / 8 * variance)

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape[0][:-1], self.units)

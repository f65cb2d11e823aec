"""The joint output of binary vectors, such as the keys of a frame of music."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ..recurrence import backend
from ..utils.errors import ArgumentError, Words
from ..utils.validation import CHECKS, positive_integer
from .initializers import numbered
from .options import Configured, Described, KerasOptions


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class NADE(Configured):
    """An output ▷ of binary vectors: the units are predicted one after another, each from the last.

        d = y R + c,   e = y Q + b
        a_i = d + sum_{j < i} v_j W_j
        p(v_i = 1 | v_1, ..., v_{i-1}, y) = sigmoid(e_i + sigmoid(a_i) . V_i)

    The product of these is the exact probability of v, where a `Dense` layer with a sigmoid takes
    the units for independent. The joint cross-entropy is the sum of the binary cross-entropies of
    the logits, as for independent units.

    a_i changes only after a unit that is 1: a vector with k ones has k + 1 of them, so all logits
    take as many passes as the vector with the most ones has, of O(D N) for each vector.

    Args:
        units: Positive int, D: number of binary units, in the order in which they are predicted.
        hidden_units: Positive int, N: width of a_i.
        kernel_initializer: Initializer of Q and R.
        bias_initializer: Initializer of b; c begins with zeros.
        unit_initializer: Initializer of W and V; None for a normal distribution with a standard
            deviation of 0.05.
        **options: Arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: The list `[y, v]`: y of shape (..., F), v of shape (..., D), the vectors of 0 and 1
            whose probability is asked for.

    Returns:
        Logits of the conditional probabilities, (..., D), in float32 or wider.

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> layer = NADE(3, hidden_units=8)
    >>> y, v = np.ones((2, 5, 4)), np.zeros((2, 5, 3))
    >>> tuple(layer([y, v]).shape)
    (2, 5, 3)
    >>> parameters = layer.parameters(y)
    >>> tuple(layer.log_prob(parameters, v).shape)
    (2, 5)
    >>> tuple(layer.sample(parameters[:, 0], noise=np.zeros((2, 3))).shape)
    (2, 3)

    Source: Larochelle and Murray, "The neural autoregressive distribution estimator" (2011); as the
    output of a recurrent network, Boulanger-Lewandowski et al., arXiv:1206.6392, section 4.
    """

    def __init__(
        self,
        units: int,
        hidden_units: int = 128,
        kernel_initializer: Described = "glorot_uniform",
        bias_initializer: Described = "zeros",
        unit_initializer: Described = None,
        **options: Unpack[KerasOptions],
    ) -> None:
        super().__init__(**options)
        self.units = positive_integer("units", units)
        self.hidden_units = positive_integer("hidden_units", hidden_units)
        for name, value in (
            ("kernel_initializer", kernel_initializer),
            ("bias_initializer", bias_initializer),
        ):
            setattr(self, name, CHECKS[name](name, value))
        normal = keras.initializers.RandomNormal(stddev=0.05)
        self.unit_initializer = CHECKS["kernel_initializer"](
            "unit_initializer", normal if unit_initializer is None else unit_initializer
        )
        self.supports_masking = True

    def build(self, input_shape: Sequence) -> None:
        if not isinstance(input_shape[0], (list, tuple)):
            raise ArgumentError("inputs", "the list [y, v]", Words("one tensor"))
        features, units = (shape[-1] for shape in input_shape)
        if units != self.units:
            raise ArgumentError("inputs[1]", f"{self.units} units", Words(units), verb="have")

        def weight(
            name: str, shape: tuple, initializer: Any, number: int = 0, **options: Any
        ) -> keras.Variable:
            initializer = numbered(initializer, number)
            return self.add_weight(name=name, shape=shape, initializer=initializer, **options)

        D, N, initializer = self.units, self.hidden_units, self.kernel_initializer
        self.kernel = weight("kernel", (features, D), initializer)  # Q
        self.bias = weight("bias", (D,), self.bias_initializer)
        self.hidden_kernel = weight("hidden_kernel", (features, N), initializer, 1)  # R
        self.hidden_bias = weight("hidden_bias", (N,), "zeros")
        initializer, exact = self.unit_initializer, {"autocast": False}
        self.unit_to_hidden = weight("unit_to_hidden", (D, N), initializer, **exact)  # W
        self.hidden_to_unit = weight("hidden_to_unit", (D, N), initializer, 1, **exact)  # V

    def call(self, inputs: Sequence) -> Any:
        y, v = inputs
        return self.conditional_logits(self.parameters(y), v)

    def parameters(self, y: Any) -> Any:
        """The parameters of the distribution of v: e and d side by side.

        Args:
            y: Features (..., F).

        Returns:
            (..., D + N), in float32 or wider: products of many small numbers want it.
        """
        y = ops.convert_to_tensor(y, dtype=self.compute_dtype)
        kernels = [(self.kernel, self.bias), (self.hidden_kernel, self.hidden_bias)]
        both = [
            ops.matmul(y, ops.cast(kernel, y.dtype)) + ops.cast(bias, y.dtype)
            for kernel, bias in kernels
        ]
        return ops.cast(ops.concatenate(both, axis=-1), self._wide)

    def conditional_logits(self, parameters: Any, v: Any) -> Any:
        """The logit of each unit given those before it.

        Args:
            parameters: Of `parameters`, (..., D + N).
            v: Vectors of 0 and 1, (..., D), to which no gradient flows.

        Returns:
            (..., D).
        """
        e, d, kernels = self._conditions(ops.reshape(parameters, (-1, self._width)))
        v = ops.cast(v, self._wide)
        function = backend().with_gradient(_logits, _logits_and_residuals, _gradients, _plain)
        (logits,) = function(e, d, ops.reshape(v, (-1, self.units)), *kernels)
        return ops.reshape(logits, ops.shape(v))

    def log_prob(self, parameters: Any, v: Any) -> Any:
        """Log-probability of vectors, in nats.

        Args:
            parameters: Of `parameters`, (..., D + N).
            v: Vectors of 0 and 1, (..., D).

        Returns:
            (...).
        """
        logits = self.conditional_logits(parameters, v)
        return ops.sum(ops.cast(v, logits.dtype) * logits - ops.softplus(logits), axis=-1)

    def sample(self, parameters: Any, noise: Any, temperature: Any = 1.0) -> Any:
        """Samples vectors, unit by unit.

        Args:
            parameters: Of `parameters`, (B, D + N).
            noise: Draws from the logistic distribution, (B, D); zeros take the likeliest.
            temperature: Divisor of the logits, a number or (B,).

        Returns:
            Zeros and ones, (B, D).
        """
        e, d, kernels = self._conditions(ops.convert_to_tensor(parameters))
        noise = ops.cast(noise, e.dtype) * ops.reshape(ops.cast(temperature, e.dtype), (-1, 1))

        def one_unit(carry: list, unit: list, constants: list) -> tuple[list, list]:
            (a,), (w, u, e, noise) = carry, unit
            logit = e + ops.sum(ops.sigmoid(a) * u, axis=-1)
            v = ops.cast(logit + noise > 0, a.dtype)
            return [a + ops.expand_dims(v, -1) * w], [v]

        by_unit = [*kernels, ops.transpose(e), ops.transpose(noise)]
        (_, (v,)) = backend().looped(one_unit, [(d.shape[0],)])([d], by_unit, [])
        return ops.transpose(v)

    @property
    def _wide(self) -> str:
        """The dtype of `parameters` and of all that follows from them."""
        return keras.backend.result_type(self.compute_dtype, "float32")

    @property
    def _width(self) -> int:
        """The width of `parameters`."""
        return self.units + self.hidden_units

    def _conditions(self, parameters: Any) -> tuple[Any, Any, list]:
        """e (B, D), d (B, N) and [W, V]."""
        parameters = ops.cast(parameters, self._wide)
        e, d = parameters[:, : self.units], parameters[:, self.units :]
        return e, d, [ops.cast(w, self._wide) for w in (self.unit_to_hidden, self.hidden_to_unit)]

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape[0][:-1], self.units)

    def compute_output_spec(self, inputs: Sequence) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape([inputs[0].shape]), self._wide)

    def compute_mask(self, inputs: Sequence, mask: Any = None) -> Any:
        return mask[0] if isinstance(mask, (list, tuple)) else mask


# Units between the same ones of v share their a_i. The functions below go over the number k of ones
# before a unit, for all vectors at once.


def _passes(function: Callable, v: Any, totals: list) -> list:
    """Adds `function(before, here)` to the totals for each k.

    `before` (n, D) is v_j where fewer than k ones are before j, so that it sums to the a_i of the
    units that k ones are before; `here` (n, D) is 1 for those.
    """
    one = ops.cast(ops.not_equal(v, 0), v.dtype)
    ones = ops.cumsum(one, axis=-1) - one

    def one_pass(k: Any, *totals: Any) -> tuple:
        before = v * ops.cast(ones < k, v.dtype)
        here = ops.cast(ops.equal(ones, k), v.dtype)
        return k + 1, *(sum(pair) for pair in zip(totals, function(before, here)))

    most = ops.max(ones)
    start = (ops.zeros((), v.dtype), *totals)
    return list(ops.while_loop(lambda k, *totals: k <= most, one_pass, start)[1:])


def _logits(e: Any, d: Any, v: Any, w: Any, u: Any) -> list:
    def one_pass(before: Any, here: Any) -> list:
        hidden = ops.sigmoid(d + ops.matmul(before, w))
        return [here * ops.matmul(hidden, ops.transpose(u))]

    return _passes(one_pass, v, [e])


def _plain(e: Any, d: Any, v: Any, w: Any, u: Any) -> list:
    """`_logits` with all a_i at once, which every backend differentiates."""
    units = v.shape[-1]
    before = ops.expand_dims(v, 1) * ops.tril(ops.ones((units, units), v.dtype), -1)
    hidden = ops.sigmoid(ops.expand_dims(d, 1) + ops.matmul(before, w))
    return [e + ops.sum(hidden * u, axis=-1)]


def _logits_and_residuals(*arguments: Any) -> tuple[list, list]:
    """The logits; what the backward pass needs it computes again."""
    return _logits(*arguments), []


def _gradients(found: list, residuals: list, arguments: list) -> list:
    """The gradients of e, d, v (0, as v is data), W and V."""
    (gradient,), (_, d, v, w, u) = found, arguments

    def one_pass(before: Any, here: Any) -> list:
        hidden = ops.sigmoid(d + ops.matmul(before, w))
        of_logits = gradient * here
        of_a = ops.matmul(of_logits, u) * hidden * (1 - hidden)
        of_w = ops.matmul(ops.transpose(before), of_a)
        return [of_a, of_w, ops.matmul(ops.transpose(of_logits), hidden)]

    totals = [ops.zeros_like(x) for x in (d, w, u)]
    of_d, of_w, of_u = _passes(one_pass, v, totals)
    return [gradient, of_d, ops.zeros_like(v), of_w, of_u]

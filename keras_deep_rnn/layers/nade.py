"""The joint output of binary vectors, such as the keys of a frame of music."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ..recurrence import backend
from ..utils.validation import CHECKS, positive_integer
from .options import Configured, Described, KerasOptions

# Frames whose hidden units are in memory at a time, `units` times `hidden_units` of each.
CHUNK = 128


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class NADE(Configured):
    """An output ▷ of binary vectors: the units are predicted one after another, each from the last.

        d = y R + c,   e = y Q + b
        a_i = d + sum_{j < i} v_j W_j
        p(v_i = 1 | v_1, ..., v_{i-1}, y) = sigmoid(e_i + sigmoid(a_i) . V_i)

    The product of these is the exact probability of v, where a `Dense` layer with a sigmoid takes
    the units for independent. The logits of all units are computed at once; the frames in chunks of
    `CHUNK`, so that memory does not grow with their number. The joint cross-entropy is the sum of
    the binary cross-entropies of the logits, as for independent units.

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
    >>> tuple(layer([y, v]).shape), tuple(layer.sample(y[:, 0], noise=np.zeros((2, 3))).shape)
    ((2, 5, 3), (2, 3))

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

    def build(self, input_shape: Sequence) -> None:
        features = input_shape[0][-1]

        def weight(name: str, shape: tuple, initializer: Any) -> keras.Variable:
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        D, N, initializer = self.units, self.hidden_units, self.kernel_initializer
        self.kernel = weight("kernel", (features, D), initializer)  # Q
        self.bias = weight("bias", (D,), self.bias_initializer)
        self.hidden_kernel = weight("hidden_kernel", (features, N), initializer)  # R
        self.hidden_bias = weight("hidden_bias", (N,), "zeros")
        self.unit_to_hidden = weight("unit_to_hidden", (D, N), self.unit_initializer)  # W
        self.hidden_to_unit = weight("hidden_to_unit", (D, N), self.unit_initializer)  # V

    def call(self, inputs: Sequence) -> Any:
        y, v = inputs
        e, d, kernels = self._conditions(y)
        D, N = self.units, self.hidden_units
        v = ops.reshape(ops.cast(v, e.dtype), (-1, D))
        function = backend().with_gradient(_logits, _logits_and_residuals, _gradients, _plain)
        (logits,) = function(ops.reshape(e, (-1, D)), ops.reshape(d, (-1, N)), v, *kernels)
        return ops.reshape(logits, ops.shape(e))

    def sample(self, y: Any, noise: Any, temperature: Any = 1.0) -> Any:
        """Samples vectors, unit by unit.

        Args:
            y: Shape (B, F).
            noise: Draws from the logistic distribution, (B, D); zeros take the likeliest.
            temperature: Divisor of the logits, a number or (B,).

        Returns:
            Zeros and ones, (B, D).
        """
        e, d, kernels = self._conditions(ops.convert_to_tensor(y, self.compute_dtype))
        noise = ops.cast(noise, e.dtype) * ops.reshape(ops.cast(temperature, e.dtype), (-1, 1))

        def one_unit(carry: list, unit: list, constants: list) -> tuple[list, list]:
            (a,), (w, u, e, noise) = carry, unit
            logit = e + ops.sum(ops.sigmoid(a) * u, axis=-1)
            v = ops.cast(logit + noise > 0, a.dtype)
            return [a + ops.expand_dims(v, -1) * w], [v]

        by_unit = [*kernels, ops.transpose(e), ops.transpose(noise)]
        (_, (v,)) = backend().looped(one_unit, [(d.shape[0],)])([d], by_unit, [])
        return ops.transpose(v)

    def _conditions(self, y: Any) -> tuple[Any, Any, list]:
        """e and d for y, and [W, V]; products of many small numbers want float32."""
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        e = ops.cast(ops.matmul(y, self.kernel) + self.bias, wide)
        d = ops.cast(ops.matmul(y, self.hidden_kernel) + self.hidden_bias, wide)
        return e, d, [ops.cast(w, wide) for w in (self.unit_to_hidden, self.hidden_to_unit)]

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape[0][:-1], self.units)

    def compute_output_spec(self, inputs: Sequence) -> keras.KerasTensor:
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return keras.KerasTensor(self.compute_output_shape([inputs[0].shape]), dtype)


def _before(v: Any) -> Any:
    """v_j where j < i, else 0: (n, i, j).

    The sum over j < i is a product with it, which takes less time than a cumulative sum.
    """
    units = v.shape[-1]
    return ops.expand_dims(v, 1) * ops.tril(ops.ones((units, units), v.dtype), -1)


def _hidden(d: Any, v: Any, w: Any) -> Any:
    """sigmoid(a_i) of all units, (n, D, N)."""
    return ops.sigmoid(ops.expand_dims(d, 1) + ops.matmul(_before(v), w))


def _plain(e: Any, d: Any, v: Any, w: Any, u: Any) -> list:
    """The logits of all frames at once, [(n, D)]."""
    return [e + ops.sum(_hidden(d, v, w) * u, axis=-1)]


def _by_chunks(arrays: Sequence) -> list:
    """The arrays (n, width) as chunks (n / CHUNK, CHUNK, width), the last one with zeros."""
    rows = ops.shape(arrays[0])[0]
    chunks = (rows + CHUNK - 1) // CHUNK
    padded = [ops.pad(x, ((0, chunks * CHUNK - rows), (0, 0))) for x in arrays]
    return [ops.reshape(x, (chunks, CHUNK, x.shape[-1])) for x in padded]


def _logits(e: Any, d: Any, v: Any, w: Any, u: Any) -> list:
    """`_plain`, chunk by chunk."""

    def one_chunk(carry: list, chunk: list, constants: list) -> tuple[list, list]:
        return carry, _plain(*chunk, *constants)

    loop = backend().looped(one_chunk, [(CHUNK, e.shape[-1])])
    (_, (logits,)) = loop([ops.zeros((1,), e.dtype)], _by_chunks([e, d, v]), [w, u])
    return [ops.reshape(logits, (-1, e.shape[-1]))[: ops.shape(e)[0]]]


def _logits_and_residuals(*arguments: Any) -> tuple[list, list]:
    """The logits; what the backward pass needs it computes again."""
    return _logits(*arguments), []


def _gradients(found: list, residuals: list, arguments: list) -> list:
    """The gradients of e, d, v (0, as v is data), W and V, chunk by chunk."""
    (gradient,), (_, d, v, w, u) = found, arguments

    def one_chunk(totals: list, chunk: list, constants: list) -> tuple[list, list]:
        (gradient, d, v), (w, u) = chunk, constants
        hidden = _hidden(d, v, w)
        of_hidden = ops.expand_dims(gradient, -1) * u
        of_a = of_hidden * hidden * (1 - hidden)
        rows = ops.reshape(of_a, (-1, of_a.shape[-1]))
        before = ops.reshape(_before(v), (-1, v.shape[-1]))
        of_w = ops.matmul(ops.transpose(before), rows)
        of_u = ops.sum(ops.expand_dims(gradient, -1) * hidden, axis=0)
        return [totals[0] + of_w, totals[1] + of_u], [ops.sum(of_a, axis=1)]

    loop = backend().looped(one_chunk, [(CHUNK, d.shape[-1])])
    totals, chunks = [ops.zeros_like(w), ops.zeros_like(u)], _by_chunks([gradient, d, v])
    (of_w, of_u), (of_d,) = loop(totals, chunks, [w, u])
    of_d = ops.reshape(of_d, (-1, d.shape[-1]))[: ops.shape(d)[0]]
    return [gradient, of_d, ops.zeros_like(v), of_w, of_u]

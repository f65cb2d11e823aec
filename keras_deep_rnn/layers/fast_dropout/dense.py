"""The layer to the logits after a recurrent network with fast dropout."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...utils.validation import CHECKS, positive_integer
from ..options import Configured, Described, KerasOptions
from .moments import affine_moments


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FastDropoutDense(Configured):
    """The layer to the logits after a `FastDropoutRNN`: their mean, scaled down by their variance.

        m, v = mean and variance of the sum of d_i h_i V_ik,   m_k = m_k + c_k
        logit_k = m_k / sqrt(1 + pi v_k / 8)

    The sigmoid of this logit is the expected sigmoid of a Gaussian logit (MacKay's approximation),
    so that a cross-entropy on it is one on the expected prediction.

    Args:
        units: Number of logits.
        rate: Dropout rate of h.
        use_bias: Whether there is a bias c.
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
        self.kernel_regularizer = CHECKS["kernel_regularizer"](
            "kernel_regularizer", kernel_regularizer
        )
        self.bias_regularizer = CHECKS["bias_regularizer"]("bias_regularizer", bias_regularizer)
        self.kernel_constraint = CHECKS["kernel_constraint"]("kernel_constraint", kernel_constraint)
        self.bias_constraint = CHECKS["bias_constraint"]("bias_constraint", bias_constraint)

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

"""The operator ▷ of the paper: a deep output."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...recurrence import Affine
from ...recurrence.affine import affine_of
from ...utils.validation import CHECKS, layer_sizes
from ..options import Described, KerasOptions, set_untracked
from .operator import Operator


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Predict(Operator):
    """The operator ▷: y(t) = ▷ h(t), the deep output (section 3.3.2, figure 2 c).

        a_0 = h(t)
        a_l = phi(a_{l-1} V_l + b_l)
        y(t) = a_L

    The layer to the logits is the user's own `keras.layers.Dense`. Weight order: layer by layer the
    `hidden_to_output` kernel (V) and the bias; at the end the weights of activations.

    Args:
        output_units: Widths of the layers, for example `(400,)`.
        output_activation: phi: a name, a function, or a layer such as `Maxout`.
        use_bias: Whether each layer has a bias.
        kernel_initializer: Initializer of every V_l.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of every V_l.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on every V_l.
        bias_constraint: Constraint on the biases.

    Call arguments:
        h: Shape (B, H) or (B, T, H).

    Returns:
        y, of h's shape up to the last axis, which is the last of `output_units`.

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> tuple(Predict((8, 5))(np.zeros((2, 4))).shape)
    (2, 5)
    """

    arrows = ("hidden_to_output",)
    role = "kernel"

    def __init__(
        self,
        output_units: Sequence[int],
        output_activation: Described = "tanh",
        use_bias: bool = True,
        kernel_initializer: Described = "glorot_uniform",
        bias_initializer: Described = "zeros",
        kernel_regularizer: Described = None,
        bias_regularizer: Described = None,
        kernel_constraint: Described = None,
        bias_constraint: Described = None,
        **options: Unpack[KerasOptions],
    ) -> None:
        output_units = layer_sizes("output_units", output_units)
        phi = CHECKS["output_activation"]("output_activation", output_activation)
        super().__init__(
            output_units[-1],
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **options,
        )
        self.output_units = output_units
        set_untracked(self, "output_activation", phi or keras.activations.linear)

    def affine_maps(self) -> list[Affine]:
        return [
            Affine(units, (width,), activation=self.output_activation)
            for width, units in zip((self._features, *self.output_units), self.output_units)
        ]

    def step(self, affine: Callable, h: Any) -> Any:
        for layer in range(len(self.output_units)):
            h = affine(layer, h)
        return h

    def build(self, input_shape: Sequence) -> None:
        self._features = input_shape[-1]
        self._build_maps(None)

    def call(self, h: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] -- no x
        y = ops.reshape(h, (-1, h.shape[-1]))
        y = self.step(affine_of(self.maps, [], self._kernels, self._biases), y)
        return ops.reshape(y, (*ops.shape(h)[:-1], y.shape[-1]))

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape[:-1], self.output_units[-1])

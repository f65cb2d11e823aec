"""Recurrent highway networks."""

from collections.abc import Callable
from typing import Any, Unpack

import keras

from ...recurrence import Affine
from ...utils.validation import CHECKS, flag, number
from ..cells import DeepRNNCell
from ..options import (
    CellOptions,
    Described,
    LayerOptions,
    OperatorOptions,
    cell_options,
    weights_of,
)
from ..rnn import DeepRNN
from .base import GatedPlus, interpolate


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class HighwayPlus(GatedPlus):
    """⊕ of a recurrent highway network; see `RecurrentHighway` for equation and arguments."""

    def __init__(
        self,
        units: int,
        depth: int = 1,
        coupled_gates: bool = True,
        input_to: str = "first",
        gate_bias: float = -2.0,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, depth, recurrent_activation, **options)
        self.coupled_gates = flag("coupled_gates", coupled_gates)
        self.input_to = CHECKS["input_to"]("input_to", input_to)
        self.gate_bias = number("gate_bias", gate_bias)

    def affine_maps(self) -> list[Affine]:
        n, every = 2 if self.coupled_gates else 3, self.input_to == "all"
        return [
            Affine(n * self.units, (self.units,), x or every, pieces=n) for x in self.receives_input
        ]

    def step(self, affine: Callable, h: Any) -> Any:
        for layer in range(self.depth):
            c, *gates = affine(layer, h)
            t, *carry = (self.recurrent_activation(gate) for gate in gates)
            c = self.activation(c)
            h = t * c + carry[0] * h if carry else interpolate(h, c, t)
        return h

    def initial_bias(self, i: int) -> Any:
        transform = keras.initializers.Constant(self.gate_bias)
        carry = [] if self.coupled_gates else [keras.initializers.Constant(-self.gate_bias)]
        return self.bias_by_gate(self.bias_initializer, transform, *carry)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class RecurrentHighwayCell(DeepRNNCell):
    """One step of a recurrent highway network; see `RecurrentHighway`.

    Arguments and weight order: see `RecurrentHighway` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        coupled_gates: bool = True,
        input_to: str = "first",
        gate_bias: float = -2.0,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[CellOptions],
    ) -> None:
        own = depth, coupled_gates, input_to, gate_bias, recurrent_activation
        super().__init__(HighwayPlus(units, *own, **weights_of(**options)), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class RecurrentHighway(DeepRNN):
    """A recurrent highway network: a deep transition of gated layers (Zilly et al.).

        s_0 = h(t-1)
        c_l, t_l, k_l = phi(z_l^c), sigma(z_l^t), sigma(z_l^k)
        z_l = s_{l-1} R_l + [l = 1 or input_to = "all"] x(t) W_l + b_l
        s_l = t_l * c_l + k_l * s_{l-1},     h(t) = s_L

    With coupled gates k_l = 1 - t_l.

    Args:
        units: Positive int, H: the width of h.
        depth: L, the number of highway layers in the transition.
        coupled_gates: Whether the carry gate k is 1 - t.
        input_to: `"first"` or `"all"`: the layers that x(t) feeds.
        gate_bias: Initial bias of the transform gate t; that of the carry gate is its negative.
        recurrent_activation: sigma, the activation of the gates.
        **options: `activation` is phi. Other weight options: see `Plus`; dropout and sequence
            options: see `DeepRNN`. Recurrent dropout drops the same units of s_{l-1} in every
            layer.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> tuple(RecurrentHighway(4, depth=3, return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        Weight order: layer by layer W_l where x feeds it, R_l, b_l, each with the columns of
        c, t (and k) side by side.

    Source: "Recurrent Highway Networks", arXiv:1607.03474, equations 6 to 9.
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        coupled_gates: bool = True,
        input_to: str = "first",
        gate_bias: float = -2.0,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[LayerOptions],
    ) -> None:
        own = depth, coupled_gates, input_to, gate_bias, recurrent_activation
        super().__init__(RecurrentHighwayCell(units, *own, **cell_options(**options)), **options)

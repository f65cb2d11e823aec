"""Deep-transition LSTM."""

from collections.abc import Callable
from typing import Any, Unpack

import keras

from ...recurrence import Affine
from ...utils.validation import flag
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
from .base import GatedPlus


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class LSTMPlus(GatedPlus):
    """⊕ of a deep-transition LSTM; see `DeepTransitionLSTM` for equation and arguments."""

    def __init__(
        self,
        units: int,
        depth: int = 1,
        unit_forget_bias: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, depth, recurrent_activation, **options)
        self.unit_forget_bias = flag("unit_forget_bias", unit_forget_bias)

    @property
    def state_size(self) -> list[int]:
        return [self.units, self.units]

    def affine_maps(self) -> list[Affine]:
        return [Affine(4 * self.units, (self.units,), x=x, pieces=4) for x in self.receives_input]

    def step(self, affine: Callable, s: list, /) -> list:
        h, c = s
        sigma, phi = self.recurrent_activation, self.activation
        for layer in range(self.depth):
            i, f, g, o = affine(layer, h)
            c = sigma(f) * c + sigma(i) * phi(g)
            h = sigma(o) * phi(c)
        return [h, c]

    def initial_bias(self, i: int) -> Any:
        b = self.bias_initializer
        return self.bias_by_gate(b, "ones", b, b) if self.unit_forget_bias else b


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionLSTMCell(DeepRNNCell):
    """One step of a deep-transition LSTM; see `DeepTransitionLSTM`.

    Arguments and weight order: see `DeepTransitionLSTM` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        unit_forget_bias: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[CellOptions],
    ) -> None:
        own = depth, unit_forget_bias, recurrent_activation
        super().__init__(LSTMPlus(units, *own, **weights_of(**options)), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionLSTM(DeepRNN):
    """A deep-transition LSTM: an LSTM step with x(t), then further ones without.

        h_0, c_0 = h(t-1), c(t-1)
        i, f, g, o = x W + h_{l-1} R_l + b_l
        c_l = sigma(f) * c_{l-1} + sigma(i) * phi(g)
        h_l = sigma(o) * phi(c_l),     h(t), c(t) = h_L, c_L

    x(t) feeds the first step alone. The states are h and c.

    With depth 1 it is `keras.layers.LSTM`.

    Args:
        units: Positive int, H: the width of h and of c.
        depth: L, the number of gated steps in the transition.
        unit_forget_bias: Whether the bias of the forget gate f starts at 1.
        recurrent_activation: sigma, the activation of the gates.
        **options: `activation` is phi. Other weight options: see `Plus`; dropout and sequence
            options: see `DeepRNN`. Recurrent dropout drops the same units of h in every
            step of the transition.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> tuple(DeepTransitionLSTM(4, depth=3, return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        Weight order: step by step: W for the first, R_l, b_l, with the columns of i, f, g, o
        side by side, as in Keras.

    Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997); the transition as in Miceli
        Barone et al., arXiv:1707.07631, equation 8, with LSTM steps.
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        unit_forget_bias: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[LayerOptions],
    ) -> None:
        own = depth, unit_forget_bias, recurrent_activation
        super().__init__(DeepTransitionLSTMCell(units, *own, **cell_options(**options)), **options)

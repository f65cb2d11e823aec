"""Deep-transition GRU."""

from collections.abc import Callable
from typing import Any, Unpack

import keras

from ...recurrence import Affine
from ...utils.validation import CHECKS
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
class GRUPlus(GatedPlus):
    """⊕ of a deep-transition GRU; see `DeepTransitionGRU` for equation and arguments."""

    def __init__(
        self,
        units: int,
        depth: int = 1,
        reset_after: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, depth, recurrent_activation, **options)
        self.reset_after = CHECKS["reset_after"]("reset_after", reset_after)

    def affine_maps(self) -> list[Affine]:
        H = self.units
        if self.reset_after:
            return [Affine(3 * H, x=True, pieces=3), *[Affine(3 * H, (H,), pieces=3)] * self.depth]
        return [Affine(n * H, (H,), x=x, pieces=n) for x in self.receives_input for n in (2, 1)]

    def step(self, affine: Callable, h: Any) -> Any:
        sigma, phi = self.recurrent_activation, self.activation
        if self.reset_after:
            inputs = [affine(0), *[(0.0, 0.0, 0.0)] * (self.depth - 1)]
            for layer, (x_z, x_r, x_c) in enumerate(inputs, start=1):
                z, r, c = affine(layer, h)
                h = interpolate(phi(x_c + sigma(x_r + r) * c), h, sigma(x_z + z))
            return h
        for layer in range(self.depth):
            z, r = (sigma(gate) for gate in affine(2 * layer, h))
            h = interpolate(phi(affine(2 * layer + 1, r * h)), h, z)
        return h


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionGRUCell(DeepRNNCell):
    """One step of a deep-transition GRU; see `DeepTransitionGRU`.

    Arguments and weight order: see `DeepTransitionGRU` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        reset_after: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[CellOptions],
    ) -> None:
        own = depth, reset_after, recurrent_activation
        super().__init__(GRUPlus(units, *own, **weights_of(**options)), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionGRU(DeepRNN):
    """A deep-transition GRU: a GRU step with x(t), then further ones without (Barone et al.).

        h_0 = h(t-1)
        z, r = sigma(x W_zr + h_{l-1} R_zr + b_zr)
        c = phi(x W_c + r * (h_{l-1} R_c + b_c))               (reset_after=True)
        c = phi(x W_c + (r * h_{l-1}) R_c + b_c)               (reset_after=False)
        h_l = z * h_{l-1} + (1 - z) * c,     h(t) = h_L

    x(t) feeds the first step alone.

    With depth 1 it is `keras.layers.GRU`.

    Args:
        units: Positive int, H: the width of h.
        depth: L, the number of gated steps in the transition.
        reset_after: Whether the reset gate is applied after the product with R_c, as cuDNN does.
        recurrent_activation: sigma, the activation of the gates.
        **options: `activation` is phi. Other weight options: see `Plus`; dropout and sequence
            options: see `DeepRNN`. Recurrent dropout drops the same units of h in every
            step of the transition.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> tuple(DeepTransitionGRU(4, depth=3, return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        Weight order: step by step, the columns of z, r, c side by side as in Keras: W and its
        bias, R and its bias with `reset_after`, else W_zr, R_zr, b_zr, W_c, R_c, b_c.

    Source: Miceli Barone et al., "Deep architectures for neural machine translation",
        arXiv:1707.07631, equation 8.
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        reset_after: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[LayerOptions],
    ) -> None:
        own = depth, reset_after, recurrent_activation
        super().__init__(DeepTransitionGRUCell(units, *own, **cell_options(**options)), **options)

"""Gated transitions: recurrent highway networks, deep-transition GRU and LSTM.

Shapes: B batch, T time steps, D input features, H units of h.
"""

from collections.abc import Callable
from typing import Any, Unpack

import keras
from keras import ops

from ..utils.errors import UserError
from ..utils.validation import CHECKS, number
from .cells import DeepRNNCell
from .operators import Affine, Operator
from .options import (
    CellOptions,
    Described,
    LayerOptions,
    OperatorOptions,
    keep_untracked,
    weights_of,
)
from .rnn import DeepRNN


def between(a: Any, b: Any, gate: Any) -> Any:
    """(1 - gate) * a + gate * b in one operation less."""
    return a + gate * (b - a)


class GatedPlus(Operator):
    """What the gated operators share: functions of the gates, biases that differ by gate."""

    def __init__(
        self,
        units: int,
        depth: int = 1,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, **options)
        self.depth = CHECKS["depth"]("depth", depth)
        gate = CHECKS["activation"]("recurrent_activation", recurrent_activation)
        keep_untracked(self, "recurrent_activation", gate)
        for name in ("activation", "recurrent_activation"):
            if hasattr(getattr(self, name), "pieces"):
                raise UserError(f"`{name}` must keep the width of a gated unit, got maxout or Lp.")

    @property
    def fed(self) -> list[bool]:
        """Of each layer of the transition, whether x(t) feeds it: the first alone."""
        return [True] + [False] * (self.depth - 1)

    def bias_by_gate(self, *gates: Any) -> Callable:
        """An initializer of the biases of gates that stand side by side."""
        initializers = [keras.initializers.get(gate) for gate in gates]

        def initialize(shape: tuple, dtype: Any = None) -> Any:
            width = shape[0] // len(gates)
            return ops.concatenate([gate((width,), dtype) for gate in initializers])

        return initialize


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class HighwayPlus(GatedPlus):
    """⊕ of a recurrent highway network; see `RecurrentHighway` for equation and arguments.

    Example:

    >>> import numpy as np
    >>> tuple(HighwayPlus(4, depth=2)([np.ones((2, 3)), np.zeros((2, 4))]).shape)
    (2, 4)
    """

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
        self.coupled_gates = CHECKS["shortcut"]("coupled_gates", coupled_gates)
        self.input_to = CHECKS["input_to"]("input_to", input_to)
        self.gate_bias = number("gate_bias", gate_bias)

    def affine_maps(self) -> list[Affine]:
        n, every = 2 if self.coupled_gates else 3, self.input_to == "all"
        return [Affine(n * self.units, (self.units,), x or every, pieces=n) for x in self.fed]

    def step(self, affine: Callable, h: Any) -> Any:
        for layer in range(self.depth):
            c, *gates = affine(layer, h)
            t, *carry = (self.recurrent_activation(gate) for gate in gates)
            c = self.activation(c)
            h = t * c + carry[0] * h if carry else between(h, c, t)
        return h

    def initial_bias(self, i: int) -> Any:
        transform = keras.initializers.Constant(self.gate_bias)
        carry = [] if self.coupled_gates else [keras.initializers.Constant(-self.gate_bias)]
        return self.bias_by_gate(self.bias_initializer, transform, *carry)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class RecurrentHighwayCell(DeepRNNCell):
    """One step of a recurrent highway network; see `RecurrentHighway`.

    Arguments and weight order: see `RecurrentHighway` (sequence options excepted).

    Example:

    >>> import keras
    >>> import numpy as np
    >>> tuple(keras.layers.RNN(RecurrentHighwayCell(4, depth=2))(np.ones((2, 5, 3))).shape)
    (2, 4)
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
        how = coupled_gates, input_to, gate_bias, recurrent_activation
        super().__init__(HighwayPlus(units, depth, *how, **weights_of(**options)), **options)


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
        recurrent_activation: sigma, of the gates.
        **options: `activation` is phi. The options of the weights are those of `Plus`; those of
            dropout and of the loop over time are those of `DeepRNN`. Recurrent dropout drops the
            same units of s_{l-1} in every layer.

    Call arguments, returned tensors and masks: see `DeepRNN`.

    Raises:
        UserError: An argument, or the shape of an input, is not as described.

    Example:

    >>> import numpy as np
    >>> tuple(RecurrentHighway(4, depth=3, return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        The weights come layer by layer: W_l where x feeds it, R_l, b_l, each with the columns of
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
        how = coupled_gates, input_to, gate_bias, recurrent_activation
        super().__init__(HighwayPlus(units, depth, *how, **weights_of(**options)), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class GRUPlus(GatedPlus):
    """⊕ of a deep-transition GRU; see `DeepTransitionGRU` for equation and arguments.

    Example:

    >>> import numpy as np
    >>> h = GRUPlus(4, depth=2)([np.ones((2, 3)), np.zeros((2, 4))])
    >>> tuple(h.shape)
    (2, 4)
    """

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
        return [Affine(n * H, (H,), x=x, pieces=n) for x in self.fed for n in (2, 1)]

    def step(self, affine: Callable, h: Any) -> Any:
        sigma, phi = self.recurrent_activation, self.activation
        if self.reset_after:
            inputs = [affine(0), *[(0.0, 0.0, 0.0)] * (self.depth - 1)]
            for layer, (x_z, x_r, x_c) in enumerate(inputs, start=1):
                z, r, c = affine(layer, h)
                h = between(phi(x_c + sigma(x_r + r) * c), h, sigma(x_z + z))
            return h
        for layer in range(self.depth):
            z, r = (sigma(gate) for gate in affine(2 * layer, h))
            h = between(phi(affine(2 * layer + 1, r * h)), h, z)
        return h


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionGRUCell(DeepRNNCell):
    """One step of a deep-transition GRU; see `DeepTransitionGRU`.

    Arguments and weight order: see `DeepTransitionGRU` (sequence options excepted).

    Example:

    >>> import keras
    >>> import numpy as np
    >>> tuple(keras.layers.RNN(DeepTransitionGRUCell(4, depth=2))(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        reset_after: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[CellOptions],
    ) -> None:
        how = depth, reset_after, recurrent_activation
        super().__init__(GRUPlus(units, *how, **weights_of(**options)), **options)


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
        recurrent_activation: sigma, of the gates.
        **options: `activation` is phi. The options of the weights are those of `Plus`; those of
            dropout and of the loop over time are those of `DeepRNN`. Recurrent dropout drops the
            same units of h in every step of the transition.

    Call arguments, returned tensors and masks: see `DeepRNN`.

    Raises:
        UserError: An argument, or the shape of an input, is not as described.

    Example:

    >>> import numpy as np
    >>> tuple(DeepTransitionGRU(4, depth=3, return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        The weights come step by step, the columns of z, r, c side by side as in Keras: W and its
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
        how = depth, reset_after, recurrent_activation
        super().__init__(GRUPlus(units, *how, **weights_of(**options)), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class LSTMPlus(GatedPlus):
    """⊕ of a deep-transition LSTM; see `DeepTransitionLSTM` for equation and arguments.

    Example:

    >>> import numpy as np
    >>> _, c = LSTMPlus(4, depth=2)([np.ones((2, 3)), np.zeros((2, 4)), np.zeros((2, 4))])
    >>> tuple(c.shape)
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        unit_forget_bias: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, depth, recurrent_activation, **options)
        self.unit_forget_bias = CHECKS["shortcut"]("unit_forget_bias", unit_forget_bias)

    @property
    def state_size(self) -> list[int]:
        return [self.units, self.units]

    def affine_maps(self) -> list[Affine]:
        return [Affine(4 * self.units, (self.units,), x=x, pieces=4) for x in self.fed]

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

    Example:

    >>> import keras
    >>> import numpy as np
    >>> tuple(keras.layers.RNN(DeepTransitionLSTMCell(4, depth=2))(np.ones((2, 5, 3))).shape)
    (2, 4)
    """

    def __init__(
        self,
        units: int,
        depth: int = 1,
        unit_forget_bias: bool = True,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[CellOptions],
    ) -> None:
        how = depth, unit_forget_bias, recurrent_activation
        super().__init__(LSTMPlus(units, *how, **weights_of(**options)), **options)


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
        recurrent_activation: sigma, of the gates.
        **options: `activation` is phi. The options of the weights are those of `Plus`; those of
            dropout and of the loop over time are those of `DeepRNN`. Recurrent dropout drops the
            same units of h in every step of the transition.

    Call arguments, returned tensors and masks: see `DeepRNN`.

    Raises:
        UserError: An argument, or the shape of an input, is not as described.

    Example:

    >>> import numpy as np
    >>> tuple(DeepTransitionLSTM(4, depth=3, return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        The weights come step by step: W for the first, R_l, b_l, with the columns of i, f, g, o
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
        how = depth, unit_forget_bias, recurrent_activation
        super().__init__(LSTMPlus(units, *how, **weights_of(**options)), **options)

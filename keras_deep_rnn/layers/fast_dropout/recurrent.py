"""The recurrent network with fast dropout: operator, cell and layer."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...recurrence import Affine
from ...utils.errors import ArgumentError, Words
from ...utils.validation import CHECKS
from ..cells import DeepRNNCell
from ..operators import Operator
from ..options import (
    CellOptions,
    LayerOptions,
    OperatorOptions,
    cell_options,
    set_untracked,
    weights_of,
)
from ..rnn import DeepRNN
from .moments import activated_moments, affine_moments, dropped_moments


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
            raise ArgumentError(
                "activation",
                "a function of one number for fast dropout",
                Words(f"a {type(self.activation).__name__}"),
            )
        # Neither is known of a mean and a variance.
        for name in ("normalization", "num_tokens"):
            if getattr(self, name) is not None:
                raise ArgumentError(name, "None for fast dropout", getattr(self, name))

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
        set_untracked(self, "maps", self.maps * 2)
        set_untracked(self, "_biases", [*self._biases, []])

    def project(self, x: Any, keep_mask: Any = None) -> list:
        mean, variance = affine_moments(x, None, self.dropout, *self._input_kernels)
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

    Arguments and weight order: see `FastDropoutRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`. A negative variance v counts as 0.
    """

    def __init__(self, units: int, **options: Unpack[CellOptions]) -> None:
        rates = options.get("dropout", 0.0), options.get("recurrent_dropout", 0.0)
        super().__init__(FastDropoutPlus(units, *rates, **weights_of(**options)), **options)

    # Nothing is drawn: `keras.layers.RNN` asks for masks and gets None.

    def get_dropout_mask(self, x: Any) -> None:
        """None."""

    def get_recurrent_dropout_mask(self, h: Any) -> None:
        """None."""

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()):
            self.plus.load_own_variables(store)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FastDropoutRNN(DeepRNN):
    """A plain recurrent network with fast dropout (Bayer et al. 2013).

    Every unit of x(t) is dropped with probability p_x, every unit of h(t-1) with p_h, at each step
    anew. The pre-activation a(t) is then nearly Gaussian, and the states are the mean m(t) and the
    variance v(t) of each unit of h(t); q = 1 - p, squares elementwise:

        E[a(t)] = q_h m(t-1) W + q_x x(t) U + b
        V[a(t)] = (q_h v(t-1) + q_h p_h m(t-1)^2) W^2 + q_x p_x x(t)^2 U^2
        m(t), v(t) = mean and variance of phi(a(t))
        y(t) = m(t)

    Nothing is drawn: training and inference compute the same. With both rates 0 it is the plain
    recurrent network, with v(t) = 0. `FastDropoutDense` takes the two sequences that
    `return_state_sequences` gives.

    Args:
        units: Positive int, H: the width of h.
        **options: `dropout` is p_x, `recurrent_dropout` is p_h. Weight options: see `Plus`;
            sequence options: see `DeepRNN`.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> layer = FastDropoutRNN(4, dropout=0.2, recurrent_dropout=0.5, return_state_sequences=True)
    >>> y, mean, variance = layer(np.ones((2, 5, 3)))
    >>> tuple(y.shape), tuple(mean.shape), tuple(variance.shape)
    ((2, 4), (2, 5, 4), (2, 5, 4))

    Notes:
        arXiv:1311.0701, after Wang and Manning, "Fast dropout training" (2013). The states are
        m and v. Weight order: U, W, b. The mean and variance of phi(a): see
        `fast_dropout.activated_moments`.
    """

    def __init__(self, units: int, **options: Unpack[LayerOptions]) -> None:
        super().__init__(FastDropoutRNNCell(units, **cell_options(**options)), **options)

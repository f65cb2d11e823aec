"""Units that pool several linear pieces: maxout and Lp units.

Both take `units * pieces` pre-activations and return `units` outputs; unit j owns the pieces
`j * pieces ... (j + 1) * pieces - 1`. They work as a layer of their own, after a
`keras.layers.Dense` without activation, and as the `activation` of ⊕ and ▷: an activation with the
attribute `pieces` gets the wider pre-activations.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ..utils.errors import UserError
from ..utils.validation import number, positive_integer
from .options import KerasOptions

# Lower bound of the magnitudes in the logarithm of Lp units.
EPSILON = 1e-30


class _Pieces(keras.layers.Layer):
    """Base of maxout and Lp units: the last axis is split into units of `pieces` each."""

    def __init__(self, pieces: int = 2, **kwargs: Unpack[KerasOptions]) -> None:
        super().__init__(**kwargs)
        self.pieces = positive_integer("pieces", pieces)
        self.supports_masking = True

    def units(self, width: int | None) -> int:
        """The number of units of `width` pre-activations."""
        if width is None or width % self.pieces:
            raise UserError(
                f"`inputs` of {type(self).__name__} must have a last axis that is a multiple of "
                f"{self.pieces} pieces, got {width}."
            )
        return width // self.pieces

    def split_pieces(self, z: Any) -> list:
        """z_1j, z_2j, ... of all units, a tensor (..., units) each."""
        z = ops.reshape(z, (*ops.shape(z)[:-1], self.units(z.shape[-1]), self.pieces))
        return [z[..., i] for i in range(self.pieces)]

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape[:-1], self.units(input_shape[-1]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pieces": self.pieces}


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Maxout(_Pieces):
    """Maxout units: y_j = max_i z_ji, the largest of each unit's pieces.

    Input: z (..., units * pieces). Output: y (..., units).

    Args:
        pieces: Number of linear pieces of each unit, at least 1.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`.

    Raises:
        UserError: `pieces` is not a positive integer, or the last axis of the inputs is not a
            multiple of it.

    Example:

    >>> z = keras.ops.array([[1.0, 3.0, -2.0, -5.0]])
    >>> keras.ops.convert_to_numpy(Maxout(pieces=2)(z)).tolist()
    [[3.0, -2.0]]

    Source: Goodfellow et al., "Maxout Networks", arXiv:1302.4389. The deep output of the
    paper's last column uses it.
    """

    def call(self, inputs: Any) -> Any:
        return functools.reduce(ops.maximum, self.split_pieces(inputs))


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class LpUnit(_Pieces):
    """Lp units with a learned order: y_j = (mean_i |z_ji - c_ji|^p_j)^(1/p_j).

    The order p_j = 1 + log(1 + exp(rho_j)) is learned for each unit and stays above 1; the
    centres c_ji are learned for each piece, initially 0. Order 1 is the mean magnitude, order 2
    the root mean square; a large order approaches the largest magnitude.

    Input: z (..., units * pieces). Output: y (..., units), never negative.
    Weights: `rho` (units,), `centers` (units * pieces,).

    Args:
        pieces: Number of linear pieces of each unit, at least 1.
        order: Initial order of every unit, above 1.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`.

    Raises:
        UserError: `pieces` is not a positive integer, `order` is not a finite number above 1,
            or the last axis of the inputs is not a multiple of `pieces`.

    Example:

    >>> z = keras.ops.array([[1.0, 7.0, 0.0, 0.0]])
    >>> keras.ops.convert_to_numpy(LpUnit(pieces=2, order=2.0)(z)).round(3).tolist()
    [[5.0, 0.0]]

    Source: Gulcehre et al., "Learned-Norm Pooling for Deep Feedforward and Recurrent Neural
    Networks", arXiv:1311.1780.

    Notes:
        Computed as a log-sum-exp with magnitudes of at least 1e-30, where the gradient is 0, so
        that outputs and gradients are finite everywhere. Half-precision inputs are pooled in the
        precision of the weights.
    """

    def __init__(self, pieces: int = 2, order: float = 2.0, **kwargs: Unpack[KerasOptions]) -> None:
        super().__init__(pieces=pieces, **kwargs)
        self.order = number("order", order, above=1)

    def build(self, input_shape: Sequence) -> None:
        units = self.units(input_shape[-1])
        # The inverse of 1 + log(1 + exp(rho)), in the form that cannot overflow.
        rho = self.order - 1 + math.log(-math.expm1(1 - self.order))
        self.rho = self.add_weight(
            name="rho",
            shape=(units,),
            initializer=keras.initializers.Constant(rho),
            autocast=False,
        )
        # One axis, as a bias, so that weight noise leaves the centres alone.
        self.centers = self.add_weight(
            name="centers",
            shape=(units * self.pieces,),
            initializer="zeros",
            autocast=False,
        )

    def orders(self) -> Any:
        """The current order of every unit, a tensor of shape (units,)."""
        return 1 + ops.softplus(self.rho)

    def call(self, inputs: Any) -> Any:
        # A log-sum-exp of p log |z_i - c_i|, so that no power leaves the range of floats.
        p, centers = self.orders(), self.split_pieces(ops.convert_to_tensor(self.centers))
        powers = []
        for z, center in zip(self.split_pieces(inputs), centers):
            distance = ops.abs(ops.cast(z, p.dtype) - center)
            powers.append(ops.log(ops.maximum(distance, EPSILON)) * p)
        largest = ops.stop_gradient(functools.reduce(ops.maximum, powers))
        total = sum(ops.exp(power - largest) for power in powers)
        pooled = ops.exp((largest + ops.log(total / self.pieces)) / p)
        return ops.cast(pooled, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}

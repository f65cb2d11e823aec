"""Units that pool several linear pieces: maxout and Lp units, by what `pooling` computes.

Both read `units * pieces` pre-activations and give `units` outputs; unit j owns the pieces
`j * pieces ... (j + 1) * pieces - 1`. They work as a layer of their own, after a
`keras.layers.Dense` without activation, and as the `activation` of ⊕ and ▷ layers, which make
the wider pre-activations themselves when an activation has the attribute `pieces`.
"""

import math

import keras
from keras import ops

from .arguments import number, positive_integer
from .errors import UserError
from .pooling import LpPooling, MaxPooling, in_blocks


class _Pieces(keras.layers.Layer):
    """What maxout and Lp units share: the last axis is cut into units of `pieces` each."""

    def __init__(self, pieces=2, **kwargs):
        super().__init__(**kwargs)
        self.pieces = positive_integer("pieces", pieces)
        self.pooling = self.pooling_class(self.pieces)
        self.supports_masking = True

    def units(self, width):
        """The number of units that `width` pre-activations make."""
        if width is None or width % self.pieces:
            raise UserError(
                f"`inputs` of {type(self).__name__} must have a last axis that is a multiple of "
                f"{self.pieces} pieces, got {width}."
            )
        return width // self.pieces

    def call(self, inputs):
        self.units(inputs.shape[-1])
        return self.pooling(inputs, *self.learned())

    def learned(self, blocks=False):
        """What `pooling` takes besides z, for z in blocks or not."""
        return []

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units(input_shape[-1]))

    def get_config(self):
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

    pooling_class = MaxPooling


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class LpUnit(_Pieces):
    """Lp units with a learned order: y_j = (mean_i |z_ji - c_ji|^p_j)^(1/p_j).

    The order p_j = 1 + log(1 + exp(rho_j)) is learned for each unit and stays above 1; the
    centres c_ji are learned for each piece and start at 0. Order 1 averages magnitudes, order 2
    is a root mean square, a large order approaches the largest magnitude.

    Input: z (..., units * pieces). Output: y (..., units), never negative.
    Weights: `rho` (units,), `centers` (units * pieces,).

    Args:
        pieces: Number of linear pieces of each unit, at least 1.
        order: The order that every unit starts with, above 1.
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
        The powers are taken as a log-sum-exp, so that no power of a large or small magnitude
        leaves the range of floats, and magnitudes below 1e-30 count as 1e-30, where the
        gradient is 0: outputs and gradients are finite everywhere. Half-precision inputs are
        pooled in the precision of the weights.
    """

    pooling_class = LpPooling

    def __init__(self, pieces=2, order=2.0, **kwargs):
        super().__init__(pieces=pieces, **kwargs)
        self.order = number("order", order, above=1)

    def build(self, input_shape):
        units = self.units(input_shape[-1])
        # The inverse of 1 + log(1 + exp(rho)), in the form that cannot overflow.
        rho = self.order - 1 + math.log(-math.expm1(1 - self.order))
        self.rho = self.add_weight(
            name="rho",
            shape=(units,),
            initializer=keras.initializers.Constant(rho),
            autocast=False,
        )
        # One axis, as a bias: what treats kernels specially leaves the centres alone.
        self.centers = self.add_weight(
            name="centers",
            shape=(units * self.pieces,),
            initializer="zeros",
            autocast=False,
        )

    def orders(self):
        """The current order of every unit, a tensor of shape (units,)."""
        return 1 + ops.softplus(self.rho)

    def learned(self, blocks=False):
        centers = ops.convert_to_tensor(self.centers)
        return [self.orders(), in_blocks(centers, self.pieces) if blocks else centers]

    def get_config(self):
        return {**super().get_config(), "order": self.order}

"""What maxout and Lp units compute, and its gradients.

They pool pre-activations z (..., units * pieces) to a (..., units); unit j owns the pieces
`j * pieces ... (j + 1) * pieces - 1`. In the loop over time z stands in blocks, piece 1 of all
units, then piece 2 and so on, which is what XLA is fast with.
"""

import dataclasses
import math

from keras import ops


@dataclasses.dataclass(frozen=True)
class _Pooling:
    """What both share; the interface is that of `recurrence.derivatives.Elementwise`.

    Attributes:
        pieces: Pieces of each unit.
        blocks: Whether z stands in blocks.
    """

    pieces: int
    blocks: bool = False
    from_z = True
    learns = 0

    def apart(self, z):
        """z in any order as (..., pieces, units)."""
        shape, units = ops.shape(z)[:-1], z.shape[-1] // self.pieces
        if self.blocks:
            return ops.reshape(z, (*shape, self.pieces, units))
        return ops.swapaxes(ops.reshape(z, (*shape, units, self.pieces)), -1, -2)

    def together(self, z):
        """The inverse of `apart`."""
        width = z.shape[-1] * self.pieces
        z = z if self.blocks else ops.swapaxes(z, -1, -2)
        return ops.reshape(z, (*ops.shape(z)[:-2], width))


@dataclasses.dataclass(frozen=True)
class MaxPooling(_Pooling):
    """a_j = max_i z_ji."""

    def __call__(self, z):
        return ops.max(self.apart(z), axis=-2)

    def back(self, da, z):
        """dz from da. Pieces that are equally large share it, as in the backends."""
        z = self.apart(z)
        largest = ops.cast(ops.equal(z, ops.max(z, axis=-2, keepdims=True)), z.dtype)
        shares = largest / ops.sum(largest, axis=-2, keepdims=True)
        return self.together(shares * ops.expand_dims(da, -2))

    def d_weights(self, z, dz):
        return []


@dataclasses.dataclass(frozen=True)
class LpPooling(_Pooling):
    """a_j = (mean_i |z_ji - c_ji|^p_j)^(1/p_j).

    All of it in logarithms: m_i = log |z_i - c_i| and s = log a, so that no power leaves the range
    of floats. Magnitudes below 1e-30 count as 1e-30, where the gradient is 0.
    """

    learns = 2

    def __call__(self, z, p, centers):
        _, _, s = self._logarithms(z, p, centers)
        return ops.cast(ops.exp(s), z.dtype)

    def back(self, da, z, p, centers):
        """dz from da: da/dz_i = sign(z_i - c_i) exp((p - 1) (m_i - s)) / pieces."""
        distance, m, s = self._logarithms(z, p, centers)
        slope = ops.sign(distance) * ops.exp((p - 1) * (m - ops.expand_dims(s, -2))) / self.pieces
        slope = ops.where(ops.abs(distance) < 1e-30, ops.zeros_like(slope), slope)
        return ops.cast(self.together(slope * ops.expand_dims(ops.cast(da, p.dtype), -2)), z.dtype)

    def d_weights(self, z, dz, p, centers):
        """The gradients of p and of the centres, from dz of every step.

        With q the softmax of p m over the pieces, ds/dp = (sum_i q_i m_i - s) / p; and as a is
        homogeneous in z - c, a da = sum_i (z_i - c_i) dz_i.
        """
        steps = tuple(range(len(z.shape) - 1))
        distance, m, s = self._logarithms(z, p, centers)
        dz = ops.cast(dz, p.dtype)
        d_s = ops.sum(distance * self.apart(dz), axis=-2)
        d_p = d_s * (ops.sum(ops.softmax(p * m, axis=-2) * m, axis=-2) - s) / p
        return [ops.sum(d_p, axis=steps), -ops.sum(dz, axis=steps)]

    def _logarithms(self, z, p, centers):
        """z - c and m, (..., pieces, units), and s."""
        distance = self.apart(ops.cast(z, p.dtype) - centers)
        m = ops.log(ops.maximum(ops.abs(distance), 1e-30))
        return distance, m, (ops.logsumexp(p * m, axis=-2) - math.log(self.pieces)) / p


def in_blocks(weights, pieces):
    """Weights that lead to z, (..., units * pieces), in the order of blocks."""
    return ops.reshape(_Pooling(pieces).apart(weights), ops.shape(weights))

"""phi and its gradient, of the activations that the loop with its own gradient knows."""

import dataclasses
import math

from keras import activations, ops

from ..activations import LpUnit, Maxout


def _between(low, high, slope=1.0):
    """phi' of an activation that is linear between two values and constant outside."""
    return lambda a: slope * ops.cast(ops.logical_and(a > low, a < high), a.dtype)


def _silu(z):
    s = ops.sigmoid(z)
    return s * (1 + z * (1 - s))


def _gelu(z):
    density = ops.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + ops.erf(z / math.sqrt(2))) + z * density


def _mish(z):
    t = ops.tanh(ops.softplus(z))
    return t + z * (1 - t * t) * ops.sigmoid(z)


# The two numbers of selu (Klambauer et al., arXiv:1706.02515).
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772

# phi' from z, where it does not follow from the value.
FROM_Z = {activations.silu: _silu, activations.gelu: _gelu, activations.mish: _mish}

# phi' from the value a = phi(z), or from z for those of `FROM_Z`.
DERIVATIVES = {
    activations.linear: ops.ones_like,
    activations.tanh: lambda a: 1 - a * a,
    activations.sigmoid: lambda a: a * (1 - a),
    activations.relu: lambda a: ops.cast(a > 0, a.dtype),
    activations.relu6: _between(0, 6),
    activations.leaky_relu: lambda a: ops.where(a > 0, ops.ones_like(a), 0.2),
    activations.elu: lambda a: ops.where(a > 0, ops.ones_like(a), a + 1),
    activations.selu: lambda a: ops.where(a > 0, ops.full_like(a, SCALE), a + SCALE * ALPHA),
    activations.exponential: lambda a: a,
    activations.softplus: lambda a: 1 - ops.exp(-a),
    activations.softsign: lambda a: ops.square(1 - ops.abs(a)),
    activations.hard_sigmoid: _between(0, 1, 1 / 6),
    activations.hard_tanh: _between(-1, 1),
    **FROM_Z,
}


@dataclasses.dataclass(frozen=True)
class Elementwise:
    """phi of one number.

    Attributes:
        function: The activation, one of `DERIVATIVES`.
        pieces: Pre-activations of a unit.
        learns: Number of weights of its own.
        from_z: Whether the way back needs z; otherwise a = phi(z).
    """

    function: object
    pieces = 1
    learns = 0

    @property
    def from_z(self):
        return self.function in FROM_Z

    def __call__(self, z):
        return self.function(z)

    def back(self, da, kept):
        """dz from da, and from z or a."""
        return da * DERIVATIVES[self.function](kept)

    def d_weights(self, kept, dz):
        """The gradients of what phi learns, from dz and z of every step."""
        return []


def of(activation):
    """phi for the loop with its own gradient, or None where that does not know the activation.

    That of maxout and Lp units has its pre-activations in blocks; see `pooling`.
    """
    if type(activation) in (Maxout, LpUnit):
        return dataclasses.replace(activation.pooling, blocks=True)
    # By identity: an activation of the user's own may not be hashable.
    if any(activation is other for other in DERIVATIVES):
        return Elementwise(activation)
    return None


def why_plain(loop, activation):
    """Why a loop with that activation is differentiated as it is written; None if it is not."""
    if loop.unroll:
        return "unroll=True"
    if of(activation) is None:
        name = getattr(activation, "__name__", type(activation).__name__)
        return f"the loop has no derivative of {name}"
    return None

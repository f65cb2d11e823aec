"""The transition of ⊕ over time, with a gradient of its own: the mathematics of the fast loop.

Forward, the loop holds only what depends on h(t-1); row vectors, hm = h(t-1) with dropped units:

    z_1 = hm W_1 + p_1(t),    z_l = a_{l-1} W_l + hm S_l + p_l(t),    a_l = phi(z_l),    h(t) = a_L

where p_l(t) is the projection of the input x(t) U_l + b_l, or the bias alone. Backward, the loop
holds only what dh(t-1) needs, and keeps delta_l(t) = dz_l:

    delta_l = da_l * phi'(z_l),    da_{l-1} = delta_l W_l^T
    dhm = delta_1 W_1^T + sum of delta_l S_l^T

Every gradient of a weight is then one product over all steps: dW_l = a_{l-1}^T delta_l,
dS_l = hm^T delta_l. All products with hm are one, of the matrices [W_1 S_2 ... S_L] side by side.
"""

import dataclasses
import functools

import keras
from keras import ops

from . import backend

# phi' from the value a = phi(z), for the activations where it follows from that alone.
DERIVATIVES = {
    keras.activations.linear: lambda a: ops.ones_like(a),
    keras.activations.tanh: lambda a: 1 - a * a,
    keras.activations.sigmoid: lambda a: a * (1 - a),
    keras.activations.relu: lambda a: ops.cast(a > 0, a.dtype),
    keras.activations.elu: lambda a: ops.where(a > 0, ops.ones_like(a), a + 1),
    keras.activations.softplus: lambda a: 1 - ops.exp(-a),
    keras.activations.softsign: lambda a: ops.square(1 - ops.abs(a)),
}


@dataclasses.dataclass(frozen=True)
class Transition:
    """What decides the loop: of each layer its width and the arrows into it, phi, and options.

    Attributes:
        widths: Units of each layer; the last is H.
        fed: Of each layer, whether the projection of the input holds its share (and its bias).
        shortcut: Of each layer, whether h(t-1) reaches it past the one before.
        bias: Of each layer, whether a bias is added in the loop.
        activation: phi.
        masked: Whether there is a mask.
        dropped: Whether there is a dropout mask on h(t-1).
        compiled: Whether XLA compiles the loops.
    """

    widths: tuple
    fed: tuple
    shortcut: tuple
    bias: tuple
    activation: object
    masked: bool
    dropped: bool
    compiled: bool

    def weights(self, flat):
        """The weights as (from_state, W_2 ... W_L, biases); `flat` has the order of ⊕'s own.

        from_state is [W_1 S_2 ... S_L], each S_l only where there is one.
        """
        flat, W, S, b = list(flat), [], [], []
        for shortcut, bias in zip(self.shortcut, self.bias):
            W.append(flat.pop(0))
            S.append(flat.pop(0) if shortcut else None)
            b.append(flat.pop(0) if bias else None)
        from_state = [W[0], *(s for s in S if s is not None)]
        return ops.concatenate(from_state, axis=-1), W[1:], b

    def reached(self):
        """Indices of the layers that h(t-1) reaches: the first, and those with a shortcut."""
        return [0, *(i for i, shortcut in enumerate(self.shortcut) if shortcut)]

    def parts(self, values, layers):
        """Cuts what stands side by side into one part for each of the layers."""
        cut, start = {}, 0
        for i in layers:
            cut[i] = values[..., start : start + self.widths[i]]
            start += self.widths[i]
        return cut

    def step(self, weights, h, projection):
        """One step: a_1 ... a_L from hm and the projection of the input."""
        from_state, W, b = weights
        arriving = self.parts(ops.matmul(h, from_state), self.reached())
        projected = self.parts(projection, [i for i, fed in enumerate(self.fed) if fed])
        values = []
        for i in range(len(self.widths)):
            terms = [ops.matmul(values[-1], W[i - 1])] if i else []
            terms += [part[i] for part in (arriving, projected) if i in part]
            terms += [b[i]] if b[i] is not None else []
            values.append(self.activation(sum(terms[1:], terms[0])))
        return values

    def step_back(self, weights, values, dh):
        """One step back: delta_1 ... delta_L and dhm from a_1 ... a_L and dh(t)."""
        from_state, W, _ = weights
        derivative, deltas, da = DERIVATIVES[self.activation], [], dh
        for i in reversed(range(len(self.widths))):
            deltas.insert(0, da * derivative(values[i]))
            if i:
                da = ops.matmul(deltas[0], ops.transpose(W[i - 1]))
        side_by_side = ops.concatenate([deltas[i] for i in self.reached()], axis=-1)
        return deltas, ops.matmul(side_by_side, ops.transpose(from_state))


def run(transition, projection, h, mask, dropout_mask, weights):
    """h at every step.

    Args:
        transition: `Transition`.
        projection: p, shape (B, T, sum of the widths of the layers that the input feeds).
        h: h before the first step, (B, H).
        mask: Boolean (B, T), or None.
        dropout_mask: Factors of h(t-1), (B, H), or None.
        weights: Flat list: of each layer W, S, b, as far as it has them.

    Returns:
        Shape (B, T, H).
    """
    constants = []
    if mask is not None:
        constants.append(ops.cast(ops.expand_dims(ops.transpose(mask), -1), h.dtype))
    if dropout_mask is not None:
        constants.append(dropout_mask)
    projection = ops.swapaxes(projection, 0, 1)
    return ops.swapaxes(_function(transition)(projection, h, *constants, *weights), 0, 1)


@functools.cache
def _function(transition):
    """The function of (projection, h, constants, weights) to h over time, with its gradient."""
    forward = functools.partial(_forward, transition)
    backward = functools.partial(_backward, transition)
    if transition.compiled:
        forward, backward = backend().compiled(forward), backend().compiled(backward)
    return backend().with_gradient(forward, backward)


def _arguments(transition, constants_and_weights):
    """(mask, dropout mask, weights), None for what is not there."""
    rest = list(constants_and_weights)
    mask = rest.pop(0) if transition.masked else None
    dropout_mask = rest.pop(0) if transition.dropped else None
    return mask, dropout_mask, transition.weights(rest)


def _dropped(h, dropout_mask):
    return h if dropout_mask is None else h * dropout_mask


def _forward(transition, projection, h, *rest):
    """h at every step, and what the way back needs: a_1 ... a_{L-1}, and a_L where masked."""
    mask, dropout_mask, weights = _arguments(transition, rest)

    def step(carry, inputs):
        (h,) = carry
        values = transition.step(weights, _dropped(h, dropout_mask), inputs[0])
        if mask is None:
            return [values[-1]], [values[-1], *values[:-1]]
        h = inputs[1] * values[-1] + (1 - inputs[1]) * h
        return [h], [h, *values]

    inputs = [projection] if mask is None else [projection, mask]
    widths = transition.widths if mask is not None else transition.widths[:-1]
    _, kept = backend().scan(step, [h], inputs, [transition.widths[-1], *widths])
    return kept


def _backward(transition, gradient, kept, arguments):
    """The gradients of the projection, the first h, the constants and the weights."""
    _, h, *rest = arguments
    mask, dropout_mask, weights = _arguments(transition, rest)
    hs, *values = kept
    if mask is None:
        values = [*values, hs]

    def step_back(carry, inputs):
        dh = carry[0] + inputs[0]
        held = 0
        if mask is not None:
            held, dh = (1 - inputs[1]) * dh, inputs[1] * dh
        deltas, dhm = transition.step_back(weights, inputs[-len(values) :], dh)
        return [_dropped(dhm, dropout_mask) + held], deltas

    inputs = [gradient, *([] if mask is None else [mask]), *values]
    (dh,), deltas = backend().scan(
        step_back, [ops.zeros_like(h)], inputs, transition.widths, reverse=True
    )
    before = _dropped(ops.concatenate([ops.expand_dims(h, 0), hs[:-1]], axis=0), dropout_mask)
    projected = [delta for delta, fed in zip(deltas, transition.fed) if fed]
    constants = [ops.zeros_like(c) for c in (mask, dropout_mask) if c is not None]
    d_weights = _weight_gradients(transition, before, values, deltas)
    return [ops.concatenate(projected, axis=-1), dh, *constants, *d_weights]


def _weight_gradients(transition, before, values, deltas):
    """dW, dS, db of each layer, each one product over all steps; `before` is hm at every step."""

    def rows(sequence):
        return ops.reshape(sequence, (-1, sequence.shape[-1]))

    reached = transition.reached()
    side_by_side = rows(ops.concatenate([deltas[i] for i in reached], axis=-1))
    of_state = transition.parts(ops.matmul(ops.transpose(rows(before)), side_by_side), reached)
    gradients = []
    for i, delta in enumerate(deltas):
        below = ops.transpose(rows(values[i - 1])) if i else None
        gradients.append(ops.matmul(below, rows(delta)) if i else of_state[0])
        if transition.shortcut[i]:
            gradients.append(of_state[i])
        if transition.bias[i]:
            gradients.append(ops.sum(delta, axis=(0, 1)))
    return gradients

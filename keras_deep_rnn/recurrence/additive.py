"""A recurrence of several products whose nonlinearities can be any, with a gradient of its own.

    u(t) = before(s(t-1)),    z_i(t) = u_i(t) W_i + p_i(t),    s(t) = after(z(t))

u_1, u_2, ... stand side by side, and so do z_1, z_2, ... The backend finds the gradients of the two
functions, step by step. As in `transition`, the loop back holds only what ds(t-1) needs and keeps
dz(t); the gradient of each weight is then one product over all steps: dW_i = u_i^T dz_i.

Inside the loops time is the first axis.
"""

import functools

from keras import ops

from . import backend
from .transition import joined, time_first


def run(rule, projection, state, mask, weights, loop):
    """s at every step.

    Args:
        rule: What can be hashed and has the two functions, `before(s)` and `after(z)`.
        projection: p, shape (B, T, units of z).
        state: s before the first step, (B, units of s).
        mask: Boolean (B, T), or None. Where it is False, s stays as it is.
        weights: List of the W_i, all of one shape.
        loop: `Loop`, how to run.

    Returns:
        Shape (B, T, units of s).
    """
    constants = [] if mask is None else [ops.cast(ops.expand_dims(mask, -1), state.dtype)]
    function = _function(rule, mask is not None, loop.compiled(), loop.parts())
    return function(projection, state, *constants, *weights)


def products(u, weights):
    """u_1 W_1, u_2 W_2, ... side by side."""
    parts = ops.split(u, len(weights), axis=-1)
    return ops.concatenate([part @ weight for part, weight in zip(parts, weights)], axis=-1)


@functools.cache
def _function(rule, masked, xla, split):
    """The function of (p, s, mask, W) to s over time, with its gradient."""
    compiled = backend().compiled if xla else lambda function: function
    forward = compiled(functools.partial(_forward, rule))
    forward_alone = compiled(functools.partial(_forward, rule, keep=False))
    loop_back = compiled(functools.partial(_loop_back, rule))
    batched = 2 + masked

    def in_parts(program, arguments):
        weights = list(arguments[batched:])
        parts = [program(part, weights) for part in backend().split(arguments[:batched], *split)]
        return joined([states for states, _ in parts]), [kept for _, kept in parts]

    def gradients(gradient, kept, arguments):
        # Laid out before the loop; see `transition`.
        transposed = [ops.transpose(weight) for weight in arguments[batched:]]
        parts = backend().split([gradient, *arguments[:batched]], *split)
        found = []
        for (gradient, *part), kept_of_part in zip(parts, kept):
            dz, u, d_state = loop_back(gradient, part, kept_of_part, transposed)
            found.append((time_first(dz), d_state, _d_weights(u, dz, len(transposed))))
        d_projection, d_state = (joined([part[i] for part in found]) for i in (0, 1))
        d_weights = [sum(rest, first) for first, *rest in zip(*(part[2] for part in found))]
        constants = [ops.zeros_like(constant) for constant in arguments[2:batched]]
        return [d_projection, d_state, *constants, *d_weights]

    return backend().with_gradient(
        lambda *arguments: in_parts(forward_alone, arguments)[0],
        lambda *arguments: in_parts(forward, arguments),
        gradients,
    )


def _forward(rule, batched, weights, keep=True):
    """s at every step, (B, T, units), and what the way back needs, time first: s and z."""
    projection, state, *mask = batched

    def step(carry, inputs):
        z = inputs[0] + products(rule.before(carry[0]), weights)
        new = rule.after(z)
        new = ops.where(inputs[1] > 0, new, carry[0]) if mask else new
        return [new], [new, z] if keep else [new]

    inputs = [time_first(x) for x in (projection, *mask)]
    shapes = [tuple(state.shape), (state.shape[0], projection.shape[-1])]
    _, (states, *z) = backend().scan(step, [state], inputs, shapes[: 1 + keep])
    return time_first(states), [states, *z] if keep else []


def _loop_back(rule, gradient, batched, kept, transposed):
    """The loop back in time: dz and u of every step, time first, and ds before the first."""
    (_, state, *mask), (states, z) = batched, kept
    previous = ops.concatenate([ops.expand_dims(state, 0), states[:-1]], axis=0)

    def step_back(carry, inputs):
        d_state, z, previous, *mask = carry[0] + inputs[0], *inputs[1:]
        passed = 0.0
        if mask:
            nothing = ops.zeros_like(d_state)
            passed = ops.where(mask[0] > 0, nothing, d_state)
            d_state = ops.where(mask[0] > 0, d_state, nothing)
        dz = backend().pull_back(rule.after, z, d_state)
        d_previous = backend().pull_back(rule.before, previous, products(dz, transposed))
        return [d_previous + passed], [dz]

    inputs = [time_first(gradient), z, previous, *(time_first(x) for x in mask)]
    shapes = [(state.shape[0], z.shape[-1])]
    carry = [ops.zeros_like(state)]
    (d_state,), (dz,) = backend().scan(step_back, carry, inputs, shapes, reverse=True)
    return dz, rule.before(previous), d_state


def _d_weights(u, dz, count):
    """dW_i, from all steps at once."""
    rows = [ops.reshape(x, (-1, x.shape[-1])) for x in (u, dz)]
    pairs = zip(*(ops.split(x, count, axis=-1) for x in rows))
    return [ops.matmul(ops.transpose(u), dz) for u, dz in pairs]

"""The loop primitive on JAX, and how a function gets a gradient of its own."""

import jax


def scan(step, carry, inputs, widths, reverse=False):
    """See `recurrence`."""

    def body(carry, inputs):
        carry, outputs = step(carry, inputs)
        return list(carry), list(outputs)

    return jax.lax.scan(body, list(carry), list(inputs), reverse=reverse)


def with_gradient(forward, backward):
    """See `tensorflow_loop.with_gradient`."""
    function = jax.custom_vjp(lambda *arguments: forward(*arguments)[0])

    def keep(*arguments):
        kept = forward(*arguments)
        return kept[0], (kept, list(arguments))

    function.defvjp(keep, lambda residuals, gradient: tuple(backward(gradient, *residuals)))
    return function


def compiled(function):
    """`function`, compiled by XLA at the first call for each set of shapes."""
    return jax.jit(function)


def exporting():
    """See `tensorflow_loop.exporting`; here nothing depends on it."""
    return False

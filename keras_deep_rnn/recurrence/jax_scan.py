"""The loop primitive on JAX."""

import jax


def scan(step, carry, inputs):
    """Applies `step(carry, [x[t] for x in inputs])` for each t; gives every carry, stacked.

    The first axis of the inputs and of the results is time.
    """

    def body(carry, inputs):
        carry = step(carry, inputs)
        return carry, carry

    return jax.lax.scan(body, list(carry), inputs)[1]

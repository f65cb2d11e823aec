"""The loop primitive on JAX, and how a function gets a gradient of its own."""

import jax
import jax.numpy as jnp

from . import number_of_parts


def scan(step, carry, inputs, shapes, reverse=False):
    """See `recurrence`."""

    def body(carry, inputs):
        carry, outputs = step(carry, inputs)
        return list(carry), list(outputs)

    return jax.lax.scan(body, list(carry), list(inputs), reverse=reverse)


def with_gradient(result, forward, backward):
    """See `tensorflow_loop.with_gradient`."""
    function = jax.custom_vjp(result)

    def keep(*arguments):
        value, kept = forward(*arguments)
        return value, (kept, list(arguments))

    function.defvjp(keep, lambda residuals, gradient: tuple(backward(gradient, *residuals)))
    return function


def pull_back(function, x, gradient):
    """See `tensorflow_loop.pull_back`."""
    return jax.vjp(function, x)[1](gradient)[0]


def compiled(function):
    """`function`, compiled by XLA at the first call for each set of shapes."""
    return jax.jit(function)


def single_step(cell, xla):
    """See `tensorflow_loop.single_step`."""

    def call(trainable, others, x, states):
        return cell.stateless_call(trainable, others, x, states, training=False)[0]

    call = jax.jit(call) if xla else call

    def step(x, states):
        variables = (cell.trainable_variables, cell.non_trainable_variables)
        return call(*([variable.value for variable in some] for some in variables), x, states)

    return step


def parts_side_by_side():
    """Into how many parts a batch is split: JAX runs the parts of a program one after the other."""
    return 1


def split(tensors, parts, least):
    """See `tensorflow_loop.split`."""
    parts = number_of_parts(tensors[0].shape[0], parts, least)
    return list(zip(*(jnp.array_split(tensor, parts) for tensor in tensors)))


def accelerated():
    """See `tensorflow_loop.accelerated`."""
    return jax.default_backend() != "cpu"


def exporting():
    """See `tensorflow_loop.exporting`; here nothing depends on it."""
    return False

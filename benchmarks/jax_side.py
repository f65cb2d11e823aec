"""The contestants that run on JAX."""

import jax
import jax.numpy as jnp

from .network import LAYERS, RATE, build, products

UNROLL = {"lax.scan": 1, "lax.scan, unroll 8": 8}


def facts():
    """What is known about the framework."""
    return {
        "jax": jax.__version__,
        "devices": [str(device) for device in jax.devices()],
        "accelerator": jax.default_backend() != "cpu",
    }


def make(name, case):
    """A function that runs a contestant once and gives the loss, and the calls that are in it."""
    if name.startswith("matmul"):
        return products(name, jnp.full, jax.jit(jnp.matmul), facts()["accelerator"])
    if name in LAYERS:
        loss, weights, x, y = _of_layer(name, case)
    else:
        loss, weights, x, y = _of_scan(UNROLL[name], case)
    weights, x, y = ([jnp.asarray(a) for a in weights], jnp.asarray(x), jnp.asarray(y))

    def step(weights, x, y):
        if case.mode == "forward":
            return loss(weights, x, y), weights
        value, gradients = jax.value_and_grad(loss)(weights, x, y)
        return value, [w - RATE * g for w, g in zip(weights, gradients)]

    step = jax.jit(step).lower(weights, x, y).compile()

    def run():
        nonlocal weights
        value, weights = jax.block_until_ready(step(weights, x, y))
        return float(value)

    run.mib = lambda: _mib(step.memory_analysis())
    return run, 1


def _mib(analysis):
    """The memory that a program adds: its results and what it has in between."""
    if analysis is None:
        return None
    return (analysis.output_size_in_bytes + analysis.temp_size_in_bytes) / 2**20


def _of_layer(name, case):
    layer, x, y, _ = build(name, case)
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(weights, x, y):
        outputs, _ = layer.stateless_call(weights, others, x, training=case.mode == "train")
        return jnp.mean(jnp.square(outputs - y))

    return loss, [variable.value for variable in layer.trainable_variables], x, y


def _of_scan(unroll, case):
    """The network as one writes it in JAX: the input's projection, then a scan over time."""

    def loss(weights, x, y):
        U, W, b, *later = weights

        def step(h, projection):
            a, rest = jnp.tanh(projection + h @ W), later
            while rest:
                W_l, S_l, b_l, *rest = rest
                a = jnp.tanh(a @ W_l + h @ S_l + b_l)
            return a, a

        projections = jnp.swapaxes(x @ U + b, 0, 1)
        h = jnp.zeros((case.B, case.H), x.dtype)
        _, hs = jax.lax.scan(step, h, projections, unroll=unroll)
        return jnp.mean(jnp.square(jnp.swapaxes(hs, 0, 1) - y))

    return loss, case.weights(), *case.arrays()

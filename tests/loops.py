"""Comparison of the fast loop with the plain one: outputs, states and gradients.

Two results are equal where their largest difference is at most 1e-5 of the largest magnitude, or
1e-5 where that is below 1.
"""

import contextlib
import functools

import keras
import numpy as np
import pytest
from descriptors import first_states, randomize, to_numpy
from keras import ops

from keras_deep_rnn.layers import Operator

BACKEND = keras.backend.backend()
MASK = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
ALL = {"return_sequences": True, "return_state": True, "return_state_sequences": True}

if BACKEND == "tensorflow":
    import tensorflow as tf

    def differentiated(layer):
        def run(x, states, mask):
            with tf.GradientTape() as tape:
                tape.watch([x, *states])
                loss, results = loss_of(layer, x, states, mask)
            return results, tape.gradient(loss, [x, *states, *layer.trainable_variables])

        return run

    jitted = functools.partial(tf.function, jit_compile=True, autograph=False)

elif BACKEND == "jax":
    import jax

    def differentiated(layer):
        def run(x, states, mask):
            variables = [*layer.trainable_variables, *layer.non_trainable_variables]

            def call(sources, values):
                x, *states = sources
                rest = [v.value for v in variables[len(values) :]]
                mapping = list(zip(variables, [*values, *rest], strict=True))
                with keras.StatelessScope(state_mapping=mapping) as scope:
                    loss, results = loss_of(layer, x, states, mask)
                return loss, (results, [scope.get_current_value(v) for v in variables])

            weights = [v.value for v in layer.trainable_variables]
            grad = jax.grad(call, argnums=(0, 1), has_aux=True)
            gradients, (results, after) = grad([x, *states], weights)
            for variable, value in zip(variables[len(weights) :], after[len(weights) :]):
                if not isinstance(value, jax.core.Tracer):
                    variable.assign(value)
            return results, [*gradients[0], *gradients[1]]

        return run

    jitted = jax.jit

else:
    import torch

    jitted = None

    def differentiated(layer):
        def run(x, states, mask):
            sources = [value.detach().clone().requires_grad_() for value in (x, *states)]
            loss, results = loss_of(layer, sources[0], sources[1:], mask)
            weights = [variable.value for variable in layer.trainable_variables]
            found = torch.autograd.grad(loss, [*sources, *weights], allow_unused=True)
            return results, [torch.zeros(()) if g is None else g for g in found]

        return run


# Eagerly, JAX compiles each operation by itself, which takes longer than the whole.
USUAL = jitted if BACKEND == "jax" else lambda run: run


def loss_of(layer, x, states, mask):
    """A number that depends on every result of the layer in training, and the results."""
    results = keras.tree.flatten(layer(x, initial_state=states or None, mask=mask, training=True))
    squares = [ops.square(ops.cast(result, "float32") - 0.1) for result in results]
    return sum(ops.sum(square) for square in squares), results


def differentiated_at(layer, x, states, mask=None, wrap=lambda run: run):
    """The results of the layer, and the gradients for x, for the first states and each weight.

    `wrap` may compile the function of `differentiated`.
    """
    tensors = [ops.convert_to_tensor(value) for value in (x, *states)]
    mask = None if mask is None else ops.convert_to_tensor(mask)
    results, gradients = wrap(differentiated(layer))(tensors[0], tensors[1:], mask)
    return [to_numpy(ops.cast(value, "float32")) for value in (*results, *gradients)]


@contextlib.contextmanager
def plain_loops():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Operator, "fallback_reason", lambda *_: "asked for")
        yield


def same(found, expected, bound=1e-5):
    for a, b in zip(found, expected, strict=True):
        assert np.isfinite(b).all()
        largest = max(1, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=bound * largest)


def both(make, x, mask=None, bound=1e-5, scale=0.4, wrap=USUAL):
    """Compares the fast loop with the plain one, each in a new layer with the same weights.

    `wrap` applies to the fast loop; the plain one runs in the quickest way.
    """

    def results(wrap):
        layer = make()
        layer.build(x.shape)
        randomize(layer, scale=scale)
        learned = getattr(layer, "learn_initial_state", False)
        states = [] if learned else first_states(layer, len(x))
        return differentiated_at(layer, x, states, mask, wrap)

    fast = results(wrap)
    with plain_loops():
        plain = results(USUAL)
    same(fast, plain, bound)

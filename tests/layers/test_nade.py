"""The joint output: its probabilities by the definition, its gradients, its samples."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_deep_rnn import NADE
from keras_deep_rnn.layers import nade

UNITS = 8


def layer(**options):
    """A layer whose units depend on each other strongly."""
    normal = keras.initializers.RandomNormal(stddev=1.0, seed=1)
    built = NADE(UNITS, hidden_units=5, unit_initializer=normal, **options)
    built.build([(None, 4), (None, UNITS)])
    return built


def features(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype("float32")


def logits_by_definition(built, y, v):
    """The logits of one vector, unit by unit."""
    Q, b, R, c, W, V = (ops.convert_to_numpy(w).astype("float64") for w in built.weights)
    e, a, logits = y @ Q + b, y @ R + c, []
    for i in range(UNITS):
        logits.append(e[i] + 1 / (1 + np.exp(-a)) @ V[i])
        a = a + v[i] * W[i]
    return np.array(logits)


def log_probabilities(logits, v):
    """log p(v) of vectors, from the logits of their units."""
    logits = ops.convert_to_numpy(logits).astype("float64")
    return -(np.logaddexp(0, logits) - v * logits).sum(axis=-1)


def gradients_of(function, variables):
    """The gradients of a number, on any backend."""
    backend, values = keras.backend.backend(), [variable.value for variable in variables]
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            result = function()
        found = tape.gradient(result, values)
    elif backend == "jax":
        import jax

        def with_values(values):
            with keras.StatelessScope(list(zip(variables, values, strict=True))):
                return function()

        found = jax.jit(jax.grad(with_values))(values)
    else:
        import torch

        found = torch.autograd.grad(function(), values)
    return [ops.convert_to_numpy(gradient) for gradient in found]


def every_vector():
    return np.array(list(itertools.product([0, 1], repeat=UNITS)), "float32")


def test_equals_the_definition_and_is_a_distribution():
    built, v, y = layer(), every_vector(), features(1)
    logits = built([np.repeat(y, len(v), axis=0), v])
    expected = np.array([logits_by_definition(built, y[0], each) for each in v])
    np.testing.assert_allclose(ops.convert_to_numpy(logits), expected, rtol=1e-4, atol=1e-5)
    logs = log_probabilities(logits, v)
    np.testing.assert_allclose(np.exp(logs).sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(logs, log_probabilities(expected, v), rtol=1e-5)


@pytest.mark.parametrize("rows", [4, 11])
def test_chunks_change_nothing(rows, monkeypatch):
    monkeypatch.setattr(nade, "CHUNK", 4)
    built, y = layer(), features(rows)
    random = np.random.default_rng(1)
    v = (random.random((rows, UNITS)) < 0.4).astype("float32")
    weights = ops.convert_to_tensor(random.normal(size=(rows, UNITS)).astype("float32"))

    def plain():
        e, d, kernels = built._conditions(ops.convert_to_tensor(y))
        return nade._plain(e, d, ops.convert_to_tensor(v), *kernels)[0]

    found, expected = (
        gradients_of(lambda f=f: ops.sum(f() * weights), built.trainable_variables)
        for f in (lambda: built([y, v]), plain)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    shaped = [y.reshape(1, rows, 4), v.reshape(1, rows, UNITS)]
    by_time = ops.convert_to_numpy(built(shaped))
    np.testing.assert_allclose(by_time[0], ops.convert_to_numpy(plain()), rtol=1e-5, atol=1e-6)


def test_samples_have_the_probabilities():
    built, y, times = layer(), features(1), 20_000
    noise = np.random.default_rng(2).logistic(size=(times, UNITS)).astype("float32")
    samples = ops.convert_to_numpy(built.sample(np.repeat(y, times, axis=0), noise))
    assert set(np.unique(samples)) == {0, 1}
    numbers = samples @ 2 ** np.arange(UNITS)[::-1]
    v = every_vector()
    expected = np.exp(log_probabilities(built([np.repeat(y, len(v), axis=0), v]), v))
    found = np.bincount(numbers.astype(int), minlength=len(v)) / times
    spread = np.sqrt(expected * (1 - expected) / times)
    assert np.all(np.abs(found - expected) < 5 * spread + 1e-4)


def test_temperature():
    """At 0 each unit takes its likelier value; noise of one row is not that of another."""
    built, y = layer(), features(3)
    noise = np.random.default_rng(2).logistic(size=(3, UNITS)).astype("float32")
    likeliest = ops.convert_to_numpy(built.sample(y, noise, temperature=0))
    logits = ops.convert_to_numpy(built([y, likeliest]))
    np.testing.assert_array_equal(likeliest, logits > 0)
    each = [ops.convert_to_numpy(built.sample(y[i : i + 1], noise[i : i + 1])) for i in range(3)]
    together = built.sample(y, noise, temperature=np.ones(3, "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(together), np.concatenate(each))


def test_half_precision_keeps_float32():
    built = layer(dtype="mixed_bfloat16")
    y, v = features(5), np.zeros((5, UNITS), "float32")
    assert keras.backend.standardize_dtype(built([y, v]).dtype) == "float32"
    spec = built([keras.Input((None, 4)), keras.Input((None, UNITS))])
    assert (spec.shape, spec.dtype) == ((None, None, UNITS), "float32")


def test_saved_with_the_model(tmp_path):
    y, v = keras.Input((None, 4)), keras.Input((None, UNITS))
    model = keras.Model([y, v], layer(bias_initializer=keras.initializers.Constant(-3))([y, v]))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    inputs = [features(6).reshape(2, 3, 4), np.ones((2, 3, UNITS), "float32")]
    np.testing.assert_allclose(copy.predict_on_batch(inputs), model.predict_on_batch(inputs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive integer, got 0"),
        ({"units": 3, "hidden_units": 1.5}, "`hidden_units` must be a positive integer, got 1.5"),
        ({"units": 3, "unit_initializer": "nromal"}, "`unit_initializer`"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        NADE(**arguments)

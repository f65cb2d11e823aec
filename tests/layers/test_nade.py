"""The joint output: its probabilities by the definition, its gradients, its samples."""

import itertools
import os
import subprocess
import sys

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


def of(built, y, times=1):
    """The parameters of features y, that many of each."""
    return built.parameters(np.repeat(y, times, axis=0))


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
    found = built.log_prob(of(built, y, len(v)), v)
    np.testing.assert_allclose(ops.convert_to_numpy(found), logs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ones", [0, 0.4, 1])
def test_by_the_number_of_ones(ones):
    """Also of numbers other than 0 and 1, such as the expectation of v."""
    built, rows = layer(), 11
    y, random = features(rows), np.random.default_rng(1)
    v = ((random.random((rows, UNITS)) < ones) * (1 + random.random((rows, UNITS)))).astype(
        "float32"
    )
    weights = ops.convert_to_tensor(random.normal(size=(rows, UNITS)).astype("float32"))

    def plain():
        e, d, kernels = built._conditions(of(built, y))
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
    samples = ops.convert_to_numpy(built.sample(of(built, y, times), noise))
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
    likeliest = ops.convert_to_numpy(built.sample(of(built, y), noise, temperature=0))
    logits = ops.convert_to_numpy(built([y, likeliest]))
    np.testing.assert_array_equal(likeliest, logits > 0)
    rows = [slice(i, i + 1) for i in range(3)]
    each = [ops.convert_to_numpy(built.sample(of(built, y[i]), noise[i])) for i in rows]
    together = built.sample(of(built, y), noise, temperature=np.ones(3, "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(together), np.concatenate(each))


def test_half_precision_keeps_float32():
    built = layer(dtype="mixed_bfloat16")
    y, v = features(5), np.zeros((5, UNITS), "float32")
    assert keras.backend.standardize_dtype(built([y, v]).dtype) == "float32"
    # Only the parameters are in 16 bits.
    whole = layer()
    whole.set_weights([ops.convert_to_numpy(weight) for weight in built.weights])
    expected = whole.conditional_logits(built.parameters(y), v)
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (built([y, v]), expected)), atol=1e-6)
    spec = built([keras.Input((None, 4)), keras.Input((None, UNITS))])
    assert (spec.shape, spec.dtype) == ((None, None, UNITS), "float32")


def test_every_weight_starts_by_itself():
    """With one initializer for both, W would equal V."""
    for options in ({}, {"unit_initializer": keras.initializers.RandomNormal(0, 0.05, seed=1)}):
        built = NADE(60, hidden_units=60, **options)
        built.build([(None, 60), (None, 60)])
        kernel, _, hidden_kernel, _, W, V = map(ops.convert_to_numpy, built.weights)
        for one, other in ((kernel, hidden_kernel), (W, V)):
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1
        assert W.std() == pytest.approx(0.05, rel=0.1)


def test_mask_is_that_of_the_features():
    x, v = keras.Input((None, 4)), keras.Input((None, UNITS))
    model = keras.Model([x, v], layer()([keras.layers.Masking()(x), v]))
    y = features(6).reshape(2, 3, 4)
    y[1, 2] = 0
    mask = model([y, np.zeros((2, 3, UNITS), "float32")])._keras_mask
    np.testing.assert_array_equal(
        ops.convert_to_numpy(mask), [[True, True, True], [True, True, False]]
    )


MEMORY = """
import keras, numpy as np
from keras_deep_rnn import NADE
from keras_deep_rnn.training.metrics import FrameLoss
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
inputs = keras.Input((None, 8)), keras.Input((None, 88))
model = keras.Model(inputs, NADE(88, 128)(list(inputs)))
model.compile("sgd", FrameLoss())
def train(frames):
    y, v = np.ones((1, frames, 8), "float32"), np.ones((1, frames, 88), "float32")
    model.train_on_batch([y, v], v)
train(8)
before = peak()
train(4096)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.process
def test_memory():
    """88 * 128 numbers for each of 4096 frames would take 185 MB, several times."""
    # Else freed memory stays with the process, in some runs and not in others.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", MEMORY]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(run.stdout.splitlines()[-1]) < 150


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


def test_bad_inputs():
    y, v = features(3), np.zeros((3, UNITS), "float32")
    with pytest.raises(ValueError, match=r"`inputs\[1\]` must have 9 units, got 8"):
        NADE(9)([y, v])
    with pytest.raises(ValueError, match=r"`inputs` must be the list \[y, v\], got one tensor"):
        NADE(UNITS)(y)

"""Draws follow the model's probabilities, and a row's depend on its own seed and step alone."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import tensorflow as tf
from scipy import stats

from keras_deep_rnn.export.model.sampling import draw_frame, draw_tokens, uniform

# A test that holds in all but one of a million worlds, and whose seeds are fixed.
UNLIKELY = 1e-6
SEEDS = np.arange(-20_000, 20_000, dtype="int32")
LOGITS = np.array([0.3, -1.2, 2.0, 0.0, -4.0], "float32")


def test_uniform():
    u = uniform(tf.constant(SEEDS), tf.constant(3), 5).numpy()
    assert u.shape == (len(SEEDS), 5)
    assert u.min() > 0
    assert u.max() < 1
    for unit in range(5):
        assert stats.kstest(u[:, unit], "uniform").pvalue > UNLIKELY
    assert stats.kstest(u[7], u[8]).pvalue > UNLIKELY


@pytest.mark.parametrize("way", ["units", "steps", "seeds"])
def test_neighbours_are_not_correlated(way):
    seeds = tf.constant(SEEDS)
    u = uniform(seeds, tf.constant(3), 2).numpy()
    other = {
        "units": u[:, 1],
        "steps": uniform(seeds, tf.constant(4), 1).numpy()[:, 0],
        "seeds": uniform(seeds + 1, tf.constant(3), 1).numpy()[:, 0],
    }[way]
    assert stats.pearsonr(u[:, 0], other).pvalue > UNLIKELY
    table = np.histogram2d(u[:, 0], other, bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.ravel()).pvalue > UNLIKELY


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_follow_the_softmax(temperature):
    rows = len(SEEDS)
    drawn = draw_tokens(
        tf.tile(LOGITS[None], (rows, 1)), tf.fill((rows,), temperature), SEEDS, tf.constant(5)
    ).numpy()
    expected = rows * tf.nn.softmax(LOGITS / temperature).numpy().astype("float64")
    expected *= rows / expected.sum()
    found = np.bincount(drawn, minlength=5)
    assert stats.chisquare(found, expected).pvalue > UNLIKELY
    assert stats.chisquare(found, np.full(5, rows / 5)).pvalue < UNLIKELY


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_keys_follow_the_sigmoid(temperature):
    rows = len(SEEDS)
    drawn = draw_frame(
        tf.tile(LOGITS[None], (rows, 1)), tf.fill((rows,), temperature), SEEDS, tf.constant(5)
    ).numpy()
    for key, probability in enumerate(1 / (1 + np.exp(-LOGITS.astype("float64") / temperature))):
        assert stats.binomtest(int(drawn[:, key].sum()), rows, probability).pvalue > UNLIKELY


def test_temperature_0_takes_the_likely():
    logits = np.random.default_rng(0).normal(size=(50, 7)).astype("float32")
    zero, seeds = np.zeros(50, "float32"), np.arange(50, dtype="int32")
    tokens = draw_tokens(logits, tf.constant(zero), tf.constant(seeds), tf.constant(0))
    np.testing.assert_array_equal(tokens, logits.argmax(-1))
    frames = draw_frame(logits, tf.constant(zero), tf.constant(seeds), tf.constant(0))
    np.testing.assert_array_equal(frames, logits > 0)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("draw", [draw_tokens, draw_frame])
def test_compiled_or_not_alone_or_beside_others(draw, jit_compile):
    logits = np.random.default_rng(0).normal(size=(20, 9)).astype("float32")
    warm, seeds = np.ones(20, "float32"), np.arange(20, dtype="int32")
    expected = draw(tf.constant(logits), tf.constant(warm), tf.constant(seeds), tf.constant(2))
    compiled = tf.function(draw, jit_compile=jit_compile, autograph=False)
    given = [tf.constant(a) for a in (logits, warm, seeds, 2)]
    np.testing.assert_array_equal(compiled(*given), expected)
    alone = [compiled(*(g[i : i + 1] for g in given[:3]), given[3]) for i in range(20)]
    np.testing.assert_array_equal(np.concatenate(alone), expected)

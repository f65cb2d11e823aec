"""Fast dropout against drawn dropout, against exact averages, and against the plain network."""

import math

import keras
import numpy as np
import pytest
from descriptors import randomize, sequences, to_numpy
from scipy import integrate, special

import keras_deep_rnn as kdr
from keras_deep_rnn import build_network
from keras_deep_rnn.layers.fast_dropout import activated_moments, affine_moments
from keras_deep_rnn.utils.errors import UserError

PHI = {
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "relu": lambda z: np.maximum(z, 0),
    "linear": lambda z: z,
}


def layer(units=5, **options):
    return kdr.FastDropoutRNN(units, return_sequences=True, return_state_sequences=True, **options)


@pytest.mark.parametrize(
    ("activation", "error"), [("tanh", 0.03), ("sigmoid", 1e-3), ("relu", 1e-5), ("linear", 1e-5)]
)
@pytest.mark.parametrize(("mean", "variance"), [(0.3, 0.04), (-0.8, 0.5), (1.5, 1.0), (0.0, 2.0)])
def test_moments_of_an_activation(activation, error, mean, variance):
    """The integrals that the closed form and the nine nodes stand for."""
    phi = PHI[activation]

    def average(function):
        def density(a):
            return math.exp(-((a - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

        wide = 10 * math.sqrt(variance)
        return integrate.quad(lambda a: function(a) * density(a), mean - wide, mean + wide)[0]

    first = average(phi)
    second = average(lambda a: (phi(a) - first) ** 2)
    got = activated_moments(
        keras.activations.get(activation),
        keras.ops.array([mean], "float32"),
        keras.ops.array([variance], "float32"),
    )
    np.testing.assert_allclose([float(g[0]) for g in got], [first, second], atol=error)


def test_affine_moments_are_exact():
    """Over all 2^4 ways to drop four units."""
    rng = np.random.default_rng(0)
    x, kernel, rate = rng.normal(size=(1, 4)), rng.normal(size=(4, 3)), 0.3
    sums, chances = [], []
    for code in range(16):
        keep_mask = np.array([code >> i & 1 for i in range(4)])
        sums.append((keep_mask * x[0]) @ kernel)
        chances.append(np.prod(np.where(keep_mask, 1 - rate, rate)))
    mean = np.average(sums, axis=0, weights=chances)
    variance = np.average((np.array(sums) - mean) ** 2, axis=0, weights=chances)
    got = affine_moments(*(keras.ops.array(a, "float32") for a in (x, 0 * x)), rate, kernel)
    np.testing.assert_allclose(to_numpy(got[0])[0], mean, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(got[1])[0], variance, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_against_drawn_dropout(activation):
    """Means and variances of h(t) over many runs with units of x and h dropped at each step."""
    units, features, steps, draws = 60, 40, 5, 20_000
    rng = np.random.default_rng(1)
    x = rng.normal(size=(steps, features))
    own = layer(units, dropout=0.3, recurrent_dropout=0.4, activation=activation)
    own.build((1, steps, features))
    U = rng.normal(size=(features, units)) / features**0.5
    W = rng.normal(size=(units, units)) / units**0.5
    b = rng.normal(size=units) * 0.2
    own.set_weights([w.astype("float32") for w in (U, W, b)])
    _, mean, variance = (to_numpy(part)[0] for part in own(x[None].astype("float32")))
    h = np.zeros((draws, units))
    for t in range(steps):
        mask_x, mask_h = rng.random((draws, features)) >= 0.3, rng.random(h.shape) >= 0.4
        h = PHI[activation]((mask_x * x[t]) @ U + (mask_h * h) @ W + b)
        # Left over: the sum is not quite Gaussian, and units depend on each other a little.
        assert np.abs(h.mean(0) - mean[t]).mean() < 0.01
        assert np.abs(h.mean(0) - mean[t]).max() < 0.06
        ratio = variance[t].sum() / h.var(0).sum()
        assert 0.93 < ratio < 1.07, (t, ratio)
    assert np.abs(h.mean(0)).mean() > 0.2  # so that 0.01 says something


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_without_dropout_it_is_the_plain_network(activation):
    x = sequences(steps=8)
    own = layer(activation=activation)
    plain = kdr.DeepTransitionRNN(5, activation=activation, return_sequences=True)
    own.build(x.shape), plain.build(x.shape)
    randomize(own)
    plain.set_weights(own.get_weights())
    y, mean, variance = own(x)
    np.testing.assert_allclose(to_numpy(y), to_numpy(plain(x)), atol=1e-4)
    np.testing.assert_array_equal(to_numpy(y), to_numpy(mean))
    assert to_numpy(variance).max() < 1e-5


def test_dense_gives_the_average_of_the_sigmoid():
    dense = kdr.FastDropoutDense(3, rate=0.5)
    rng = np.random.default_rng(2)
    mean, variance = rng.normal(size=(4, 30)), rng.random((4, 30)) * 0.1
    inputs = [a.astype("float32") for a in (mean, variance)]
    dense(inputs)
    randomize(dense, scale=0.3)
    kernel, bias = dense.get_weights()
    h = mean + np.sqrt(variance) * rng.normal(size=(40_000, 4, 30))
    drawn = special.expit((h * (rng.random(h.shape) < 0.5)) @ kernel + bias).mean(0)
    np.testing.assert_allclose(special.expit(to_numpy(dense(inputs))), drawn, atol=0.02)
    plain = kdr.FastDropoutDense(3)
    plain.build([a.shape for a in inputs])
    plain.set_weights([kernel, bias])
    logits = to_numpy(plain([inputs[0], 0 * inputs[1]]))
    np.testing.assert_allclose(logits, mean @ kernel + bias, atol=1e-5)


def test_layer_and_keras_rnn_agree_with_masks_and_in_training():
    x, options = sequences(), {"dropout": 0.2, "recurrent_dropout": 0.4}
    mask = np.array([[1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 0, 1]], bool)
    own = kdr.FastDropoutRNN(5, return_sequences=True, return_state=True, **options)
    rnn = keras.layers.RNN(
        kdr.FastDropoutRNNCell(5, **options), return_sequences=True, return_state=True
    )
    own.build(x.shape), rnn.build(x.shape)
    randomize(own)
    rnn.cell.set_weights(own.get_weights())
    for training in (False, True):
        for got, expected in zip(
            own(x, mask=mask, training=training), rnn(x, mask=mask, training=training), strict=True
        ):
            np.testing.assert_allclose(to_numpy(got), to_numpy(expected), atol=1e-5)
    assert own.recurrence == "fast"


def test_configuration_and_file(tmp_path):
    model = build_network(
        "fast_dropout_rnn", kind="piano_roll", features=7, units=4, dropout=0.1,
        recurrent_dropout=0.2, output_dropout=0.5, activation="sigmoid",
    )  # fmt: skip
    x = sequences(features=7)
    recurrent, output = model.get_layer("recurrent"), model.get_layer("output")
    assert (recurrent.dropout, recurrent.recurrent_dropout, output.rate) == (0.1, 0.2, 0.5)
    again = kdr.FastDropoutRNN.from_config(recurrent.get_config())
    assert again.get_config() == recurrent.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded({"x": x})), to_numpy(model({"x": x})))
    # Nothing is drawn: training gives what inference gives.
    np.testing.assert_array_equal(
        to_numpy(model({"x": x}, training=True)), to_numpy(model({"x": x}))
    )


@pytest.mark.slow
def test_gradients_are_finite_where_variances_vanish():
    """At the first step of a silent beginning every variance is 0."""
    model = build_network(
        "fast_dropout_rnn", kind="piano_roll", features=7, units=4, dropout=0.1,
        recurrent_dropout=0.2, output_dropout=0.5,
    )  # fmt: skip
    x = np.zeros((2, 5, 7), "float32")
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit({"x": x}, x, epochs=2, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: kdr.FastDropoutRNN(0), "`units` must be a positive integer"),
        (lambda: kdr.FastDropoutRNN(3, dropout=1.0), "`dropout` must be a number"),
        (lambda: kdr.FastDropoutRNN(3, activation=kdr.LpUnit()), "`activation` must be a function"),
        (lambda: kdr.FastDropoutRNN(3, normalization="layer"), "`normalization` must be None"),
        (lambda: kdr.FastDropoutRNN(3, num_tokens=7), "`num_tokens` must be None"),
        (lambda: kdr.FastDropoutDense(3, rate=2), "`rate` must be a number"),
        (lambda: kdr.FastDropoutDense(3, bias_regularizer="foo"), "`bias_regularizer` must be"),
        (lambda: kdr.FastDropoutRNN(3, transition_units=(3,)), "is no argument of FastDropoutRNN"),
    ],
)
def test_mistakes(make, error):
    with pytest.raises(UserError, match=error):
        make()

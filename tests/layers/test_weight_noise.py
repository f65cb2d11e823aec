import keras
import numpy as np
import pytest

from keras_deep_rnn.layers import WeightNoise


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def rnn(**arguments):
    return keras.layers.SimpleRNN(5, bias_initializer="ones", **arguments)


def twin(wrapper, seed):
    """A copy of the wrapped layer that owns the kernels which the wrapper's first draw makes."""
    generator = keras.random.SeedGenerator(seed)
    copy = type(wrapper.layer).from_config(wrapper.layer.get_config())
    copy.build(wrapper.build_shape)
    copy.set_weights(
        [
            weight
            if weight.ndim < 2
            else weight + wrapper.stddev * numpy(keras.random.normal(weight.shape, seed=generator))
            for weight in wrapper.layer.get_weights()
        ]
    )
    return copy


def wrapped(layer, shape=(2, 7, 3), stddev=0.1, seed=4):
    noise = WeightNoise(layer, stddev=stddev, seed=seed)
    noise.build(shape)
    noise.build_shape = shape
    return noise


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 7, 3)).astype("float32")


def test_training_uses_noisy_kernels_and_clean_biases(x):
    noise = wrapped(rnn(return_sequences=True))
    before = noise.layer.get_weights()
    noisy = twin(noise, seed=4)
    np.testing.assert_allclose(numpy(noise(x, training=True)), numpy(noisy(x)), atol=1e-6)
    for old, new in zip(before, noise.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_inference_is_the_layer_itself(x):
    noise = wrapped(rnn())
    np.testing.assert_array_equal(numpy(noise(x)), numpy(noise.layer(x)))
    np.testing.assert_array_equal(numpy(noise(x, training=False)), numpy(noise.layer(x)))


def test_state_mask_and_returned_states(x):
    noise = wrapped(rnn(return_sequences=True, return_state=True))
    noisy = twin(noise, seed=4)
    arguments = {
        "initial_state": keras.ops.ones((2, 5)),
        "mask": keras.ops.convert_to_tensor(np.arange(7) < np.array([[7], [4]])),
    }
    results = noise(x, training=True, **arguments)
    for result, expected in zip(results, noisy(x, **arguments), strict=True):
        np.testing.assert_allclose(numpy(result), numpy(expected), atol=1e-6)
    results = noise(x, **arguments)
    for result, expected in zip(results, noise.layer(x, **arguments), strict=True):
        np.testing.assert_array_equal(numpy(result), numpy(expected))


def test_mask_of_an_earlier_layer_reaches_the_wrapped_layer_and_goes_on(x):
    x = x.copy()
    x[1, 4:] = 0
    noise = wrapped(rnn(return_sequences=True), stddev=0.1)
    noisy = twin(noise, seed=4)
    masked = keras.layers.Masking()(x)
    expected = noisy(x, mask=keras.ops.convert_to_tensor((x != 0).any(-1)))
    np.testing.assert_allclose(numpy(noise(masked, training=True)), numpy(expected), atol=1e-6)
    model = keras.Sequential(
        [keras.Input((7, 3)), keras.layers.Masking(), noise, keras.layers.SimpleRNN(2)]
    )
    np.testing.assert_allclose(numpy(model(x))[1], numpy(model(x[1:, :4]))[0], atol=1e-6)


def test_fresh_for_every_batch_and_reproducible_from_the_seed(x):
    def draws(seed):
        keras.utils.set_random_seed(0)
        noise = wrapped(rnn(), seed=seed)
        return [numpy(noise(x, training=True)) for _ in range(3)]

    first = draws(1)
    np.testing.assert_array_equal(first, draws(1))
    assert (first[0] != first[1]).all()
    assert (first[1] != first[2]).all()
    assert (first[0] != draws(2)[0]).all()


def test_deviation():
    noise = wrapped(
        keras.layers.Dense(200, kernel_initializer="zeros", bias_initializer="ones"),
        shape=(None, 200),
        stddev=0.075,
    )
    values = numpy(noise(np.eye(200, dtype="float32"), training=True)) - 1
    np.testing.assert_allclose(values.std(), 0.075, rtol=0.02)
    np.testing.assert_allclose(values.mean(), 0, atol=0.002)


@pytest.mark.slow
def test_update_is_the_gradient_at_the_noisy_weights(x):
    noise = wrapped(rnn(), shape=(None, 7, 3))
    noisy = twin(noise, seed=4)
    updates = []
    for layer, owner in ((noise, noise.layer), (noisy, noisy)):
        model = keras.Sequential([keras.Input((7, 3)), layer])
        model.compile(keras.optimizers.SGD(1.0), "mse")
        before = owner.get_weights()
        model.train_on_batch(x, np.zeros((2, 5), "float32"))
        updates.append([b - a for b, a in zip(before, owner.get_weights(), strict=True)])
    for update, expected in zip(*updates, strict=True):
        np.testing.assert_allclose(update, expected, atol=1e-6)
        assert (update != 0).all()


@pytest.mark.slow
def test_fit_learns_and_draws_for_every_batch(x):
    noise = WeightNoise(rnn(), stddev=0.05, seed=1)
    model = keras.Sequential([keras.Input((7, 3)), noise, keras.layers.Dense(1)])
    x = np.tile(x, (8, 1, 1))
    y = x[:, -1, :1]
    model.compile(keras.optimizers.Adam(0.02), "mse")
    history = model.fit(x, y, batch_size=4, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    assert model.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    losses = {float(model.train_on_batch(x, y)) for _ in range(4)}
    assert len(losses) == 4


def test_variables_that_the_layer_updates(x):
    """Seeds of dropout, moving averages and carried states go on as without the wrapper."""
    dropout = wrapped(keras.layers.Dropout(0.5, seed=2))
    plain = keras.layers.Dropout(0.5, seed=2)
    for _ in range(3):
        np.testing.assert_array_equal(
            numpy(dropout(x, training=True)), numpy(plain(x, training=True))
        )

    average = wrapped(keras.layers.BatchNormalization())
    plain = keras.layers.BatchNormalization()
    average(x, training=True)
    plain(x, training=True)
    for found, expected in zip(average.layer.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)

    carried = wrapped(rnn(stateful=True), stddev=1e-8)
    first = numpy(carried(x, training=True))
    second = numpy(carried(x, training=True))
    assert (first != second).any()
    np.testing.assert_allclose(
        second, numpy(carried.layer(x, initial_state=keras.ops.convert_to_tensor(first))), atol=1e-5
    )
    carried.reset_state()
    np.testing.assert_allclose(numpy(carried(x, training=True)), first, atol=1e-5)


def test_losses_of_the_layer(x):
    """Those on activities come from the noisy weights, those on weights from the clean ones."""
    noise = wrapped(keras.layers.Dense(4, activity_regularizer="l2"))
    noisy = twin(noise, seed=4)
    noise(x, training=True)
    noisy(x)
    (loss,), (expected,) = noise.losses, noisy.losses
    np.testing.assert_allclose(numpy(loss), numpy(expected), rtol=1e-5)

    noise = wrapped(keras.layers.Dense(4, kernel_regularizer="l1"))
    noise(x, training=True)
    (loss,) = noise.losses
    expected = 0.01 * np.abs(noise.layer.get_weights()[0]).sum()
    np.testing.assert_allclose(numpy(loss), expected, rtol=1e-5)


def test_mixed_precision_keeps_noise_in_full_precision(x):
    noise = wrapped(rnn(dtype="mixed_float16"), stddev=1e-6)
    model = keras.Sequential([keras.Input((7, 3)), noise, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert model.layers[0].compute_dtype == "float32"
    assert keras.backend.standardize_dtype(noise(x, training=True).dtype) == "float16"
    assert np.isfinite(model.train_on_batch(x, np.zeros((2, 1), "float32")))


def test_saved_and_loaded(x, tmp_path):
    noise = WeightNoise(rnn(), stddev=0.3, seed=9, name="noisy")
    model = keras.Sequential([keras.Input((7, 3)), noise])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.layers[0].get_config()
    assert (config["name"], config["stddev"], config["seed"]) == ("noisy", 0.3, 9)
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))
    np.testing.assert_array_equal(numpy(loaded(x, training=True)), numpy(model(x, training=True)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stddev": -0.1}, "`stddev` must be a finite number of at least 0, got -0.1"),
        ({"stddev": float("nan")}, "`stddev` must be a finite number of at least 0, got nan"),
        ({"seed": "1"}, "`seed` must be an integer .* or None, got '1'"),
        ({"layer": "rnn"}, "`layer` must be a Keras layer, got 'rnn'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WeightNoise(**{"layer": rnn(), **arguments})

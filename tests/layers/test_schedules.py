import keras
import numpy as np
import pytest

from keras_deep_rnn.layers import HoldCosineDecay, InverseDecay


def test_equals_the_formula():
    schedule = InverseDecay(initial_learning_rate=0.3, start=20, beta=7.0)
    for step in (0, 1, 19, 20, 21, 27, 1000, 10**6):
        expected = 0.3 / (1 + max(0, step - 20) / 7)
        np.testing.assert_allclose(float(schedule(step)), expected, rtol=1e-6)


def test_drives_an_optimizer():
    """With a gradient of 1 the weight falls by the rate of each update."""
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    schedule = InverseDecay(0.5, start=1, beta=2.0)
    model.compile(keras.optimizers.SGD(schedule), loss=lambda y_true, y_pred: y_pred)
    weights = [0.0]
    for _ in range(4):
        model.train_on_batch(np.ones((1, 1), "float32"), np.ones((1, 1), "float32"))
        weights.append(model.get_weights()[0].item())
    np.testing.assert_allclose(-np.diff(weights), [0.5, 0.5, 0.5 / 1.5, 0.25], rtol=1e-5)


def test_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(InverseDecay(0.5, start=3, beta=9.0)), "mse")
    model.save(tmp_path / "model.keras")
    config = keras.saving.load_model(tmp_path / "model.keras").optimizer.get_config()
    assert config["learning_rate"]["config"] == {
        "initial_learning_rate": 0.5,
        "start": 3.0,
        "beta": 9.0,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_learning_rate": 0}, "`initial_learning_rate` must be a finite number above 0"),
        ({"start": -1}, "`start` must be a finite number of at least 0, got -1"),
        ({"beta": 0.0}, "`beta` must be a finite number above 0, got 0.0"),
        ({"beta": "10"}, "`beta` must be a finite number above 0, got '10'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        InverseDecay(**arguments)


@pytest.mark.parametrize("warmup", [0, 5])
def test_without_holding_it_is_the_cosine_of_keras(warmup):
    ours = HoldCosineDecay(0.3, steps=25, warmup_steps=warmup)
    start, target = (0.0, 0.3) if warmup else (0.3, None)
    theirs = keras.optimizers.schedules.CosineDecay(
        start, 25 - warmup, warmup_target=target, warmup_steps=warmup
    )
    for step in range(30):
        np.testing.assert_allclose(float(ours(step)), float(theirs(step)), rtol=1e-5, atol=1e-8)


def test_the_rate_is_held_then_falls():
    rates = [float(HoldCosineDecay(0.2, 30, hold=0.8, warmup_steps=10)(n)) for n in range(31)]
    np.testing.assert_allclose(rates[:10], 0.02 * np.arange(10), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(rates[10:27], 0.2, rtol=1e-6)
    falling = 0.1 * (1 + np.cos(np.pi * np.arange(5) / 4))
    np.testing.assert_allclose(rates[26:], falling, rtol=1e-5, atol=1e-8)
    held = HoldCosineDecay(0.2, 30, hold=1)
    np.testing.assert_allclose([float(held(n)) for n in (0, 29, 30, 31)], 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_learning_rate": 0}, "`initial_learning_rate` must be a finite number above 0"),
        ({"steps": 0}, "`steps` must be a finite number above 0, got 0"),
        ({"hold": -0.1}, "`hold` must be a finite number of at least 0, got -0.1"),
        ({"hold": 1.1}, "`hold` must be a share, at most 1, got 1.1"),
        ({"warmup_steps": 9}, "`warmup_steps` must be below `steps`, 9, got 9"),
    ],
)
def test_bad_arguments_of_holding(arguments, message):
    with pytest.raises(ValueError, match=message):
        HoldCosineDecay(**{"initial_learning_rate": 0.1, "steps": 9, **arguments})


def test_holding_is_saved():
    schedule = HoldCosineDecay(0.1, 9, hold=0.5, warmup_steps=2)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert copy.get_config() == schedule.get_config()

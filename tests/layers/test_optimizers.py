"""`ClippedMomentum` against its equations in NumPy."""

import keras
import numpy as np
import pytest
from descriptors import to_numpy
from keras import ops

import keras_deep_rnn as kdr

SHAPES = [(2, 3), (4,)]


def reference(weights, gradients, rate, momentum, clipnorm):
    """The weights after each update, and the norms of the velocity."""
    velocity, norms = [np.zeros_like(w) for w in weights], []
    for step, gradient in enumerate(gradients):
        velocity = [momentum * v + g for v, g in zip(velocity, gradient, strict=True)]
        norm = np.sqrt(sum((v**2).sum() for v in velocity))
        if norm > clipnorm:
            velocity = [v * clipnorm / norm for v in velocity]
        norms.append(min(norm, clipnorm))
        weights = [w - rate(step) * v for w, v in zip(weights, velocity, strict=True)]
    return weights, norms


@pytest.fixture
def arrays():
    """Weights, and gradients of growing length: the velocity is clipped from the fourth on."""
    random = np.random.default_rng(0)
    weights = [random.normal(size=shape) for shape in SHAPES]
    gradients = [[0.04 * n * random.normal(size=s) for s in SHAPES] for n in range(1, 9)]
    return weights, gradients


@pytest.mark.parametrize("scheduled", [False, True])
def test_equals_the_equations(arrays, scheduled):
    weights, gradients = arrays
    rate = kdr.InverseDecay(0.5, start=2, beta=3.0)
    optimizer = kdr.ClippedMomentum(rate if scheduled else 0.5, 0.9, velocity_clipnorm=0.6)
    variables = [keras.Variable(w) for w in weights]
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(g, "float32") for g in gradient], variables)
    of_step = (lambda n: float(rate(n))) if scheduled else (lambda n: 0.5)
    expected, norms = reference(weights, gradients, of_step, 0.9, 0.6)
    assert min(norms) < 0.6 == norms[-1]
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(to_numpy(variable.value), value, atol=1e-6)
    stored = np.sqrt(sum((to_numpy(v.value) ** 2).sum() for v in optimizer.velocities))
    assert stored == pytest.approx(0.6, rel=1e-5)


def test_trains_a_model_by_the_equations():
    """The gradient of a linear model is known: x."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(kdr.ClippedMomentum(0.1, 0.9, 1.0), loss=lambda y_true, y: y)
    (start,) = model.get_weights()
    x = np.array([[0.2, -0.1, 0.3], [2.0, 1.0, -1.0]], "float32")
    model.fit(x, np.zeros((2, 1)), batch_size=1, epochs=3, shuffle=False, verbose=0)
    gradients = [[row[:, None]] for row in np.tile(x, (3, 1))]
    (expected,), _ = reference([start], gradients, lambda n: 0.1, 0.9, 1.0)
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-6)


def test_repeated_tokens_share_a_row_of_the_gradient():
    """TensorFlow's gradient of an embedding has a row for each token."""
    tokens = np.array([[1, 1, 2, 1]], "int32")
    trained = []
    for twin in (False, True):
        layer = keras.layers.Embedding(4, 3)
        x = keras.Input((4, 4)) if twin else keras.Input((4,), dtype="int32")
        dense = keras.layers.Dense(3, use_bias=False)
        model = keras.Model(x, dense(x) if twin else layer(x))
        model.set_weights([np.linspace(-1, 1, 12).reshape(4, 3)])
        model.compile(kdr.ClippedMomentum(0.5, 0.9, 0.1), "mse")
        given = np.eye(4, dtype="float32")[tokens] if twin else tokens
        model.fit(given, np.ones((1, 4, 3)), epochs=3, verbose=0)
        trained.append(model.get_weights()[0])
    np.testing.assert_allclose(*trained, atol=1e-6)


def test_a_variable_without_a_gradient_stays():
    optimizer = kdr.ClippedMomentum(1.0, 0.5)
    still, moved = keras.Variable([1.0]), keras.Variable([1.0])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([None, ops.convert_to_tensor([0.25])], [still, moved])
    assert (to_numpy(still.value)[0], to_numpy(moved.value)[0]) == (1.0, 0.75)


def test_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(kdr.ClippedMomentum(0.25, 0.5, 2.0, use_ema=True, ema_momentum=0.9), "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert found.get_config() == model.optimizer.get_config()
    assert found.get_config()["velocity_clipnorm"] == 2.0
    for ours, theirs in zip(model.optimizer.velocities, found.velocities, strict=True):
        assert np.abs(to_numpy(ours.value)).max() > 0
        np.testing.assert_array_equal(to_numpy(ours.value), to_numpy(theirs.value))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` must be a finite number above 0, got 0."),
        ({"momentum": 1}, "`momentum` must be a number of at least 0 and below 1, got 1."),
        ({"velocity_clipnorm": -1}, "`velocity_clipnorm` must be a finite number above 0, got -1."),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kdr.ClippedMomentum(**arguments)

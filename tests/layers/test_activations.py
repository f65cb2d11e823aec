import keras
import numpy as np
import pytest

from keras_deep_rnn.layers import LpUnit, Maxout


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def lp(z, centers, order, pieces):
    """The definition, in float64: z (..., units * pieces), order (units,)."""
    z = np.abs(np.asarray(z, "float64") - centers)
    z = z.reshape(*z.shape[:-1], -1, pieces)
    return (z ** order[:, None]).mean(-1) ** (1 / order)


@pytest.fixture
def z():
    return np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
def test_maxout_takes_the_largest_piece_of_each_unit(z, pieces):
    expected = np.stack(
        [z[..., j * pieces : (j + 1) * pieces].max(-1) for j in range(12 // pieces)], -1
    )
    np.testing.assert_array_equal(numpy(Maxout(pieces)(z)), expected)


@pytest.mark.parametrize("order", [1.001, 1.5, 2.0, 3.0, 40.0])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_lp_unit_equals_its_definition(z, pieces, order):
    layer = LpUnit(pieces, order=order)
    layer.build(z.shape)
    units = 12 // pieces
    np.testing.assert_allclose(numpy(layer.orders()), np.full(units, order), rtol=1e-5)
    centers = np.linspace(-1, 1, 12)
    orders = order + np.linspace(0, 1, units)
    layer.set_weights([np.log(np.expm1(orders - 1)), centers])
    np.testing.assert_allclose(
        numpy(layer(z)), lp(z, centers, orders, pieces), rtol=1e-4, atol=1e-5
    )


def test_lp_unit_keeps_far_magnitudes():
    layer = LpUnit(2, order=8.0)
    small, large = numpy(layer(np.array([[1e-12, 1e-12], [1e12, 1e12]], "float32")))[:, 0]
    np.testing.assert_allclose([small, large], [1e-12, 1e12], rtol=1e-4)


@pytest.mark.parametrize("activation", [Maxout(2), LpUnit(2, order=2.5)], ids=lambda a: a.name)
def test_gradients_agree_with_finite_differences(activation, z):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("float64 needs TensorFlow here")
    import tensorflow as tf

    layer = type(activation).from_config({**activation.get_config(), "dtype": "float64"})
    layer.build(z.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in layer.get_weights()])
    x = tf.Variable(z, dtype="float64")
    direction = rng.normal(size=(2, 5, 6))

    def loss():
        return tf.reduce_sum(layer(x) * direction)

    variables = [x, *(weight.value for weight in layer.trainable_variables)]
    with tf.GradientTape() as tape:
        value = loss()
    for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
        step = 1e-6 * rng.normal(size=variable.shape)
        variable.assign_add(step)
        above = loss()
        variable.assign_sub(2 * step)
        below = loss()
        variable.assign_add(step)
        expected = float(above - below) / 2
        assert expected != 0
        np.testing.assert_allclose(np.sum(gradient * step), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1.01, 2.0, 8.0])
@pytest.mark.parametrize("kernel", ["zeros", "ones"])
def test_lp_unit_trains_from_zero_distance(order, kernel):
    """At |z - c| = 0 the powers have no derivative; the unit must still give finite updates."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, kernel_initializer=kernel),
            LpUnit(3, order=order),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    x = np.concatenate([np.zeros((4, 4)), np.eye(4)]).astype("float32")
    loss = model.train_on_batch(x, np.ones((8, 1), "float32"))
    assert np.isfinite(loss)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_order_and_centers_are_learned():
    model = keras.Sequential([keras.Input((6,)), LpUnit(3)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    model.fit(x, np.ones((16, 2), "float32"), epochs=3, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).all()
    assert (numpy(model.layers[-1].orders()) > 1).all()


def test_half_precision_is_pooled_in_the_precision_of_the_weights():
    z = np.array([[300.0, 400.0]], "float16")
    layer = LpUnit(2, order=4.0, dtype="mixed_float16")
    pooled = layer(z)
    assert keras.backend.standardize_dtype(pooled.dtype) == "float16"
    np.testing.assert_allclose(numpy(pooled), lp(z, 0, np.array([4.0]), 2), rtol=1e-3)


@pytest.mark.parametrize("layer", [Maxout(3), LpUnit(3, order=1.5)], ids=lambda a: a.name)
def test_saved_and_loaded(layer, tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 7, 5)).astype("float32")
    model = keras.Sequential([keras.Input((None, 5)), keras.layers.Dense(6), layer])
    model.set_weights([w + 0.1 for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    assert loaded.output_shape == (None, None, 2)
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))


@pytest.mark.parametrize("pieces", [0, -1, 1.5, "2", True])
def test_pieces_must_be_a_positive_integer(pieces):
    with pytest.raises(ValueError, match="`pieces` must be a positive integer, got"):
        Maxout(pieces)


@pytest.mark.parametrize("order", [1, 1.0, 0.5, float("nan"), float("inf"), "2"])
def test_order_must_be_above_one(order):
    with pytest.raises(ValueError, match="`order` must be a finite number above 1, got"):
        LpUnit(2, order=order)


@pytest.mark.parametrize("unit", [Maxout, LpUnit])
def test_inputs_must_fill_whole_units(unit):
    with pytest.raises(ValueError, match="a multiple of 2 pieces, got 5"):
        unit(2)(np.zeros((1, 5), "float32"))

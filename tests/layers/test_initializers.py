import keras
import numpy as np
import pytest

from keras_deep_rnn.layers import SparseInitializer


def kernel(*shape, dtype=None, **arguments):
    return keras.ops.convert_to_numpy(SparseInitializer(**arguments)(shape, dtype=dtype))


@pytest.mark.parametrize("shape", [(40, 40), (40, 70), (90, 20)])
@pytest.mark.parametrize("nonzeros", [1, 15])
def test_every_unit_has_the_same_number_of_incoming_weights(shape, nonzeros):
    values = kernel(*shape, nonzeros=nonzeros, seed=3)
    assert values.shape == shape
    assert ((values != 0).sum(axis=0) == nonzeros).all()
    assert (values != 0).any(axis=1).sum() > min(shape[0], shape[1] * nonzeros) // 3


def test_few_inputs_are_all_connected():
    assert (kernel(5, 9, nonzeros=15, seed=0) != 0).all()


@pytest.mark.parametrize("singular_value", [0.5, 1.0, 2.0])
def test_largest_singular_value(singular_value):
    values = kernel(30, 50, singular_value=singular_value, seed=0)
    np.testing.assert_allclose(np.linalg.svd(values)[1].max(), singular_value, rtol=1e-5)


def test_without_scaling_the_columns_have_norm_one():
    values = kernel(30, 50, singular_value=None, seed=0)
    np.testing.assert_allclose(np.linalg.norm(values, axis=0), np.ones(50), rtol=1e-5)


def test_seed():
    np.testing.assert_array_equal(kernel(20, 20, seed=1), kernel(20, 20, seed=1))
    assert (kernel(20, 20, seed=1) != kernel(20, 20, seed=2)).any()
    assert (kernel(20, 20) != kernel(20, 20)).any()
    keras.utils.set_random_seed(5)
    first = kernel(20, 20)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(first, kernel(20, 20))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype(dtype):
    values = SparseInitializer(seed=0)((20, 20), dtype=dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype


def test_in_a_layer_saved_and_loaded(tmp_path):
    initializer = SparseInitializer(nonzeros=4, singular_value=0.9, seed=7)
    layer = keras.layers.SimpleRNN(8, recurrent_initializer=initializer)
    model = keras.Sequential([keras.Input((None, 3)), layer])
    np.testing.assert_array_equal(
        layer.get_weights()[1], kernel(8, 8, nonzeros=4, singular_value=0.9, seed=7)
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert loaded.recurrent_initializer.get_config() == initializer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonzeros": 0}, "`nonzeros` must be a positive integer, got 0"),
        ({"singular_value": 0}, "`singular_value` must be a finite number above 0, got 0"),
        ({"singular_value": "1"}, "`singular_value` must be a finite number above 0, got '1'"),
        ({"seed": 1.5}, "`seed` must be an integer .* or None, got 1.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparseInitializer(**arguments)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match=r"`shape` must be \(inputs, units\), got"):
        SparseInitializer()(shape)

"""Every weight is tracked by Keras, TensorFlow and PyTorch under a unique path."""

import pathlib

import keras
import numpy as np
import pytest
from descriptors import EVERY, D, randomize, sequences, to_numpy

import keras_deep_rnn as kdr

BACKEND = keras.backend.backend()
FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"


def model_of(network, seed):
    layer = network.make_layer(name="recurrent", jit_compile=False)
    dense = keras.layers.Dense(2, name="dense")
    model = keras.Sequential([keras.Input((None, D)), layer, dense], name="model")
    randomize(model, seed)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_paths_are_unique_and_the_same_in_two_equal_models(network):
    first, second = model_of(network, 1), model_of(network, 2)
    paths = [weight.path for weight in first.weights]
    assert len({*paths}) == len(paths)
    if network.name not in ("operators", "gated_stack"):  # of which the user makes the parts
        assert paths == [weight.path for weight in second.weights]


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_h5_and_state_tree(network, tmp_path):
    first, second = model_of(network, 1), model_of(network, 2)
    x = sequences()
    expected = to_numpy(first(x))
    first.save_weights(tmp_path / "m.weights.h5")
    second.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(to_numpy(second(x)), expected)
    if [w.path for w in first.weights] == [w.path for w in second.weights]:
        third = model_of(network, 3)
        first.compile("sgd", "mse")
        third.compile("sgd", "mse")
        third.set_state_tree(first.get_state_tree())
        np.testing.assert_array_equal(to_numpy(third(x)), expected)


def test_whole_model_in_h5(tmp_path):
    inputs = keras.Input((6, D))
    model = keras.Model(inputs, kdr.DeepInputRNN(5, input_units=(6,))(inputs))
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(to_numpy(loaded(sequences())), to_numpy(model(sequences())))


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="is TensorFlow's own")
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_tensorflow_saves_every_weight(network, tmp_path):
    import tensorflow as tf

    first, second = model_of(network, 1), model_of(network, 2)
    x = sequences()
    expected = to_numpy(first(x))
    path = tf.train.Checkpoint(model=first).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=second).restore(path).assert_consumed()
    np.testing.assert_array_equal(to_numpy(second(x)), expected)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="is TensorFlow's own")
@pytest.mark.parametrize("jit_compile", [False, None], ids=["", "xla"])
def test_tensorflow_saves_the_model(jit_compile, tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setenv("KERAS_DEEP_RNN_XLA", "1")
    layer = kdr.DeepTransitionRNN(4, (3,), jit_compile=jit_compile)
    model = keras.Sequential([keras.Input((None, D)), layer])
    x = sequences()
    expected = to_numpy(model(x))
    module = tf.Module()
    module.model = model
    spec = tf.TensorSpec((None, None, D))
    # Traced before it is saved: XLA's code must not be in it.
    module.call = tf.function(lambda x: model(x), input_signature=[spec])
    module.call.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(to_numpy(loaded.call(x)), expected, atol=1e-6)
    graph = loaded.call.concrete_functions[0].graph.as_graph_def()
    assert not any(f.attr["_XlaMustCompile"].b for f in graph.library.function)


@pytest.mark.skipif(BACKEND != "torch", reason="is PyTorch's own")
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_pytorch_sees_every_weight(network):
    first, second = model_of(network, 1), model_of(network, 2)
    x = sequences()
    parameters = {id(parameter) for parameter in first.parameters()}
    assert {id(w.value) for w in first.weights} <= parameters
    second.load_state_dict(dict(zip(second.state_dict(), first.state_dict().values())))
    np.testing.assert_array_equal(to_numpy(second(x)), to_numpy(first(x)))


@pytest.mark.parametrize("name", ["dots_rnn", "srnn", "fast_dropout_rnn", "operators"])
def test_files_of_version_0_1_load(name):
    """Saved by the first version, with what it computed."""
    expected = np.load(FIXTURES / "expected.npz")
    model = keras.saving.load_model(FIXTURES / f"{name}.keras")
    found = to_numpy(model(expected[f"{name}_x"]))
    np.testing.assert_allclose(found, expected[f"{name}_y"], rtol=1e-5, atol=1e-5)

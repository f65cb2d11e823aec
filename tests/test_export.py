import os
import pathlib
import stat
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_deep_rnn import LpUnit, Maxout, build_network
from keras_deep_rnn.errors import UserError
from keras_deep_rnn.export import check_export, export_saved_model
from keras_deep_rnn.export.contract import half_precision
from keras_deep_rnn.networks import NETWORKS

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import tensorflow as tf


def music(units=6, shape=(None, 88), **arguments):
    """A small network of piano-rolls; its input has no name, as users leave it."""
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.SimpleRNN(units, return_sequences=True, **arguments),
            keras.layers.Dense(88),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def text(dtype="float32"):
    x = keras.Input((None,), dtype="int32", name="tokens")
    h = keras.layers.Embedding(5, 4, dtype=dtype)(x)
    h = keras.layers.SimpleRNN(7, return_sequences=True, dropout=0.5, dtype=dtype)(h)
    return keras.Model({"tokens": x}, {"y": keras.layers.Dense(5, dtype=dtype)(h)})


def serving(folder):
    return tf.saved_model.load(str(folder)).signatures["serving_default"]


def test_any_batch_and_length(tmp_path):
    model = music()
    folder = export_saved_model(model, tmp_path / "music", probabilities="sigmoid")
    serve = serving(folder)
    assert list(serve.structured_input_signature[1]) == ["x"]
    for batch, length in [(1, 1), (1, 9), (5, 4)]:
        x = np.random.default_rng(1).normal(size=(batch, length, 88)).astype("float32")
        outputs = serve(x=tf.constant(x))
        assert sorted(outputs) == ["logits", "probabilities"]
        expected = np.array(model(x))
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(outputs["probabilities"], 1 / (1 + np.exp(-expected)), atol=1e-6)


def test_tokens(tmp_path):
    model = text()
    serve = serving(export_saved_model(model, tmp_path / "text", probabilities="softmax"))
    x = np.array([[0, 4, 2], [3, 3, 1]], "int32")
    outputs = serve(x=tf.constant(x))
    np.testing.assert_allclose(outputs["logits"], model({"tokens": x})["y"], atol=1e-6)
    np.testing.assert_allclose(np.sum(outputs["probabilities"], -1), np.ones((2, 3)), rtol=1e-5)


def test_logits_alone(tmp_path):
    serve = serving(export_saved_model(music(), tmp_path / "music"))
    assert list(serve.structured_outputs) == ["logits"]


def test_half_precision_is_served_as_float32(tmp_path):
    folder = export_saved_model(text("mixed_bfloat16"), tmp_path / "text")
    assert serving(folder).structured_outputs["logits"].dtype == "float32"


def test_each_weight_is_stored_once(tmp_path):
    model = music(units=200)
    folder = export_saved_model(model, tmp_path / "music")
    stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    assert 4 * model.count_params() <= stored < 4.2 * model.count_params()


def test_versions_are_numbered(tmp_path):
    model = music()
    path = tmp_path / "deep" / "music"
    assert export_saved_model(model, path) == path / "1"
    assert export_saved_model(model, path, version=7) == path / "7"
    assert export_saved_model(model, path) == path / "8"
    with pytest.raises(UserError, match="`version` 7 exists already"):
        export_saved_model(model, path, version=7)
    assert sorted(folder.name for folder in path.iterdir()) == ["1", "7", "8"]
    assert os.listdir(path.parent) == ["music"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((path / "1").stat().st_mode) == 0o777 & ~umask


def test_check_finds_other_weights(tmp_path):
    model = music()
    folder = export_saved_model(model, tmp_path / "music")
    assert check_export(folder, model) < 1e-6
    weights = model.get_weights()
    weights[-1][3] += 0.001
    model.set_weights(weights)
    with pytest.raises(UserError, match=r"differs from the model by 0.00\d+ for inputs of"):
        check_export(folder, model)


def piano_network(**arguments):
    return build_network("dots_rnn", kind="piano_roll", features=88, units=6, **arguments)


def test_precision_is_that_of_the_layers():
    assert not half_precision(piano_network(weight_noise=0.1))
    assert half_precision(piano_network(dtype="mixed_bfloat16"))
    # The wrapper that adds the noise computes in float32, the layer in it does not.
    assert half_precision(piano_network(dtype="mixed_bfloat16", weight_noise=0.1))


def test_half_precision_has_its_own_tolerance(tmp_path):
    model = piano_network(dtype="mixed_bfloat16")
    folder = export_saved_model(model, tmp_path / "music")
    weights = model.get_weights()
    weights[-1][3] += 0.006
    model.set_weights(weights)
    assert 0.001 < check_export(folder, model) < 0.01
    weights[-1][3] += 0.1
    model.set_weights(weights)
    with pytest.raises(UserError, match="differs from the model"):
        check_export(folder, model)


def test_check_finds_a_state_that_is_kept(tmp_path):
    class Counting(tf.Module):
        def __init__(self, weights):
            super().__init__()
            self.kept = [weight.value for weight in weights]
            self.calls = tf.Variable(0.0)

    model = music()
    module = Counting(model.weights)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 88), name="x")])
    def serve(x):
        return {"logits": model(x) + module.calls.assign_add(1e-7)}

    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": serve})
    with pytest.raises(UserError, match="gives other numbers when it is asked again"):
        check_export(tmp_path, model)


def test_check_needs_a_saved_model(tmp_path):
    with pytest.raises(UserError, match="does not run without Keras: .*does not exist"):
        check_export(tmp_path / "nothing", music())


def test_the_checking_process_cannot_import_keras():
    from keras_deep_rnn.export import check

    script = pathlib.Path(check.__file__).with_name("check_process.py")
    code = (
        "import runpy, sys\n"
        f"process = runpy.run_path({str(script)!r})\n"
        "sys.meta_path[:] = [process['WithoutBlocked'](finder) for finder in sys.meta_path]\n"
        "import tensorflow\n"
        "for name in ('keras', 'keras.layers', 'keras_deep_rnn', 'keras_deep_rnn.layers'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ModuleNotFoundError:\n"
        "        print('no', name)\n"
    )
    output = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert output.stdout.split() == [
        "no", "keras", "no", "keras.layers", "no", "keras_deep_rnn", "no", "keras_deep_rnn.layers",
    ]  # fmt: skip


@keras.saving.register_keras_serializable(package="test_export")
class ThroughPython(keras.layers.Layer):
    """Computes in Python, which a server does not have."""

    def call(self, inputs):
        outputs = tf.py_function(lambda x: 2 * x, [inputs], tf.float32)
        outputs.set_shape(inputs.shape)
        return outputs


def test_nothing_is_left_when_the_check_fails(tmp_path):
    x = keras.Input((None, 4))
    model = keras.Model(x, ThroughPython()(x))
    with pytest.raises(UserError, match="does not run without Keras"):
        export_saved_model(model, tmp_path / "served" / "music")
    assert list((tmp_path / "served").iterdir()) == []


def stateful_network():
    return build_network(
        "rnn", kind="piano_roll", features=88, units=3, stateful=True, batch_size=2
    )


def stateful():
    x = keras.Input(batch_shape=(2, None, 3))
    return keras.Model(x, keras.layers.Bidirectional(keras.layers.SimpleRNN(3, stateful=True))(x))


def subclassed():
    class Network(keras.Model):
        def call(self, x):
            return x

    return Network()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (stateful, "`model` must not be stateful"),
        (stateful_network, "`model` must not be stateful"),
        (lambda: music(unroll=True, shape=(9, 88)), "`model` must not be unrolled"),
        (lambda: music(shape=(9, 88)), r"open in batch and length, got \(None, 9, 88\)"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "starts with a keras.Input"),
        (subclassed, "starts with a keras.Input"),
        (lambda: "model.keras", "`model` must be a Keras model, got 'model.keras'"),
    ],
)
def test_models_that_cannot_be_exported(model, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_saved_model(model(), tmp_path / "served")
    assert list(tmp_path.iterdir()) == []


def test_two_inputs(tmp_path):
    inputs = [keras.Input((None, 3)), keras.Input((None, 3))]
    model = keras.Model(inputs, keras.layers.Add()(inputs))
    with pytest.raises(UserError, match="`model` must have one input, got 2"):
        export_saved_model(model, tmp_path / "served")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 0}, "`version` must be a positive integer, got 0"),
        ({"probabilities": "softmin"}, "`probabilities` must be one of .*did you mean 'softmax'"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_saved_model(music(), tmp_path / "served", **arguments)


def test_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="`path` must be a folder, got the file"):
        export_saved_model(music(), tmp_path / "file")
    with pytest.raises(UserError, match="`path` cannot be written"):
        export_saved_model(music(), tmp_path / "file" / "served")


def test_other_backends_are_told_what_to_do():
    code = (
        "import keras\n"
        "from keras_deep_rnn.errors import UserError\n"
        "from keras_deep_rnn.export import export_saved_model\n"
        "try:\n"
        "    export_saved_model(keras.Sequential([keras.Input((None, 3))]), 'served')\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith("export needs KERAS_BACKEND=tensorflow, got 'jax'")


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_of_the_paper(network, tmp_path):
    music = NETWORKS.index(network) % 2
    model = build_network(
        network,
        kind="piano_roll" if music else "characters",
        features=88 if music else 11,
        units=6,
        dropout=0.2,
        recurrent_dropout=0.2,
        weight_noise=0.1,
    )
    folder = export_saved_model(model, tmp_path / network)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 5, 88)) if music else rng.integers(0, 11, (2, 5))
    x = x.astype(model.inputs[0].dtype)
    np.testing.assert_allclose(
        serving(folder)(x=tf.constant(x))["logits"],
        keras.tree.flatten(model({"x": x}))[0],
        rtol=1e-5,
        atol=1e-6,
    )


def test_learned_activations_are_stored_once(tmp_path):
    model = build_network(
        "dots_rnn",
        kind="piano_roll",
        features=88,
        units=60,
        activation=LpUnit(2),
        output_activation=Maxout(2),
    )
    folder = export_saved_model(model, tmp_path / "music")
    stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    assert 4 * model.count_params() <= stored < 4.2 * model.count_params()
    assert check_export(folder, model) < 1e-6

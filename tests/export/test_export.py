"""What an export writes, what it refuses, and that a failure leaves nothing."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from served_models import MODELS, inputs, lstm_and_gru, music, text

from keras_deep_rnn import DeepTransitionRNN, LpUnit, Maxout, build_network
from keras_deep_rnn.training.networks import NETWORKS
from keras_deep_rnn.utils.errors import UserError

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import tensorflow as tf
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_deep_rnn.export import check_export, export_saved_model, load_keras_file
from keras_deep_rnn.export.model.eligibility import call, precision
from keras_deep_rnn.export.model.record import read_record
from keras_deep_rnn.export.testing_server.served_model import ServedModel


def unchecked(model, path, **options):
    """An export without the check, for tests of what is written."""
    return export_saved_model(model, path, check=False, **options)


def layers(*parts, shape=(None, 3)):
    return keras.Sequential([keras.Input(shape), *parts])


def forecaster(*parts):
    return layers(*parts, shape=(48, 3))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export of music, which tests/export/test_checks.py checks, and its model."""
    model = music()
    path = tmp_path_factory.mktemp("served") / "music"
    return model, unchecked(model, path, probabilities="sigmoid")


def loaded(folder):
    return tf.saved_model.load(str(folder)).signatures


def serve(signature, **given):
    outputs = signature(**{name: tf.constant(value) for name, value in given.items()})
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 7), (8, 50), (64, 300)])
def test_any_batch_and_length(batch, length, exported):
    model, folder = exported
    x = np.random.default_rng(1).normal(size=(batch, length, 88)).astype("float32")
    lengths = np.full(batch, length, "int32")
    signatures = loaded(folder)
    outputs = serve(signatures["serving_default"], x=x)
    expected = call(model, tf.constant(x)).numpy()
    np.testing.assert_allclose(outputs["y"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], 1 / (1 + np.exp(-expected)), atol=1e-6)
    state = serve(signatures["initial_state"], rows=lengths)["state"]
    filled = serve(signatures["prefill"], x=x, lengths=lengths, state=state)
    np.testing.assert_array_equal(filled["y"], outputs["y"])
    step = serve(signatures["step"], x_t=x[:, 0], state=state)
    np.testing.assert_allclose(step["y_t"], expected[:, 0], atol=1e-5)


@pytest.mark.slow
def test_every_tensor_has_the_batch_first_and_a_name_of_its_own(exported):
    for name, signature in loaded(exported[1]).items():
        given = signature.structured_input_signature[1]
        returned = signature.structured_outputs
        assert not given.keys() & returned.keys(), name
        for tensor in (*given.values(), *returned.values()):
            assert tensor.shape.rank >= 1
            assert tensor.shape[0] is None
            assert tensor.dtype in (tf.float32, tf.int32)


@pytest.mark.slow
def test_tokens(tmp_path):
    model = text()
    signatures = loaded(unchecked(model, tmp_path / "text", probabilities="softmax"))
    x = np.array([[0, 4, 2], [3, 3, 1]], "int32")
    outputs = serve(signatures["serving_default"], x=x)
    np.testing.assert_allclose(outputs["y"], model({"tokens": x})["y"], atol=1e-6)
    np.testing.assert_allclose(np.sum(outputs["probabilities"], -1), np.ones((2, 3)), rtol=1e-5)
    given = {"x_t": x[:, 0], "state": np.zeros((2, 7), "float32"), "temperature": np.ones(2, "f4")}
    steps = np.array([4, 2], "int32")
    drawn = serve(signatures["generate"], **given, steps=steps, seed=np.array([1, 2], "int32"))
    assert drawn["samples"].shape == (2, 4)
    assert not drawn["samples"][1, 2:].any()


@pytest.mark.slow
def test_generating_is_stepping_with_what_was_drawn(exported):
    """Each sample is drawn from the step's probabilities: at temperature 0 the likely ones."""
    signatures = loaded(exported[1])
    x_t, state = np.zeros((2, 88), "float32"), np.full((2, 6), 0.1, "float32")
    drawn = serve(
        signatures["generate"],
        x_t=x_t,
        state=state,
        steps=np.array([5, 5], "int32"),
        temperature=np.zeros(2, "float32"),
        seed=np.array([1, 2], "int32"),
    )
    for t in range(5):
        result = serve(signatures["step"], x_t=x_t, state=state)
        x_t, state = (result["y_t"] > 0).astype("float32"), result["next_state"]
        np.testing.assert_array_equal(drawn["samples"][:, t], x_t)
    np.testing.assert_allclose(drawn["next_state"], state, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options", "names"),
    [
        (music, {}, ["serving_default", "padded", "prefill", "step", "initial_state"]),
        (lstm_and_gru, {"probabilities": "sigmoid"},
         ["serving_default", "padded", "prefill", "step", "initial_state"]),
        (text, {"probabilities": "sigmoid", "signatures": ("step",)}, ["serving_default", "step"]),
        (lambda: music(go_backwards=True), {"signatures": ("serving_default",)},
         ["serving_default"]),
    ],
)  # fmt: skip
def test_signatures(model, options, names, tmp_path):
    folder = unchecked(model(), tmp_path / "model", **options)
    assert list(read_record(folder)["signatures"]) == names
    assert sorted(loaded(folder)) == sorted(names)


def forecasters():
    """Models of 48 steps, whose batch alone is open."""
    return {
        "last step": forecaster(keras.layers.LSTM(5, dropout=0.2), keras.layers.Dense(2)),
        "every step": forecaster(
            keras.layers.Bidirectional(DeepTransitionRNN(4, return_sequences=True))
        ),
        "flattened": forecaster(
            keras.layers.GRU(4, return_sequences=True),
            keras.layers.Flatten(),
            keras.layers.Dense(6),
            keras.layers.Reshape((3, 2)),
        ),
        "unrolled": forecaster(keras.layers.SimpleRNN(5, unroll=True)),
        "tokens": keras.Sequential(
            [keras.Input((48,), dtype="int32"), keras.layers.Embedding(5, 3), keras.layers.GRU(2)]
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", forecasters())
def test_a_fixed_length(name, quick_checks, tmp_path):
    model = forecasters()[name]
    folder = unchecked(model, tmp_path / "model")
    assert list(read_record(folder)["signatures"]) == ["serving_default"]
    checked = check_export(folder)
    assert checked.difference < 1e-6
    assert "bad inputs" in " ".join(checked.found)
    with pytest.raises(UserError, match="must not have 'padded': .* sequences of 48 steps alone"):
        unchecked(model, tmp_path / "model", signatures=("padded",))


@pytest.mark.slow
def test_keras_calls_an_export(tmp_path):
    """By its own layer, which gives the signature one tensor without a name."""
    model = forecaster(keras.layers.LSTM(5), keras.layers.Dense(2))
    folder = unchecked(model, tmp_path / "model")
    x = np.random.default_rng(0).normal(size=(2, 48, 3)).astype("float32")
    layer = keras.layers.TFSMLayer(folder, call_endpoint="serving_default")
    np.testing.assert_allclose(layer(x)["y"], model(x), atol=1e-6)
    music_folder = unchecked(music(), tmp_path / "music")
    inputs = keras.Input((None, 88))
    layer = keras.layers.TFSMLayer(music_folder, call_endpoint="serving_default")
    around = keras.Model(inputs, layer(inputs)["y"])
    assert around.predict(np.ones((2, 5, 88)), verbose=0).shape == (2, 5, 88)


@pytest.mark.slow
def test_keras_calls_a_signature_of_several_inputs(tmp_path):
    """With a dict of them, also as a layer of a model."""
    folder = unchecked(music(), tmp_path / "music", probabilities="sigmoid")
    x = np.random.default_rng(0).integers(0, 2, (2, 5, 88)).astype("float32")
    given = {
        "padded": {"x": x, "lengths": np.array([5, 3], "int32")},
        "step": {"x_t": x[:, 0], "state": np.full((2, 6), 0.5, "float32")},
    }
    for name, arrays in given.items():
        expected = serve(loaded(folder)[name], **arrays)
        layer = keras.layers.TFSMLayer(folder, call_endpoint=name)
        inputs = {n: keras.Input(a.shape[1:], dtype=a.dtype, name=n) for n, a in arrays.items()}
        around = keras.Model(inputs, layer(inputs)).predict(arrays, verbose=0)
        assert around.keys() == expected.keys()
        for output, value in expected.items():
            np.testing.assert_allclose(layer(arrays)[output], value, atol=1e-6)
            np.testing.assert_allclose(around[output], value, atol=1e-6)


@pytest.mark.slow
def test_an_export_is_checked_unless_told_otherwise(quick_checks, tmp_path):
    model = layers(keras.layers.Conv1D(3, 3, padding="same"), keras.layers.GRU(4))
    with pytest.raises(UserError, match="check 'without Keras, "):
        export_saved_model(model, tmp_path / "model")
    assert export_saved_model(model, tmp_path / "model", check=False).is_dir()


@pytest.mark.slow
def test_half_precision_is_served_as_float32(tmp_path):
    folder = unchecked(text("mixed_bfloat16"), tmp_path / "text")
    for signature in loaded(folder).values():
        assert all(output.dtype == "float32" for output in signature.structured_outputs.values())


@pytest.mark.slow
def test_each_weight_is_stored_once(tmp_path):
    learned = build_network(
        "dots_rnn",
        kind="piano_roll",
        features=88,
        units=60,
        activation=LpUnit(2),
        output_activation=Maxout(2),
    )
    for name, model in (("music", music(units=200)), ("learned", learned)):
        folder = unchecked(model, tmp_path / name, probabilities="sigmoid")
        stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
        assert 4 * model.count_params() <= stored < 4.2 * model.count_params()


@pytest.mark.slow
def test_xla_on_request_alone(tmp_path):
    for jit_compile in (False, True):
        folder = unchecked(music(), tmp_path / f"{jit_compile}", jit_compile=jit_compile)
        function = tf.saved_model.load(str(folder)).signatures["step"]
        functions = function.graph.as_graph_def().library.function
        assert any(f.attr["_XlaMustCompile"].b for f in functions) == jit_compile


@pytest.mark.slow
def test_versions_are_numbered(tmp_path):
    model = music()
    path = tmp_path / "deep" / "music"
    assert unchecked(model, path) == path / "1"
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert unchecked(model, path, version=7) == path / "7"
    assert unchecked(model, path) == path / "8"
    with pytest.raises(UserError, match="`version` must be a new one, got 7"):
        unchecked(model, path, version=7)
    assert sorted(f.name for f in path.iterdir() if f.is_dir()) == ["1", "7", "8"]
    assert {file: file.read_bytes() for file in before} == before
    assert os.listdir(path.parent) == ["music"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((path / "1").stat().st_mode) == 0o777 & ~umask


def test_the_record(exported):
    model, folder = exported
    record = json.loads((folder / "export.json").read_text())
    assert (record["model"], record["version"]) == ("music", 1)
    assert record["weights"] == model.count_params()
    assert (record["features"], record["outputs"], record["state"]) == (88, 88, 6)
    assert record["signatures"]["step"]["inputs"] == {
        "x_t": {"shape": [None, 88], "dtype": "float32"},
        "state": {"shape": [None, 6], "dtype": "float32"},
    }
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {*record["files"], "export.json"}
    assert {"keras", "tensorflow", "keras_deep_rnn"} <= record["versions"].keys()


@pytest.mark.slow
def test_the_vocabulary_is_recorded(tmp_path):
    folder = unchecked(text(), tmp_path / "text", vocabulary=list("abc"))
    record = read_record(folder)
    assert (record["tokens"], record["vocabulary"]) == (3, ["a", "b", "c"])


def test_files_to_serve_it(exported):
    path = exported[1].parent
    config = text_format.Parse(
        (path / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("music", "/models/music")
    assert "pad_variable_length_inputs: true" in (path / "batching.config").read_text()
    compose = yaml.safe_load((path / "compose.yaml").read_text())
    assert compose["services"]["music"]["volumes"] == [".:/models/music:ro"]
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["music"]["ports"])
    kinds = yaml.safe_load_all((path / "kubernetes.yaml").read_text())
    assert [kind["kind"] for kind in kinds] == ["PersistentVolumeClaim", "Deployment", "Service"]


@pytest.mark.slow
def test_a_server_batches_no_model_that_padding_would_change(tmp_path):
    """`serving_default` has no lengths: the last step of a padded row would be another."""
    folder = unchecked(layers(keras.layers.GRU(4)), tmp_path / "last")
    assert not (folder.parent / "batching.config").exists()
    for file in ("compose.yaml", "kubernetes.yaml"):
        assert "batching" not in (folder.parent / file).read_text()
        assert list(yaml.safe_load_all((folder.parent / file).read_text()))
    unchecked(music(), tmp_path / "music")
    before = contents(tmp_path / "music")
    with pytest.raises(UserError, match="whose batching.config would pad the requests"):
        unchecked(layers(keras.layers.GRU(4)), tmp_path / "music")
    assert contents(tmp_path / "music") == before
    folder = unchecked(forecaster(keras.layers.GRU(4)), tmp_path / "fixed")
    assert "enable_batching" in (folder.parent / "compose.yaml").read_text()


@pytest.mark.slow
def test_files_that_were_edited_stay(tmp_path):
    path = tmp_path / "music"
    path.mkdir()
    (path / "compose.yaml").write_text("mine")
    unchecked(music(), path)
    assert (path / "compose.yaml").read_text() == "mine"
    assert (path / "models.config").is_file()


@pytest.mark.slow
def test_precision_is_that_of_the_layers():
    def network(**arguments):
        return build_network("dots_rnn", kind="piano_roll", features=88, units=6, **arguments)

    assert precision(network(weight_noise=0.1)) == "float32"
    assert precision(network(dtype="mixed_float16")) == "float16"
    # The wrapper that adds the noise computes in float32, the layer in it does not.
    assert precision(network(dtype="mixed_bfloat16", weight_noise=0.1)) == "bfloat16"


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


class Block(keras.layers.Layer):
    """A layer of a user's with a recurrent one inside."""

    def __init__(self):
        super().__init__(name="block")
        self.recurrent = keras.layers.GRU(2)

    def call(self, x):
        return self.recurrent(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (stateful, "`model` must not be stateful.*the signature `step` hands the states"),
        (stateful_network, "`model` must not be stateful"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "starts with a keras.Input"),
        (subclassed, "starts with a keras.Input"),
        (lambda: "model.keras", "`model` must be a Keras model, got 'model.keras'"),
        (lambda: layers(keras.layers.Bidirectional(keras.layers.GRU(2))),
         r"this one does not: .* is Bidirectional.*signatures=\('serving_default', 'padded'\)"),
        (lambda: layers(keras.layers.Dense(2)), "this one does not: no layer is recurrent"),
        (lambda: text(mask_zero=True), "this one does not: .* gets a mask from the model"),
        (lambda: layers(keras.layers.ReLU(), shape=(None,)), "float inputs as"),
        (lambda: layers(keras.layers.Reshape((-1, 3, 1)),
                        keras.layers.TimeDistributed(keras.layers.GRU(2))),
         r"must not have a recurrent layer inside of 'time_.*' \(TimeDistributed\)"),
        (lambda: layers(Block()), r"inside of 'block' \(Block\), out of reach of a mask"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_exported(model, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_saved_model(model(), tmp_path / "served")
    assert list(tmp_path.iterdir()) == []


def test_two_inputs(tmp_path):
    two = [keras.Input((None, 3)), keras.Input((None, 3))]
    model = keras.Model(two, keras.layers.Add()(two))
    with pytest.raises(UserError, match="`model` must have one input, got 2"):
        export_saved_model(model, tmp_path / "served")


def tokens_of_no_known_number():
    x = keras.Input((None,), dtype="int32")
    h = keras.layers.Rescaling(0.1)(keras.layers.Reshape((-1, 1))(x))
    return keras.Model(x, keras.layers.GRU(2)(h))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (music, {"version": 0}, "`version` must be a positive integer, got 0"),
        (music, {"version": 2**63}, r"`version` must be below 2\*\*63"),
        (music, {"probabilities": "softmin"}, "`probabilities` must be one of .*did you mean"),
        (music, {"max_steps": 0}, "`max_steps` must be a positive integer, got 0"),
        (music, {"jit_compile": 1}, "`jit_compile` must be True or False, got 1"),
        (music, {"check": "no"}, "`check` must be True or False, got 'no'"),
        (music, {"name": "a b"}, "`name` must be a name of letters, .* got 'a b'"),
        (music, {"signatures": ("stop",)}, "`signatures` must be out of .*, got 'stop'"),
        (
            music,
            {"signatures": ("generate",)},
            "must not have 'generate': `probabilities` does not",
        ),
        (
            lstm_and_gru,
            {"signatures": ("generate",), "probabilities": "sigmoid"},
            "must not have 'generate': y has 2 units for 3 features",
        ),
        (
            MODELS["keras_cells"],
            {"signatures": ("generate",), "probabilities": "sigmoid"},
            "must not have 'generate': the model gives the last step alone",
        ),
        (
            text,
            {"signatures": ("generate",), "probabilities": "sigmoid"},
            "must not have 'generate': what is drawn from y is not what the model takes",
        ),
        (text, {"vocabulary": list("abcdefg")}, "at most the 5 tokens that the model takes, got 7"),
        (text, {"vocabulary": [1, 2]}, "`vocabulary` must be a list of texts or their number"),
        (tokens_of_no_known_number, {}, "`vocabulary` must be given for a model of tokens"),
    ],
)
def test_bad_arguments(model, arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_saved_model(model(), tmp_path / "served", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("max_steps", [1, 5])
def test_few_steps_are_checked_too(max_steps, quick_checks, tmp_path):
    folder = export_saved_model(
        text(), tmp_path / "text", probabilities="softmax", max_steps=max_steps
    )
    assert check_export(folder).difference == 0.0


def test_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="`path` must be a folder, got the file"):
        export_saved_model(music(), tmp_path / "file")
    with pytest.raises(UserError, match="Cannot write '.*served': File exists"):
        export_saved_model(music(), tmp_path / "file" / "served")
    with pytest.raises(UserError, match="`path` must be a name of letters.* at its end"):
        export_saved_model(music(), tmp_path / "two words")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my [x]", "back\\slash", "st*r ü?", "{a, b} 'c'"])
def test_a_path_of_any_characters(name, quick_checks, tmp_path):
    """TensorFlow takes some of them for a pattern."""
    folder = export_saved_model(text(), tmp_path / name / "text", probabilities="softmax")
    assert check_export(folder).difference == 0.0
    served = ServedModel(folder)
    assert served.run("initial_state", {"rows": np.zeros(2, "int32")})["state"].shape == (2, 7)
    served.close()


EXPORT = """
import os, resource, signal, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.export import export_saved_model
model = keras.Sequential(
    [keras.Input((None, 88)), keras.layers.SimpleRNN(100, return_sequences=True)]
)
print("starts", flush=True)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in map(int, sys.argv[2:]):
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    try:
        export_saved_model(model, sys.argv[1])
    except UserError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
"""


def contents(path):
    return {p: p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


@pytest.mark.process
def test_a_full_disk_leaves_everything_as_it_was(tmp_path):
    """The system refuses at another file each: the record, a weight, the graph."""
    path = tmp_path / "served" / "music"
    unchecked(music(), path)
    before = contents(path.parent)
    limits = ("2000", "30000", "100000")
    result = subprocess.run(
        [sys.executable, "-c", EXPORT, path, *limits], capture_output=True, text=True
    )
    assert result.stdout.count(f"Cannot write '{path / '2'}': ") == 3, result.stderr[-2000:]
    assert contents(path.parent) == before


@pytest.mark.process
def test_killed_at_any_time_leaves_the_folder_as_it_was(tmp_path):
    path = tmp_path / "served" / "music"
    unchecked(music(), path)
    before = contents(path)
    for wait in (0.3, 1.2, 3.0):
        process = subprocess.Popen(
            [sys.executable, "-c", EXPORT, path, "0"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "starts\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if process.returncode == -signal.SIGKILL and not (path / "2").exists():
            assert contents(path) == before
    unchecked(music(), path, version=3)
    assert (path / "3" / "export.json").is_file()


@pytest.mark.process
def test_other_backends_are_told_what_to_do():
    code = (
        "import keras\n"
        "from keras_deep_rnn.utils.errors import UserError\n"
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


def test_keras_files_are_loaded_safely(tmp_path):
    model = lstm_and_gru()
    model.save(tmp_path / "good.keras")
    x = inputs(model)
    np.testing.assert_array_equal(load_keras_file(tmp_path / "good.keras")(x), model(x))
    unsafe = layers(keras.layers.Lambda(lambda x: 2 * x), keras.layers.GRU(2))
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(UserError, match="loads with safe_mode=True.*[Ll]ambda"):
        load_keras_file(tmp_path / "unsafe.keras")
    (tmp_path / "broken.keras").write_text("no zip file")
    with pytest.raises(UserError, match="a file that loads"):
        load_keras_file(tmp_path / "broken.keras")
    with pytest.raises(UserError, match="must be a run folder or a .keras file"):
        load_keras_file(tmp_path / "none.keras")


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_of_the_paper(network, quick_checks, tmp_path):
    is_music = NETWORKS.index(network) % 2
    model = build_network(
        network,
        kind="piano_roll" if is_music else "characters",
        features=88 if is_music else 11,
        units=6,
        dropout=0.2,
        recurrent_dropout=0.2,
        weight_noise=0.1,
    )
    folder = unchecked(
        model, tmp_path / network, probabilities="sigmoid" if is_music else "softmax"
    )
    assert "generate" in read_record(folder)["signatures"]
    assert check_export(folder).difference == 0.0

import json
import sys

import keras
import numpy as np
import pytest
from descriptors import NETWORKS

if keras.backend.backend() != "tensorflow":
    pytest.skip("ONNX files are made with TensorFlow", allow_module_level=True)

import served_models

from keras_deep_rnn.export.formats.onnx import ONNX, export_onnx
from keras_deep_rnn.utils.errors import UserError

# Each kind of layer once; the operators, the shortcuts and the depths differ within them.
SOME = ["rnn", "deep_input", "dots", "operators", "srnn_all"]


def check(model, folder):
    """The files, asked here again: rows of different lengths, in pieces, and step by step."""
    x = served_models.inputs(model, batch=3, steps=5, seed=9)
    tokens = {"tokens": x} if x.ndim == 2 else x
    expected = np.array(keras.tree.flatten(model(tokens))[0])
    files = {path.stem: ONNX().load(path, path.stem) for path in folder.glob("*.onnx")}
    np.testing.assert_allclose(files["serving_default"]({"x": x})["y"], expected, atol=1e-5)
    lengths = np.array([5, 2, 3], "int32")
    y = files["padded"]({"x": x, "lengths": lengths})["y"]
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(y[row, :length], expected[row, :length], atol=1e-5)
        assert not np.any(y[row, length:])
    state = np.zeros((3, json.loads((folder / "export.json").read_text())["state"]), "float32")
    inputs = {"x": x[:, :2], "lengths": np.full(3, 2, "int32"), "state": state}
    result = files["prefill"](inputs)
    np.testing.assert_allclose(result["y"], expected[:, :2], atol=1e-5)
    for t in range(2, 5):
        result = files["step"]({"x_t": x[:, t], "state": result["next_state"]})
        np.testing.assert_allclose(result["y_t"], expected[:, t], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", [n for n in NETWORKS if n.name in SOME], ids=str)
def test_layers_of_the_package(network, tmp_path):
    model = served_models.of_network(network)
    folder = export_onnx(model, tmp_path / "m")
    assert folder == tmp_path / "m" / "1"
    check(model, folder)


@pytest.mark.slow
def test_lstm_and_gru(tmp_path):
    model = served_models.lstm_and_gru()
    check(model, export_onnx(model, tmp_path / "m"))


@pytest.mark.slow
def test_tokens(tmp_path):
    model = served_models.text()
    folder = export_onnx(model, tmp_path / "m", probabilities="softmax")
    check(model, folder)
    record = json.loads((folder / "export.json").read_text())
    assert record["format"] == "onnx"
    assert all(found["difference"] < 1e-5 for found in record["compared"].values())
    names = ["padded", "prefill", "serving_default", "step"]
    assert sorted(record["files"]) == [f"{name}.onnx" for name in names]


@pytest.mark.slow
def test_half_precision(tmp_path):
    model = served_models.lstm_and_gru("mixed_float16")
    folder = export_onnx(model, tmp_path / "m", signatures=["serving_default", "step"])
    compared = json.loads((folder / "export.json").read_text())["compared"]
    assert all(0 < found["difference"] < 0.01 for found in compared.values())
    message = "`model` must compute in float32 or float16 for ONNX, got a layer .* in bfloat16"
    with pytest.raises(UserError, match=message):
        export_onnx(served_models.text("mixed_bfloat16"), tmp_path / "m")


@pytest.mark.slow
def test_a_whole_sequence_alone(tmp_path):
    x = keras.Input((None, 3))
    layer = keras.layers.Bidirectional(keras.layers.SimpleRNN(4, return_sequences=True))
    model = keras.Model(x, layer(x))
    with pytest.raises(UserError, match="Bidirectional"):
        export_onnx(model, tmp_path / "m")
    folder = export_onnx(model, tmp_path / "m", signatures=["serving_default"])
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "serving_default.onnx"]


@pytest.mark.slow
def test_wrong_answers_are_refused(monkeypatch, tmp_path):
    load = ONNX.load

    def spoil(self, path, signature):
        run = load(self, path, signature)
        return lambda inputs: {
            name: value + (signature == "step") for name, value in run(inputs).items()
        }

    monkeypatch.setattr(ONNX, "load", spoil)
    with pytest.raises(UserError, match="check 'ONNX, step' failed: y_t differs from the model by"):
        export_onnx(served_models.music(), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_load_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(ONNX, "convert", lambda self, served, signature: b"success")
    message = "check 'ONNX, serving_default' failed: it cannot be loaded: "
    with pytest.raises(UserError, match=message):
        export_onnx(served_models.music(), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_no_generate(tmp_path):
    with pytest.raises(UserError, match="`signatures` must be out of .*'step', got 'generate'"):
        export_onnx(served_models.music(), tmp_path / "m", signatures=["generate"])


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_without_the_extra(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"`{package}` is not installed: pip install 'keras-deep-rnn\[onnx\]'"
    with pytest.raises(UserError, match=message):
        export_onnx(served_models.music(), tmp_path / "m")


@pytest.mark.slow
def test_a_fixed_length_without_the_comparison(tmp_path):
    model = keras.Sequential([keras.Input((9, 3)), keras.layers.LSTM(4)])
    folder = export_onnx(model, tmp_path / "m", check=False)
    assert json.loads((folder / "export.json").read_text())["compared"] == {}
    assert [file.name for file in folder.glob("*.onnx")] == ["serving_default.onnx"]
    x = served_models.inputs(model, batch=1, steps=9)
    run = ONNX().load(folder / "serving_default.onnx", "serving_default")
    np.testing.assert_allclose(run({"x": x})["y"], model(x), atol=1e-5)
    export_onnx(model, tmp_path / "m")

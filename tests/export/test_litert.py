import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from descriptors import NETWORKS

if keras.backend.backend() != "tensorflow":
    pytest.skip("LiteRT files are made with TensorFlow", allow_module_level=True)

import served_models

from keras_deep_rnn import build_network
from keras_deep_rnn.export.formats.litert import LiteRT, export_litert
from keras_deep_rnn.utils.errors import UserError

# Each kind of layer once; the operators, the shortcuts and the depths differ within them.
SOME = ["rnn", "deep_input", "dots", "operators", "srnn_all"]


def record(folder):
    return json.loads((folder / "export.json").read_text())


def check(model, folder):
    """The files, asked here again: any length as a whole, any number of rows by step."""
    x = served_models.inputs(model, batch=3, steps=5, seed=9)
    tokens = {"tokens": x} if x.ndim == 2 else x
    expected = keras.tree.flatten(model(tokens))[0]
    load = LiteRT().load
    whole = load(folder / "serving_default.tflite", "serving_default")
    for row in range(3):
        np.testing.assert_allclose(whole({"x": x[row : row + 1]})["y"][0], expected[row], atol=1e-5)
    step = load(folder / "step.tflite", "step")
    state = np.zeros((3, record(folder)["state"]), "float32")
    for t in range(5):
        result = step({"x_t": x[:, t], "state": state})
        state = result["next_state"]
        np.testing.assert_allclose(result["y_t"], expected[:, t], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", [n for n in NETWORKS if n.name in SOME], ids=str)
def test_layers_of_the_package(network, tmp_path):
    model = served_models.of_network(network)
    folder = export_litert(model, tmp_path / "m")
    assert folder == tmp_path / "m" / "1"
    check(model, folder)


QUIET = """
import sys, keras
from keras_deep_rnn.utils.backend import start_backend
start_backend()
from keras_deep_rnn.export import export_litert
x = keras.Input((None, 3))
model = keras.Model(x, keras.layers.SimpleRNN(4, return_sequences=True)(x))
export_litert(model, sys.argv[1])
"""


@pytest.mark.slow
def test_nothing_is_said_by_the_runtime(tmp_path):
    """In a new process: it says it once."""
    command = [sys.executable, "-c", QUIET, tmp_path / "model"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "delegate" not in result.stderr


@pytest.mark.slow
def test_lstm_and_gru(tmp_path):
    model = served_models.lstm_and_gru()
    check(model, export_litert(model, tmp_path / "m"))


@pytest.mark.slow
def test_tokens(tmp_path):
    model = served_models.text()
    folder = export_litert(model, tmp_path / "m", probabilities="softmax", vocabulary=list("abcde"))
    check(model, folder)
    found = record(folder)
    assert found["vocabulary"] == list("abcde")
    assert found["signatures"]["serving_default"]["inputs"] == {
        "x": {"shape": [1, None], "dtype": "int32"}
    }
    assert found["format"] == "tflite"
    assert sorted(found["files"]) == ["serving_default.tflite", "step.tflite"]


@pytest.mark.slow
def test_8_bits(tmp_path):
    model = build_network("srnn", kind="characters", features=40, units=64)
    sizes, compared = {}, {}
    for quantize in (None, "int8"):
        folder = export_litert(
            model, tmp_path / str(quantize), quantize=quantize, probabilities="softmax"
        )
        sizes[quantize] = (folder / "step.tflite").stat().st_size
        compared[quantize] = record(folder)["compared"]["step"]
    assert sizes["int8"] < 0.45 * sizes[None]
    assert compared[None].keys() == {"difference"}
    assert compared["int8"]["difference"] > 1e-5 > compared[None]["difference"]
    assert compared["int8"]["explained"] > 0.95
    assert 0.8 < compared["int8"]["equal_decisions"] <= 1


def spoiled(monkeypatch, change):
    """Lets LiteRT return other numbers than it computed."""

    load = LiteRT.load

    def spoil(self, path, signature):
        run = load(self, path, signature)
        return lambda inputs: {name: change(value) for name, value in run(inputs).items()}

    monkeypatch.setattr(LiteRT, "load", spoil)


@pytest.mark.slow
@pytest.mark.parametrize("quantize", [None, "int8"])
def test_wrong_answers_are_refused(monkeypatch, tmp_path, quantize):
    spoiled(monkeypatch, np.zeros_like)
    message = "check 'LiteRT, serving_default' failed: y (no longer follows|differs from)"
    with pytest.raises(UserError, match=message):
        export_litert(served_models.music(), tmp_path / "m", quantize=quantize)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_slightly_wrong_answers_are_refused_for_float32_alone(monkeypatch, tmp_path):
    spoiled(monkeypatch, lambda value: value + np.float32(1e-3))
    model = served_models.music()
    with pytest.raises(UserError, match="y differs from the model by 0.001"):
        export_litert(model, tmp_path / "m")
    folder = export_litert(model, tmp_path / "m", quantize="int8", probabilities="sigmoid")
    assert record(folder)["compared"]["step"]["difference"] >= 9e-4


@pytest.mark.slow
def test_an_answer_of_another_shape_is_refused(monkeypatch, tmp_path):
    spoiled(monkeypatch, lambda value: value[..., :1])
    with pytest.raises(UserError, match=r"y has shape \(1, 2, 1\) instead of \(1, 2, 88\)"):
        export_litert(served_models.music(), tmp_path / "m")


def test_bad_arguments(tmp_path):
    model = served_models.music()
    with pytest.raises(UserError, match="`quantize` must be one of 'int8', got 'int4'"):
        export_litert(model, tmp_path / "m", quantize="int4")
    with pytest.raises(
        UserError, match="`signatures` must be out of 'serving_default', 'step', got 'generate'"
    ):
        export_litert(model, tmp_path / "m", signatures=["generate"])
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    message = r"`ai-edge-litert` is not installed: pip install 'keras-deep-rnn\[litert\]'"
    with pytest.raises(UserError, match=message):
        export_litert(served_models.music(), tmp_path / "m")


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_refused(tmp_path, dtype):
    message = f"`model` must compute in float32 for LiteRT, got a layer .* in {dtype[6:]}"
    with pytest.raises(UserError, match=message):
        export_litert(served_models.text(dtype), tmp_path / "m")


def test_a_model_that_cannot_be_converted(monkeypatch, tmp_path):
    def fail(self, served, signature):
        raise RuntimeError("no such operation " + "in a long list of places " * 100)

    monkeypatch.setattr(LiteRT, "convert", fail)
    with pytest.raises(UserError, match="serving_default' failed: it cannot be converted: no such"):
        export_litert(served_models.music(), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_fixed_length_without_the_comparison(tmp_path):
    model = keras.Sequential([keras.Input((9, 3)), keras.layers.LSTM(4)])
    folder = export_litert(model, tmp_path / "m", check=False)
    assert json.loads((folder / "export.json").read_text())["compared"] == {}
    assert [file.name for file in folder.glob("*.tflite")] == ["serving_default.tflite"]
    x = served_models.inputs(model, batch=1, steps=9)
    run = LiteRT().load(folder / "serving_default.tflite", "serving_default")
    np.testing.assert_allclose(run({"x": x})["y"], model(x), atol=1e-5)
    export_litert(model, tmp_path / "m")

"""The page of an inspection, which needs no other file, and the batch of a data set."""

import base64
import re

import keras
import made_up_runs
import numpy as np
import pytest

import keras_deep_rnn
from keras_deep_rnn import DeepTransitionRNN, StackedRNN
from keras_deep_rnn.training.inspection import page, run_inspection
from keras_deep_rnn.training.models import build_network

PNG = b"\x89PNG\r\n\x1a\n"


def model_of(*layers):
    return keras.Sequential([keras.Input((None, 3)), *layers, keras.layers.Dense(2)])


@pytest.mark.slow
def test_page_holds_its_pictures(tmp_path):
    model = model_of(
        StackedRNN((4, 3), return_sequences=True, name="<stack>"),
        keras.layers.GRU(3, return_sequences=True, name="of_keras"),
        DeepTransitionRNN(4, return_sequences=True),
    )
    x = np.random.default_rng(0).normal(size=(2, 12, 3)).astype("float32")
    found = keras_deep_rnn.inspect(model, x)
    files = page.write_inspection(model, found, tmp_path / "new", "Inside <of> it")
    names = ["inspect.html", "network.png", *page.PICTURES]
    assert [file.name for file in files] == names
    text = files[0].read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', text)
    assert not re.findall(r'(?:href|src)="(?!data:image/png;base64,)', text)
    held = [base64.b64decode(source.partition(",")[2]) for source in sources]
    assert held == [file.read_bytes() for file in files[1:]]
    assert all(picture.startswith(PNG) for picture in held)
    assert "Inside &lt;of&gt; it" in text
    assert "&lt;stack&gt;/level_2" in text
    assert "<stack>" not in text
    assert "Not inspected: of_keras (GRU)" in text


def test_page_without_saturation_and_of_one_step(tmp_path):
    """What has no logarithm, no rule and no second step is left out."""
    model = model_of(DeepTransitionRNN(4, activation="linear"))
    for weight in model.trainable_variables:
        weight.assign(weight * 0)
    found = keras_deep_rnn.inspect(model, np.zeros((1, 1, 3), "float32"))
    files = page.write_inspection(model, found, tmp_path, "zeros")
    assert "saturation.png" not in [file.name for file in files]
    assert page.layer_rows(found) == [[found.layers[0].name, "4", "", "", "", "0.000"]]


def test_rows_of_the_tables():
    model = model_of(DeepTransitionRNN(4, name="layer", recurrent_initializer="zeros"))
    found = keras_deep_rnn.inspect(model, np.ones((2, 12, 3), "float32"))
    ((name, units, saturated, back, farthest, largest),) = page.layer_rows(found)
    assert (name, units, largest) == ("layer", "4", "0.000")
    assert (back, farthest) == ("0.0e+00", "0.0e+00 (11)")
    assert re.fullmatch(r"\d+\.\d%", saturated)
    rows = page.weight_rows(found)
    assert [row[1] for row in rows] == ["3x4", "4x4", "4", "4x2", "2"]
    assert rows[0][0] == "layer/input_to_hidden_1"
    # A zero has no ratio.
    assert rows[1][2:] == ["0", rows[1][3], ""]


@pytest.mark.parametrize(
    ("kind", "output"),
    [("piano_roll", "independent"), ("piano_roll", "nade"), ("characters", "independent")],
)
def test_batch_of_a_data_set(kind, output):
    dataset = made_up_runs.dataset(kind)
    inputs, y, weight = run_inspection.batch_of(dataset, "train", 3, 5, joint=output == "nade")
    assert inputs["x"].shape[:2] == y.shape[:2] == weight.shape == (3, 5)
    np.testing.assert_array_equal(inputs["x"][:, 1:], y[:, :-1])
    model = build_network("rnn", kind=kind, features=dataset.features, units=4, output=output)
    found = run_inspection.inspect_on(model, dataset, "train", rows=3, steps=5)
    assert found.layers[0].states[0].shape == (3, 5, 4)
    wrong = made_up_runs.dataset("words" if kind == "piano_roll" else "piano_roll")
    with pytest.raises(ValueError, match="`data` must be data of the model's shape"):
        run_inspection.inspect_on(model, wrong, "train")

"""A run folder of before: its layers and a section of its metrics.json have their former names."""

import pathlib
import shutil

import keras
import numpy as np
import pytest

from keras_deep_rnn import data
from keras_deep_rnn.data import Dataset
from keras_deep_rnn.data.batching import input_target_pairs
from keras_deep_rnn.training import dynamic_evaluation
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.metrics import token_nll
from keras_deep_rnn.training.results import table
from keras_deep_rnn.training.run_folder import Run

FOLDER = pathlib.Path(__file__).parents[1] / "fixtures" / "earlier_run"
# Its test result, as its metrics.json has it.
BITS = 2.4707155


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A copy of the run, with the text that it was trained on."""
    random = np.random.default_rng(0)
    lengths = {"train": 60, "validation": 30, "test": 40}
    splits = {name: [random.integers(0, 5, n).astype("int32")] for name, n in lengths.items()}
    text = Dataset(
        "letters", "characters", splits, vocabulary=("\n", "a", "b", "c", "d"), step="character",
        version="1", checksum="abc", description="made up",
    )  # fmt: skip
    monkeypatch.setattr(data, "load", lambda name, **options: text)
    return Run(shutil.copytree(FOLDER, tmp_path / "run")), text


def test_its_model_gives_its_result(run):
    run, text = run
    model = run.model()
    assert {"noisy_classes", "logits"} < {layer.name for layer in model.layers}
    ((x, y),) = input_target_pairs(text.splits["test"], "characters", text.start)
    nats = keras.ops.convert_to_numpy(token_nll(y[None], model({"x": x[None]})))
    assert nats.mean() / np.log(2) == pytest.approx(BITS, rel=1e-5)


def test_its_stateful_model_gives_its_result(run):
    run, _ = run
    before = run.metrics
    assert before["splits"]["test"]["bits_per_character"] == pytest.approx(BITS, rel=1e-7)
    shown = table(before, "test")
    metrics = training.evaluate_run(run.path, "test", streaming=True)
    for results in (metrics["splits"], metrics["streaming"]):
        assert results["test"]["bits_per_character"] == pytest.approx(BITS, rel=1e-5)
    del metrics["streaming"]
    assert table(metrics, "test") == shown
    assert [row[0] for row in shown[2]] == ["unigram", "bigram", "dots_rnn"]
    assert "floors" not in run.metrics


def test_it_is_evaluated_dynamically(run):
    """With a learning rate too small to move a weight the result is the same."""
    run, text = run
    weights = run.model().get_weights()
    found = dynamic_evaluation.evaluate_split(run, weights, text, "test", 1e-30, 7)
    assert found["bits_per_character"] == pytest.approx(BITS, rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports are TensorFlow's")
def test_it_is_exported(run, tmp_path):
    tf = pytest.importorskip("tensorflow")
    from keras_deep_rnn.export import export_run

    run, text = run
    version = export_run(run.path, tmp_path / "served", check=False, signatures=["serving_default"])
    serve = tf.saved_model.load(version).signatures["serving_default"]
    x = text.splits["test"][0][None, :9]
    expected = run.model()({"x": x})
    np.testing.assert_allclose(serve(x=tf.constant(x))["y"], expected, atol=1e-6)

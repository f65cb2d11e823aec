"""A run folder of before: its layers and a section of its metrics.json have their former names."""

import json
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
from keras_deep_rnn.utils.errors import UserError

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


@pytest.mark.slow
def test_its_model_gives_its_result(run):
    run, text = run
    model = run.model()
    assert {"noisy_classes", "logits"} < {layer.name for layer in model.layers}
    ((x, y),) = input_target_pairs(text.splits["test"], "characters", text.start)
    nats = keras.ops.convert_to_numpy(token_nll(y[None], model({"x": x[None]})))
    assert nats.mean() / np.log(2) == pytest.approx(BITS, rel=1e-5)


@pytest.mark.slow
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


@pytest.mark.slow
def test_it_is_evaluated_dynamically(run):
    """With a learning rate too small to move a weight the result is the same."""
    run, text = run
    weights = run.model().get_weights()
    found = dynamic_evaluation.evaluate_split(run, weights, text, "test", 1e-30, 7)
    assert found["bits_per_character"] == pytest.approx(BITS, rel=1e-5)


@pytest.mark.slow
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


def edited(run, name, *keys, value):
    """Sets a value in a JSON file of a run."""
    content = json.loads((run / name).read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (run / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("quarter_length", float("inf"), "data.quarter_length` must be a finite number, got inf"),
        ("quarter_length", 0, "data.quarter_length` must be from 0.001 to 1000, got 0"),
        ("kind", ["characters"], "data.kind` must be one of 'piano_roll', 'characters', 'words'"),
        ("vocabulary", 5, "data.vocabulary` must be a list of tokens, got int"),
        ("vocabulary", ["a", 1], "data.vocabulary` must be a list of tokens, got list"),
        ("start", 5, "data.start` must be a token of the vocabulary, got 5"),
        ("start", -1, "data.start` must be the integer of a token, got -1"),
        ("name", None, "data.name` must be a text, got None"),
    ],
)
def test_wrong_facts_about_its_data(run, key, value, line):
    run, _ = run
    edited(run, "config.json", "data", key, value=value)
    with pytest.raises(UserError, match=f"Cannot use '.*config.json': `{line}"):
        run.config  # noqa: B018


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 200_000, "it is nested too deeply"),
        (b" " * 8_000_001, "it has more than 8 MB, the limit"),
        (b"\xff", "'utf-8' codec can't decode"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
@pytest.mark.parametrize("name", ["config", "metrics"])
def test_json_that_cannot_be_read(run, name, content, reason):
    run, _ = run
    (run / f"{name}.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        getattr(run, name)
    assert str(error.value).startswith(f"Cannot read '{run / name}.json': ")
    assert reason in str(error.value)


def test_a_large_network_in_its_configuration_is_not_made(run):
    run, _ = run
    for section in ("network", "settings"):
        edited(run, "config.json", section, "units", value=10**6)
    with pytest.raises(UserError, match=r"model\.keras': corrupt, or saved by a different run"):
        run.model()


@pytest.mark.parametrize("path", ["~nosuchuser/run", "a" * 300])
def test_paths_that_cannot_be(path):
    with pytest.raises(UserError, match=f"Cannot use the path '{path}': "):
        Run(path)


def test_rows_of_a_history_that_cannot_be_decoded_are_left_out(tmp_path):
    (tmp_path / "history.csv").write_bytes(b"epoch,loss\n1,0.5\n2,0.\xff4\n3,0.25\n")
    rows = Run(tmp_path).history()
    assert rows == [{"epoch": 1, "loss": 0.5}, {"epoch": 3, "loss": 0.25}]

"""The export of a network with a joint output: likelihoods of frames, and frames drawn jointly."""

import itertools

import keras
import numpy as np
import pytest
from descriptors import randomize
from made_up_runs import dataset, settings
from scipy import stats

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import tensorflow as tf

from keras_deep_rnn import NADE, build_network, data
from keras_deep_rnn.export import (
    check_export,
    export_litert,
    export_onnx,
    export_run,
    export_saved_model,
    load_keras_file,
)
from keras_deep_rnn.export.model.joint_output import without_target
from keras_deep_rnn.export.model.record import read_record
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.metrics import frame_nll
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow

KEYS = 4
# A test that holds in all but one of a million worlds, and whose seeds are fixed.
UNLIKELY = 1e-6


def network(**options):
    sizes = {"kind": "piano_roll", "features": KEYS, "units": 5, "nade_units": 3}
    model = build_network("dots_rnn", output="nade", **sizes, **options)
    randomize(model, scale=1.0)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = network(output_dropout=0.5, weight_noise=0.1)
    return model, export_saved_model(model, tmp_path_factory.mktemp("served"), check=False)


@pytest.fixture
def served(exported):
    signatures = tf.saved_model.load(str(exported[1])).signatures

    def call(name, **given):
        outputs = signatures[name](**{key: tf.constant(value) for key, value in given.items()})
        return {key: value.numpy() for key, value in outputs.items()}

    return call


def rolls(rows, steps):
    return (np.random.default_rng(0).random((rows, steps, KEYS)) < 0.4).astype("float32")


@pytest.mark.slow
def test_passes_every_check(exported, quick_checks):
    checked = check_export(exported[1])
    # The rows of a request decide in which order products add up.
    assert checked.difference < 1e-6
    for check in ("golden", "padding", "step by step", "generate", "bad inputs"):
        assert f"C API, {check}" in checked.found


@pytest.mark.slow
def test_passes_every_check_in_half_precision(quick_checks, tmp_path):
    check_export(export_saved_model(network(dtype="mixed_bfloat16"), tmp_path / "m", check=False))


def test_signatures(exported):
    record = read_record(exported[1])
    assert set(record["signatures"]["serving_default"]["inputs"]) == {"x"}
    assert set(record["signatures"]["serving_default"]["outputs"]) == {"y", "log_probability"}
    assert set(record["signatures"]["step"]["outputs"]) == {"y_t", "next_state"}
    assert "generate" in record["signatures"]
    assert record["weights"] == exported[0].count_params()


def test_log_probability_is_that_of_the_trained_network(exported, served):
    x, (model, _) = rolls(3, 6), exported
    target = np.concatenate([x[:, 1:], np.zeros_like(x[:, :1])], axis=1)
    nll = np.asarray(frame_nll(target, model({"x": x, "target": target})))[:, :-1]
    found = served("serving_default", x=x)["log_probability"]
    np.testing.assert_allclose(found, np.pad(-nll, [(0, 0), (1, 0)]), atol=1e-5)
    lengths = np.array([6, 1, 3], "int32")
    padded = served("padded", x=x, lengths=lengths)["log_probability"]
    counted = np.arange(6) < lengths[:, None]
    np.testing.assert_allclose(padded, np.where(counted, found, 0), atol=1e-6)
    np.testing.assert_array_equal(served("serving_default", x=x[:, :1])["log_probability"], 0)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_frames_are_drawn_jointly(exported, served, temperature):
    rows = 20_000
    x = np.tile(rolls(1, 1), (rows, 1, 1))
    state = served("initial_state", rows=np.zeros(rows, "int32"))["state"]
    drawn = served(
        "generate",
        x_t=x[:, 0],
        state=state,
        steps=np.ones(rows, "int32"),
        temperature=np.full(rows, temperature, "float32"),
        seed=np.arange(rows, dtype="int32"),
    )["samples"][:, 0]
    values = np.array(list(itertools.product((0, 1), repeat=KEYS)), "float32")
    parameters, nade = without_target(exported[0])
    given = np.repeat(parameters.predict({"x": x[:1]}, verbose=0)[:, 0], len(values), axis=0)
    p = 1 / (1 + np.exp(-np.asarray(nade.conditional_logits(given, values)) / temperature))
    probability = np.where(values, p, 1 - p).prod(axis=-1).astype("float64")
    counts = np.bincount((drawn @ [8, 4, 2, 1]).astype(int), minlength=len(values))
    expected = rows * probability / probability.sum()
    assert stats.chisquare(counts, expected).pvalue > UNLIKELY
    assert stats.chisquare(counts, np.full(len(values), rows / len(values))).pvalue < UNLIKELY


def test_what_is_refused(tmp_path):
    model = network()
    for export, title in ((export_litert, "LiteRT"), (export_onnx, "ONNX")):
        line = f"`model` must have independent outputs for {title}, got a NADE: export a SavedModel"
        with pytest.raises(UserError, match=line):
            export(model, tmp_path / "other")
    with pytest.raises(UserError, match="`probabilities` must be left out for a NADE"):
        export_saved_model(model, tmp_path / "served", probabilities="sigmoid")
    assert not list(tmp_path.iterdir())


def test_a_model_of_ones_own_that_predicts_other_frames(tmp_path):
    """There is nothing to feed back or to score, as x are no frames of the NADE."""
    x, v = keras.Input((None, 3)), keras.Input((None, KEYS))
    y = keras.layers.SimpleRNN(4, return_sequences=True)(x)
    model = keras.Model([x, v], NADE(KEYS, 3)([y, v]))
    signatures = read_record(export_saved_model(model, tmp_path / "m", check=False))["signatures"]
    assert set(signatures["serving_default"]["outputs"]) == {"y"}
    assert "generate" not in signatures


@pytest.mark.slow
def test_a_run_is_exported(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, **options: dataset(name))
    chosen = settings(output="nade", nade_units=3, epochs=1)
    training.train(chosen, tmp_path / "run", log=lambda line: None)
    names = ["generate", "initial_state"]
    folder = export_run(tmp_path / "run", check=False, signatures=names)
    assert read_record(folder)["probabilities"] is None
    model = load_keras_file(tmp_path / "run" / "model.keras")
    again = export_saved_model(model, tmp_path / "served", check=False, signatures=names)
    assert read_record(again)["weights"] == model.count_params()

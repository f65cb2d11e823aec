"""Dynamic evaluation: its results, and that no token is predicted by weights trained on it."""

import keras
import numpy as np
import pytest

from keras_deep_rnn import data
from keras_deep_rnn.data import Dataset
from keras_deep_rnn.data.batching import input_target_pairs
from keras_deep_rnn.training import dynamic_evaluation as dynamic
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.config import Settings
from keras_deep_rnn.training.evaluate import evaluate
from keras_deep_rnn.training.models import build_network
from keras_deep_rnn.training.results import table
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow

VOCABULARY = ("\n", "a", "b", "c", "d")


def dataset(kind="characters"):
    """A text whose test split has a pattern that training has not shown."""
    random = np.random.default_rng(0)
    train = random.integers(0, 5, 120)
    new = np.tile([1, 3, 2, 4], 60)
    splits = {name: [np.array(x, "int32")] for name, x in
              (("train", train), ("validation", new[:101]), ("test", new))}  # fmt: skip
    if kind == "piano_roll":
        splits = {name: [random.integers(0, 2, (6, 88)).astype("uint8")] for name in splits}
        return Dataset(kind, kind, splits, version="1", checksum="abc", step="step", description="")
    return Dataset(
        kind, kind, splits, vocabulary=VOCABULARY, step="character", version="1", checksum="abc",
        description="made up",
    )  # fmt: skip


def trained(folder, **regularization):
    settings = Settings(
        "characters", network="rnn", units=6, epochs=1, batch_size=2, bptt_steps=10, seed=3,
        **regularization,
    )  # fmt: skip
    training.train(settings, folder, log=lambda line: None)
    return Run(folder)


@pytest.fixture(autouse=True)
def load(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, **options: dataset(name))


@pytest.fixture
def run(tmp_path):
    noise = {"output_dropout": 0.5, "recurrent_dropout": 0.3, "weight_noise": 0.1}
    return trained(tmp_path / "run", **noise)


@pytest.mark.parametrize(
    "noise",
    [
        {"output_dropout": 0.5, "weight_noise": 0.1},
        {"dropout": 0.3, "zoneout": 0.3},
        {"tied": True, "word_dropout": 0.3, "weight_noise": 0.1},
    ],
    ids=str,
)
def test_without_learning_it_is_the_static_result(noise, tmp_path):
    """With a learning rate too small to move a weight: nothing is drawn, the state is carried."""
    run = trained(tmp_path / "run", **noise)
    weights = run.model().get_weights()
    found = dynamic.evaluate_split(run, weights, dataset(), "test", learning_rate=1e-30, steps=7)
    static = evaluate(run.model(batch_size=1), dataset(), "test")
    assert found["bits_per_character"] == pytest.approx(static["bits_per_character"], rel=1e-5)
    assert found["count"] == static["count"]


def test_each_segment_is_predicted_before_the_update_on_it(run):
    """Against the same by hand: predict, count, and only then update."""
    steps, rate = 8, 0.2
    found = dynamic.evaluate_split(run, run.model().get_weights(), dataset(), "test", rate, steps)
    network = {**run.config["network"], "weight_noise": 0.0, "output_dropout": 0.0}
    model = build_network(**{**network, "recurrent_dropout": 0.0}, stateful=True, batch_size=1)
    model.set_weights(run.model().get_weights())
    model.compile(
        keras.optimizers.SGD(rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    (pair,) = input_target_pairs(dataset().splits["test"], "characters", dataset().start)
    (inputs, targets), bits, reset = pair, [], 1.0
    carried = model.get_layer("recurrent")
    for first in range(0, len(targets), steps):
        x, y = (a[None, first : first + steps] for a in (inputs, targets))
        given = {"x": x, "reset": np.array([[reset]], "float32")}
        before = [keras.ops.convert_to_numpy(state).copy() for state in carried.states]
        logits = model.predict_on_batch(given)[0].astype("float64")
        for state, value in zip(carried.states, before):
            state.assign(value)  # the prediction has moved it on
        chance = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        bits += (-chance[np.arange(len(y[0])), y[0]] / np.log(2)).tolist()
        model.train_on_batch(given, y)
        reset = 0.0
    assert found["count"] == len(bits)
    assert found["bits_per_character"] == pytest.approx(np.mean(bits), rel=1e-4)


def test_learns_the_pattern_and_chooses_on_validation(run):
    lines = []
    found = dynamic.evaluate(
        run, dataset(), "test", learning_rates=(1e-30, 0.3), steps=(5, 10), log=lines.append
    )
    assert len(found["tried"]) == len(lines) == 4
    best = min(found["tried"], key=lambda result: result["bits_per_character"])
    assert found["validation"] == best
    assert (found["test"]["rate"], found["test"]["steps"]) == (best["rate"], best["steps"])
    static = evaluate(run.model(batch_size=1), dataset(), "test")
    assert best["rate"] == 0.3
    assert found["test"]["bits_per_character"] < static["bits_per_character"] - 0.2


def test_has_a_row_of_its_own_and_leaves_the_run_alone(run, monkeypatch):
    monkeypatch.setattr(dynamic.evaluate, "__kwdefaults__", {
        **dynamic.evaluate.__kwdefaults__, "learning_rates": (0.1,), "steps": (10,),
    })  # fmt: skip
    before = (run / "model.keras").read_bytes()
    metrics = training.evaluate_run(run.path, "test", dynamic=True, log=lambda line: None)
    assert set(metrics["dynamic"]) == {"tried", "validation", "test"}
    assert run.metrics == metrics
    assert (run / "model.keras").read_bytes() == before
    _, _, rows, _ = table(metrics, "test")
    number = metrics["dynamic"]["test"]["bits_per_character"]
    assert rows[-1] == ["rnn, dynamic, learning rate 0.1, 10 steps", f"{number:.3f}"]
    assert rows[-2][0] == "rnn"


def test_music_is_refused(run):
    with pytest.raises(UserError, match="`dynamic` must be left out for music"):
        dynamic.evaluate(run, dataset("piano_roll"), "test")

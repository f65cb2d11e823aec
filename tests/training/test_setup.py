"""The network that is trained, and what `fit` reads batches from."""

import keras
import numpy as np
import pytest
from made_up_runs import dataset, settings

from keras_deep_rnn.data.batching import PieceBatches
from keras_deep_rnn.training.baselines import music_baselines, text_baselines
from keras_deep_rnn.training.config import network_arguments
from keras_deep_rnn.training.metrics import frame_nll, token_nll
from keras_deep_rnn.training.setup import output_bias, prepare, stream


@pytest.mark.parametrize(("lengths", "steps"), [((3, 5, 4), None), ((4, 4, 4), 4)])
def test_a_stream_has_the_batches_of_the_epoch(lengths, steps):
    pieces = [np.full((length, 88), i % 2, "uint8") for i, length in enumerate(lengths)]
    batches = PieceBatches(pieces, 1, kind="piano_roll", shuffle=True)
    streamed = stream(batches)
    assert len(streamed) == 3
    assert streamed.element_spec[0]["x"].shape.as_list() == [1, steps, 88]
    assert not streamed.options().autotune.enabled
    for batches.epoch in (0, 1):
        found = [keras.tree.map_structure(np.asarray, batch) for batch in streamed]
        assert len(found) == 3
        for batch, expected in zip(found, (batches[i] for i in range(3))):
            keras.tree.map_structure(np.testing.assert_array_equal, batch, expected)


def prepared(kind, **more):
    data = dataset(kind)
    chosen = settings(kind, frequency_bias=True, **more).complete(data)
    return data, *prepare(chosen, data, network_arguments(chosen, data))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("piano_roll", {}),
        ("characters", {"bptt_steps": 5, "weight_noise": 1e-9}),
        ("words", {"bptt_steps": 5, "tied": True}),
    ],
)
def test_frequency_bias_starts_as_the_baseline_that_knows_frequencies(kind, more):
    data, model, training, _ = prepared(kind, output_stddev=1e-9, **more)
    x, y, weight = training[0]
    nll = frame_nll if kind == "piano_roll" else token_nll
    found = np.asarray(nll(y, model(x)))
    train, features = data.splits["train"], data.features
    if kind == "piano_roll":
        # Its tables know nothing but the frequencies of frames 2 to T.
        lengths = weight.sum(axis=1).astype(int)
        pieces = [np.vstack([y[b, :1], y[b, :n]]).astype("uint8") for b, n in enumerate(lengths)]
        expected = music_baselines(train, pieces)["per-key Bernoulli"]["frame"]
    else:
        expected = np.log(text_baselines(train[0], y.ravel(), features, "words")["unigram"])
    assert (found * weight).sum() / weight.sum() == pytest.approx(expected, rel=1e-4)


def test_frequency_bias_of_a_joint_output():
    _, model, _, _ = prepared("piano_roll", output="nade", nade_units=4)
    bias = np.asarray(output_bias(model))
    assert bias.shape == (88,)
    assert len(np.unique(bias)) > 1

"""A model with its states outside: whole, in pieces and step by step it is the model itself."""

import keras
import numpy as np
import pytest
from descriptors import D, randomize
from served_models import HALF, MODELS, inputs, keras_cells, lstm_and_gru, music, text

import keras_deep_rnn as kdr

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import tensorflow as tf

from keras_deep_rnn.export.checks.check_suite import TOLERANCE
from keras_deep_rnn.export.model.eligibility import call, precision
from keras_deep_rnn.export.model.streaming import Streamed


def graph(function, *arguments):
    """What a function gives as a graph of TensorFlow."""
    results = tf.function(function, autograph=False)(*map(tf.constant, arguments))
    return tf.nest.map_structure(lambda tensor: tensor.numpy().astype("float32"), results)


def everything(model, x):
    """Outputs of the model itself, then whole, prefill and steps with their last states."""
    streamed, rows = Streamed(model), len(x)
    assert streamed.why_not is None
    lengths = np.full(rows, x.shape[1], "int32")
    first = streamed.initial_state(rows)
    y, state = graph(streamed.prefill, x, lengths, first)
    step = tf.function(streamed.step, autograph=False)
    steps, stepped = [], first
    for t in range(x.shape[1]):
        y_t, stepped = step(tf.constant(x[:, t]), stepped)
        steps.append(y_t.numpy().astype("float32"))
    steps = np.stack(steps, axis=1) if y.ndim == 3 else steps[-1]
    return {
        "model": graph(lambda x: call(model, x), x),
        "whole": graph(streamed.whole, x, lengths),
        "prefill": y,
        "steps": steps,
        "state": state,
        "stepped": stepped.numpy(),
    }


@pytest.mark.parametrize("name", MODELS)
def test_equals_the_model(name):
    model = MODELS[name]()
    results = everything(model, inputs(model))
    np.testing.assert_array_equal(results["whole"], results["model"])
    np.testing.assert_array_equal(results["prefill"], results["model"])
    # Products of one step are summed in another order than those of all steps at once.
    np.testing.assert_allclose(results["steps"], results["model"], atol=1e-5)
    np.testing.assert_allclose(results["stepped"], results["state"], atol=1e-5)
    assert np.std(results["state"]) > 0


@pytest.mark.parametrize("name", HALF)
def test_equals_the_model_in_half_precision(name):
    model = HALF[name]()
    results = everything(model, inputs(model))
    np.testing.assert_array_equal(results["whole"], results["model"])
    np.testing.assert_array_equal(results["prefill"], results["model"])
    tolerance = TOLERANCE[precision(model)]
    size = np.max(np.abs(results["model"]))
    np.testing.assert_allclose(results["steps"], results["model"], atol=tolerance * max(size, 1))
    np.testing.assert_allclose(results["stepped"], results["state"], atol=tolerance)


def test_the_model_stays_as_it_is():
    model = lstm_and_gru()
    x, layer = inputs(model), model.layers[0]
    before, call_of_class = model(x), layer.call
    everything(model, x)
    assert "call" not in vars(layer)
    assert layer.call == call_of_class
    assert not layer.return_state
    np.testing.assert_array_equal(model(x), before)
    assert layer.output is not None  # as long as the layer is used in one place only


def test_states_of_keras_stacks_come_in_order():
    assert Streamed(keras_cells()).widths == [4, 4, 3]
    assert Streamed(lstm_and_gru()).widths == [4, 4, 5]
    model = kdr.build_network("srnn", kind="piano_roll", features=D, units=3, levels=3)
    assert (Streamed(model).widths, Streamed(model).size) == ([3, 3, 3], 9)


@pytest.mark.parametrize(
    ("network", "widths"), [("rhn", [4]), ("dt_gru", [4]), ("dt_lstm", [4, 4])]
)
def test_gated_networks_stream_all_their_states(network, widths):
    model = kdr.build_network(network, kind="piano_roll", features=D, units=4, depth=3)
    randomize(model)
    assert Streamed(model).widths == widths
    results = everything(model, inputs(model))
    np.testing.assert_array_equal(results["prefill"], results["model"])
    np.testing.assert_allclose(results["steps"], results["model"], atol=1e-5)
    np.testing.assert_allclose(results["stepped"], results["state"], atol=1e-5)
    assert results["state"].shape == (3, sum(widths))


@pytest.mark.parametrize("name", ["lstm_and_gru", "srnn_deep", "keras_cells", "text"])
def test_lengths_take_padding_out(name):
    model = MODELS[name]()
    streamed, x = Streamed(model), inputs(model)
    lengths = np.array([7, 2, 4], "int32")
    whole = graph(streamed.whole, x, lengths)
    y, state = graph(streamed.prefill, x, lengths, streamed.initial_state(3))
    for row, length in enumerate(lengths):
        alone = x[row : row + 1, :length]
        expected = graph(lambda x: call(model, x), alone)[0]
        _, own = graph(streamed.prefill, alone, lengths[row : row + 1], streamed.initial_state(1))
        for found in (whole, y):
            got = found[row, :length] if found.ndim == 3 else found[row]
            np.testing.assert_allclose(got, expected, atol=1e-5)
        np.testing.assert_allclose(state[row], own[0], atol=1e-5)


def masking():
    x = keras.Input((None, D))
    return keras.Model(x, keras.layers.GRU(2)(keras.layers.Masking()(x)))


def decoder():
    x = keras.Input((None, D))
    _, h = keras.layers.GRU(2, return_state=True)(x)
    return keras.Model(x, keras.layers.GRU(2)(x, initial_state=h))


@pytest.mark.parametrize(
    ("model", "why_not"),
    [
        (lambda: music(go_backwards=True), "go_backwards=True and needs the end of a sequence"),
        (lambda: text(mask_zero=True), "gets a mask from the model"),
        (masking, "gets a mask from the model"),
        (decoder, "gets its first state from another layer"),
        (
            lambda: keras.Sequential(
                [keras.Input((None, D)), keras.layers.Bidirectional(keras.layers.GRU(2))]
            ),
            "is Bidirectional and needs the end of a sequence",
        ),
        (lambda: keras.Sequential([keras.Input((None, D)), keras.layers.Dense(2)]), "recurrent"),
    ],
)
def test_models_without_a_step(model, why_not):
    streamed = Streamed(model())
    assert streamed.widths is None
    assert why_not in streamed.why_not


@pytest.mark.parametrize("recurrent", [keras.layers.LSTM, kdr.DeepTransitionRNN])
def test_whole_sequences_need_no_step(recurrent):
    """Bidirectional layers read padding first on the way back; `lengths` masks it there too."""
    model = keras.Sequential(
        [
            keras.Input((None, D)),
            keras.layers.Bidirectional(recurrent(4, return_sequences=True)),
            keras.layers.Dense(2),
        ]
    )
    x, lengths = inputs(model), np.array([7, 2, 4], "int32")
    whole = graph(Streamed(model).whole, x, lengths)
    for row, length in enumerate(lengths):
        expected = graph(lambda x: call(model, x), x[row : row + 1, :length])[0]
        np.testing.assert_allclose(whole[row, :length], expected, atol=1e-5)


def test_a_mask_of_the_model_and_lengths_together():
    model = text(mask_zero=True)
    x = np.array([[3, 0, 2, 0, 4], [1, 2, 3, 4, 1]], "int32")
    lengths = np.array([3, 4], "int32")
    whole = graph(Streamed(model).whole, x, lengths)
    for row, length in enumerate(lengths):
        expected = graph(lambda x: call(model, x), x[row : row + 1, :length])[0]
        np.testing.assert_allclose(whole[row, :length], expected, atol=1e-5)

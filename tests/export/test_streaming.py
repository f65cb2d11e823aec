"""A model with its states outside: whole, in pieces and step by step it is the model itself."""

import re

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
from keras_deep_rnn.export.model.streaming import StreamingModel

pytestmark = pytest.mark.slow


def graph(function, *arguments):
    """What a function gives as a graph of TensorFlow."""
    results = tf.function(function, autograph=False)(*map(tf.constant, arguments))
    return tf.nest.map_structure(lambda tensor: tensor.numpy().astype("float32"), results)


def everything(model, x):
    """Outputs of the model itself, then whole, prefill and steps with their last states."""
    streaming, rows = StreamingModel(model), len(x)
    assert streaming.unsupported_reason is None
    lengths = np.full(rows, x.shape[1], "int32")
    first = streaming.initial_state(rows)
    y, state = graph(streaming.prefill, x, lengths, first)
    step = tf.function(streaming.step, autograph=False)
    steps, stepped = [], first
    for t in range(x.shape[1]):
        y_t, stepped = step(tf.constant(x[:, t]), stepped)
        steps.append(y_t.numpy().astype("float32"))
    steps = np.stack(steps, axis=1) if y.ndim == 3 else steps[-1]
    return {
        "model": graph(lambda x: call(model, x), x),
        "whole": graph(streaming.whole, x, lengths),
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
    assert StreamingModel(keras_cells()).widths == [4, 4, 3]
    assert StreamingModel(lstm_and_gru()).widths == [4, 4, 5]
    model = kdr.build_network("srnn", kind="piano_roll", features=D, units=3, levels=3)
    assert (StreamingModel(model).widths, StreamingModel(model).size) == ([3, 3, 3], 9)


@pytest.mark.parametrize(
    ("network", "widths"), [("rhn", [4]), ("dt_gru", [4]), ("dt_lstm", [4, 4])]
)
def test_gated_networks_stream_all_their_states(network, widths):
    model = kdr.build_network(network, kind="piano_roll", features=D, units=4, depth=3)
    randomize(model)
    assert StreamingModel(model).widths == widths
    results = everything(model, inputs(model))
    np.testing.assert_array_equal(results["prefill"], results["model"])
    np.testing.assert_allclose(results["steps"], results["model"], atol=1e-5)
    np.testing.assert_allclose(results["stepped"], results["state"], atol=1e-5)
    assert results["state"].shape == (3, sum(widths))


@pytest.mark.parametrize("name", ["lstm_and_gru", "srnn_deep", "keras_cells", "text"])
def test_lengths_take_padding_out(name):
    model = MODELS[name]()
    streaming, x = StreamingModel(model), inputs(model)
    lengths = np.array([7, 2, 4], "int32")
    whole = graph(streaming.whole, x, lengths)
    y, state = graph(streaming.prefill, x, lengths, streaming.initial_state(3))
    for row, length in enumerate(lengths):
        alone = x[row : row + 1, :length]
        expected = graph(lambda x: call(model, x), alone)[0]
        _, own = graph(streaming.prefill, alone, lengths[row : row + 1], streaming.initial_state(1))
        for found in (whole, y):
            got = found[row, :length] if found.ndim == 3 else found[row]
            np.testing.assert_allclose(got, expected, atol=1e-5)
        np.testing.assert_allclose(state[row], own[0], atol=1e-5)


def nested_in_noise():
    """A model in a model in WeightNoise, and an operation of keras.ops."""
    inner = keras.Sequential([keras.Input((None, D)), keras.layers.LSTM(D, return_sequences=True)])
    x = keras.Input((None, D))
    noisy = kdr.WeightNoise(keras.Sequential([keras.Input((None, D)), inner]))
    layer = kdr.DeepTransitionGRU(D, return_sequences=True, learn_initial_state=True, dropout=0.5)
    model = keras.Model(x, keras.ops.tanh(kdr.WeightNoise(layer)(noisy(x) + x)))
    randomize(model)
    return model


def test_models_in_models_and_in_noise():
    model = nested_in_noise()
    assert StreamingModel(model).widths == [D, D, D]
    results = everything(model, inputs(model))
    np.testing.assert_array_equal(results["whole"], results["model"])
    np.testing.assert_array_equal(results["prefill"], results["model"])
    np.testing.assert_allclose(results["steps"], results["model"], atol=1e-5)
    np.testing.assert_allclose(results["stepped"], results["state"], atol=1e-5)


def test_weights_are_those_of_the_model():
    model = nested_in_noise()
    streaming, x = StreamingModel(model), inputs(model)
    model.set_weights([weight / 2 for weight in model.get_weights()])
    expected = graph(lambda x: call(model, x), x)
    np.testing.assert_array_equal(graph(streaming.whole, x), expected)


@pytest.mark.parametrize("layer", [keras.layers.SimpleRNN, keras.layers.LSTM, keras.layers.GRU])
def test_nothing_is_drawn(layer):
    """Keras draws masks of dropout in inference too, and moves its seed on."""
    recurrent = layer(4, return_sequences=True, dropout=0.3, recurrent_dropout=0.3)
    model = keras.Sequential([keras.Input((None, D)), recurrent])
    streaming = StreamingModel(model)
    functions = {
        "whole": (streaming.whole, inputs(model)),
        "step": (streaming.step, inputs(model)[:, 0], streaming.initial_state(3)),
    }
    for function, *arguments in functions.values():
        traced = tf.function(function, autograph=False).get_concrete_function(
            *map(tf.constant, arguments)
        )
        definition = traced.graph.as_graph_def()
        nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
        assert not [node.op for node in nodes if "Random" in node.op or "Assign" in node.op]
    assert (recurrent.cell.dropout, recurrent.cell.recurrent_dropout) == (0.3, 0.3)


def masking():
    x = keras.Input((None, D))
    return keras.Model(x, keras.layers.GRU(2)(keras.layers.Masking()(x)))


def decoder():
    x = keras.Input((None, D))
    _, h = keras.layers.GRU(2, return_state=True)(x)
    return keras.Model(x, keras.layers.GRU(2)(x, initial_state=h))


class Block(keras.layers.Layer):
    """A layer of a user's with a recurrent one inside."""

    def __init__(self):
        super().__init__()
        self.recurrent = keras.layers.GRU(2, return_sequences=True)

    def call(self, x, mask=None):
        return self.recurrent(x, mask=mask)


def blocks():
    return keras.Sequential([keras.Input((None, D)), Block()])


@pytest.mark.parametrize(
    ("model", "unsupported_reason"),
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
        (blocks, "'block.*' hides the states of the recurrent layer inside of it"),
        (lambda: music(shape=(9, 88)), "the model takes sequences of 9 steps alone"),
    ],
)
def test_models_without_a_step(model, unsupported_reason):
    streaming = StreamingModel(model())
    assert streaming.widths == []
    assert re.search(unsupported_reason, streaming.unsupported_reason)


def bidirectional(recurrent):
    return keras.Sequential(
        [
            keras.Input((None, D)),
            keras.layers.Bidirectional(recurrent(4, return_sequences=True)),
            keras.layers.Dense(2),
        ]
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: bidirectional(keras.layers.LSTM),
        lambda: bidirectional(kdr.DeepTransitionRNN),
        blocks,
    ],
)
def test_whole_sequences_need_no_step(make):
    """Bidirectional layers read padding first on the way back; `lengths` masks it there too."""
    model = make()
    x, lengths = inputs(model), np.array([7, 2, 4], "int32")
    whole = graph(StreamingModel(model).whole, x, lengths)
    for row, length in enumerate(lengths):
        expected = graph(lambda x: call(model, x), x[row : row + 1, :length])[0]
        np.testing.assert_allclose(whole[row, :length], expected, atol=1e-5)


def test_a_mask_of_the_model_and_lengths_together():
    model = text(mask_zero=True)
    x = np.array([[3, 0, 2, 0, 4], [1, 2, 3, 4, 1]], "int32")
    lengths = np.array([3, 4], "int32")
    whole = graph(StreamingModel(model).whole, x, lengths)
    for row, length in enumerate(lengths):
        expected = graph(lambda x: call(model, x), x[row : row + 1, :length])[0]
        np.testing.assert_allclose(whole[row, :length], expected, atol=1e-5)

"""Models that the tests of the export share."""

import keras
import numpy as np
from descriptors import NETWORKS, D, randomize

import keras_deep_rnn as kdr


def of_network(network, **options):
    """A network of descriptors.py with a layer to the classes."""
    layer = network.make_layer(return_sequences=True, **options)
    model = keras.Sequential([keras.Input((None, D)), layer, keras.layers.Dense(4)])
    randomize(model)
    return model


def music(units=6, shape=(None, 88), **arguments):
    """A small network of piano-rolls; its input has no name, as users leave it."""
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.SimpleRNN(units, return_sequences=True, **arguments),
            keras.layers.Dense(88),
        ]
    )
    randomize(model)
    return model


def text(dtype="float32", tokens=5, **arguments):
    """A small network of tokens, whose inputs and outputs have names of their own."""
    x = keras.Input((None,), dtype="int32", name="tokens")
    h = keras.layers.Embedding(tokens, 4, dtype=dtype, **arguments)(x)
    h = keras.layers.SimpleRNN(7, return_sequences=True, dropout=0.5, dtype=dtype)(h)
    model = keras.Model({"tokens": x}, {"y": keras.layers.Dense(tokens, dtype=dtype)(h)})
    randomize(model)
    return model


def tied(dtype="float32"):
    """A network of tokens whose logits use the transpose of their embedding."""
    options = {"units": 4, "tied": True, "word_dropout": 0.2, "weight_noise": 0.1}
    model = kdr.build_network("do_rnn", kind="words", features=5, dtype=dtype, **options)
    randomize(model)
    return model


def lstm_and_gru(dtype="float32"):
    """Two of Keras's layers one upon the other."""
    model = keras.Sequential(
        [
            keras.Input((None, D)),
            keras.layers.LSTM(4, return_sequences=True, dtype=dtype),
            keras.layers.GRU(5, return_sequences=True, dtype=dtype),
            keras.layers.Dense(2, dtype=dtype),
        ]
    )
    randomize(model)
    return model


def keras_cells():
    """Keras's own stack of cells, with states in lists of lists; the last step alone."""
    cells = [keras.layers.LSTMCell(4), keras.layers.GRUCell(3)]
    model = keras.Sequential([keras.Input((None, D)), keras.layers.RNN(cells)])
    randomize(model)
    return model


def shared_and_nested():
    """One recurrent layer used twice, once inside of a model in the model."""
    recurrent = keras.layers.SimpleRNN(D, return_sequences=True)
    inner = keras.Sequential([keras.Input((None, D)), recurrent, keras.layers.LayerNormalization()])
    x = keras.Input((None, D))
    model = keras.Model(x, keras.layers.Add()([recurrent(inner(x)), keras.layers.Dense(D)(x)]))
    randomize(model)
    return model


def with_states_as_outputs():
    """Layers that give out more than y, which the model then uses."""
    x = keras.Input((None, D))
    y, _, hs = kdr.DeepTransitionRNN(
        4, return_sequences=True, return_state=True, return_state_sequences=True
    )(x)
    z, _, _ = keras.layers.LSTM(4, return_sequences=True, return_state=True)(y)
    model = keras.Model(x, keras.layers.Concatenate()([y, hs, z]))
    randomize(model)
    return model


MODELS = {
    **{f"{network}": lambda network=network: of_network(network) for network in NETWORKS},
    "music": music,
    "text": text,
    "tied": tied,
    "lstm_and_gru": lstm_and_gru,
    "keras_cells": keras_cells,
    "shared_and_nested": shared_and_nested,
    "with_states_as_outputs": with_states_as_outputs,
}
HALF = {
    **{
        f"{network} {dtype}": lambda n=network, d=dtype: of_network(n, dtype=d)
        for network, dtype in zip(NETWORKS, 2 * len(NETWORKS) * ["mixed_float16", "mixed_bfloat16"])
    },
    "lstm_and_gru mixed_float16": lambda: lstm_and_gru("mixed_float16"),
    "text mixed_bfloat16": lambda: text("mixed_bfloat16"),
    "tied mixed_bfloat16": lambda: tied("mixed_bfloat16"),
}


def inputs(model, batch=3, steps=7, seed=0):
    """Random x for a model."""
    random, shape = np.random.default_rng(seed), (batch, steps, *model.inputs[0].shape[2:])
    if len(shape) == 2:
        return random.integers(0, 5, shape).astype("int32")
    return random.normal(size=shape).astype("float32")

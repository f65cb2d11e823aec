"""Every network against the NumPy transcription of the paper's equations."""

import keras
import numpy as np
import pytest
from descriptors import NETWORKS, expected, first_states, randomize, sequences, to_numpy

import keras_deep_rnn as kdr

EVERYTHING = {"return_sequences": True, "return_state": True, "return_state_sequences": True}
MASK = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]], bool)


def check(layer, x, states=None, mask=None, call=None):
    call = call or layer
    outputs, histories = expected(layer, x, states, mask)
    result, count = call(x, initial_state=states, mask=mask), len(histories)
    y, last, sequences_of_states = result[0], result[1 : 1 + count], result[1 + count :]
    np.testing.assert_allclose(to_numpy(y), outputs, atol=1e-5)
    for state, sequence, history in zip(last, sequences_of_states, histories):
        np.testing.assert_allclose(to_numpy(sequence), history, atol=1e-5)
        np.testing.assert_allclose(to_numpy(state), history[:, -1], atol=1e-5)


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_layer(network, backwards, masked):
    layer = network.make_layer(go_backwards=backwards, **EVERYTHING)
    x, mask = sequences(), MASK if masked else None
    layer.build(x.shape)
    randomize(layer)
    check(layer, x, first_states(layer), mask)
    check(layer, x, mask=mask)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["unroll", "zero_output_for_mask"])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_options_of_the_loop(network, option):
    layer = network.make_layer(**{option: True}, **EVERYTHING)
    x = sequences()
    layer.build(x.shape)
    randomize(layer)
    check(layer, x, first_states(layer), MASK)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "linear"])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_activations(network, activation):
    if network.layer is kdr.DeepRNN:
        pytest.skip("its operators have the activations")
    layer = network.make_layer(activation=activation, **EVERYTHING)
    x = sequences()
    layer.build(x.shape)
    randomize(layer, scale=0.3)
    check(layer, x, first_states(layer))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_without_bias(network):
    if network.layer is kdr.DeepRNN:
        pytest.skip("its operators have the biases")
    layer = network.make_layer(use_bias=False, **EVERYTHING)
    x = sequences()
    layer.build(x.shape)
    randomize(layer)
    assert not any("bias" in w.path for w in layer.weights)
    check(layer, x, first_states(layer))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jit", "known_length"),
    [(False, False), (True, False), (True, True)],
    ids=["None", "jit-None", "jit-T"],
)
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_compiled(network, jit, known_length):
    x = sequences()
    inputs = keras.Input((x.shape[1] if known_length else None, x.shape[2]))
    layer = network.make_layer(**EVERYTHING)
    outputs = layer(inputs)
    model = keras.Model(inputs, outputs)
    randomize(layer)
    if keras.backend.backend() == "torch" and jit:
        pytest.skip("torch.compile of a Python loop over time takes minutes")
    model.compile(jit_compile=jit)
    check(layer, x, call=lambda x, **_: model.predict(x, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_cell_in_keras_rnn(network, masked):
    """`keras.layers.RNN(cell)` gives the numbers of the layer."""
    if masked and keras.backend.backend() == "jax":
        pytest.skip("Keras's loop on JAX puts out the first state, not zeros, at masked steps")
    cell = network.make_cell()
    rnn = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    layer = network.make_layer(return_sequences=True, return_state=True)
    x, mask = sequences(), MASK if masked else None
    rnn.build(x.shape)
    layer.build(x.shape)
    randomize(layer)
    cell.set_weights(layer.get_weights())
    states = first_states(layer)
    for of_cell, of_layer in zip(
        rnn(x, initial_state=states, mask=mask), layer(x, initial_state=states, mask=mask)
    ):
        np.testing.assert_allclose(to_numpy(of_cell), to_numpy(of_layer), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_one_step_of_the_cell(network):
    cell = network.make_cell()
    layer = network.make_layer(return_state=True)
    x = sequences(steps=1)
    layer.build(x.shape)
    cell.build(x[:, 0].shape)
    randomize(layer)
    cell.set_weights(layer.get_weights())
    states = first_states(layer)
    y, new_states = cell(x[:, 0], states)
    outputs, histories = expected(layer, x, states)
    np.testing.assert_allclose(to_numpy(y), outputs[:, 0], atol=1e-5)
    for state, history in zip(new_states, histories):
        np.testing.assert_allclose(to_numpy(state), history[:, 0], atol=1e-5)

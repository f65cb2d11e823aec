"""Dropout masks: constant over time, fresh per batch, reproducible, off at inference."""

import keras
import numpy as np
import pytest
from descriptors import NETWORKS, expected, randomize, sequences, to_numpy

import keras_deep_rnn as kdr


def with_dropout(network, make="make_layer", **options):
    rates = {"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 7}
    if {"output_units", "predict"} & set(network.arguments):
        rates["output_dropout"] = 0.5
    thing = getattr(network, make)(**rates, **options)
    return thing


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_one_mask_for_the_whole_sequence(rate):
    """With ⊕ = addition, what is dropped once is dropped at every step."""
    layer = kdr.DeepRNN(
        keras.layers.Add(), state_size=8, return_state_sequences=True, seed=3, **{rate: 0.5}
    )
    _, states = layer(np.ones((4, 6, 8), "float32"), training=True)
    states = to_numpy(states)
    if rate == "dropout":
        mask = states[:, 0]
        np.testing.assert_allclose(states, mask[:, None] * np.arange(1, 7)[None, :, None])
    else:
        mask = states[:, 1] - 1
        expected = [np.ones_like(mask)]
        for _ in range(5):
            expected.append(1 + mask * expected[-1])
        np.testing.assert_allclose(states, np.stack(expected, axis=1))
    assert set(np.unique(mask)) == {0.0, 2.0}


def test_output_dropout_leaves_the_state_alone():
    options = {"output_units": (8,), "output_activation": "linear", "use_bias": False}
    layer = kdr.DeepOutputRNN(
        8, **options, output_dropout=0.5, seed=1, return_state=True, return_sequences=True
    )
    x = sequences()
    _, state = layer(x)
    y, state_in_training = layer(x, training=True)
    np.testing.assert_allclose(to_numpy(state), to_numpy(state_in_training), atol=1e-6)
    kernel = layer.get_weights()[-1]
    h = to_numpy(y) @ np.linalg.inv(kernel)
    dropped = np.abs(h) < 1e-4
    assert 0 < dropped.mean() < 1
    assert (dropped == dropped[:, :1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_fresh_per_batch_and_off_at_inference(network):
    layer = with_dropout(network)
    x = sequences()
    first, second = (to_numpy(layer(x, training=True)) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(layer(x)))
    plain = network.make_layer()
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_reproducible_and_the_same_in_keras_rnn(network):
    x = sequences()
    layer, again = with_dropout(network), with_dropout(network)
    rnn = keras.layers.RNN(with_dropout(network, "make_cell"))
    for other in (layer, again, rnn):
        other.build(x.shape)
    again.set_weights(layer.get_weights())
    rnn.cell.set_weights(layer.get_weights())
    for _ in range(2):
        y = to_numpy(layer(x, training=True))
        np.testing.assert_array_equal(y, to_numpy(again(x, training=True)))
        np.testing.assert_allclose(y, to_numpy(rnn(x, training=True)), atol=1e-5)


def masks_of(cell, x, h):
    """The masks that a cell draws for a sequence, in the order in which it draws them."""
    masks = cell.get_dropout_mask(x), cell.get_recurrent_dropout_mask(h)
    masks = [to_numpy(m) for m in (*masks, cell.get_output_dropout_mask(h)) if m is not None]
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    return masks if len(masks) == 3 else [*masks, None]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_against_the_equations(network):
    """Masks of x, of h(t-1) as the source of every kernel, and of the input of ▷."""
    layer, twin = (
        with_dropout(network, return_sequences=True, return_state_sequences=True) for _ in range(2)
    )
    x = sequences()
    layer.build(x.shape)
    randomize(layer)
    cells = twin.cell.cells if isinstance(twin, kdr.StackedRNN) else [twin.cell]
    dropped, width = [], x.shape[-1]
    for cell in cells:
        h = np.ones((3, keras.tree.flatten(cell.state_size)[0]), "float32")
        dropped.append(masks_of(cell, np.ones((3, width), "float32"), h))
        width = cell.output_size
    outputs, histories = expected(layer, x, dropped=dropped)
    y, *state_sequences = layer(x, training=True)
    np.testing.assert_allclose(to_numpy(y), outputs, atol=1e-5)
    for sequence, history in zip(state_sequences, histories, strict=True):
        np.testing.assert_allclose(to_numpy(sequence), history, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_trains_with_dropout(network):
    x = sequences(batch=8)
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), with_dropout(network), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    history = model.fit(x, x.sum(axis=(1, 2))[:, None], epochs=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()

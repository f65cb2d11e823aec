"""Stable by default: deep networks train on long sequences with default arguments."""

import keras
import numpy as np
import pytest

from keras_deep_rnn import build_network

STEPS = 500
DEEP = ["dt_rnn", "dts_rnn", "dot_rnn", "dots_rnn"]


def pieces(rows=4, keys=12, seed=0):
    """Melodies that walk along a scale, as piano-rolls."""
    rng = np.random.default_rng(seed)
    notes = np.cumsum(rng.integers(-1, 2, size=(rows, STEPS + 1)), axis=1) % keys
    rolls = np.eye(keys, dtype="float32")[notes]
    return rolls[:, :-1], rolls[:, 1:]


@pytest.mark.parametrize("network", DEEP)
@pytest.mark.parametrize("depth", [1, 10])
def test_trains_at_any_depth(network, depth):
    keras.utils.set_random_seed(1)
    units = 16
    sizes = {"transition_units": (units,) * (depth - 1) or None}
    if depth == 1:
        network = {"dt_rnn": "rnn", "dts_rnn": "rnn"}.get(network, "do_rnn")
        sizes = {}
    model = build_network(network, kind="piano_roll", features=12, units=units, **sizes)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss)
    x, y = pieces()
    losses = model.fit({"x": x}, y, batch_size=4, epochs=50, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    assert all(np.isfinite(w).all() for w in model.get_weights())

"""Stable by default: deep networks train on long sequences with default arguments."""

import keras
import numpy as np
import pytest

from keras_deep_rnn import build_network

pytestmark = pytest.mark.slow

STEPS = 500
DEEP = ("dt_rnn", "dts_rnn", "dot_rnn", "dots_rnn")
# Depth of the transition; in the others the levels, or the layers of input or output.
CASES = [
    ("rnn", 1),
    *((network, depth) for network in DEEP for depth in (2, 10)),
    ("deep_input_rnn", 3),
    ("do_rnn", 3),
    ("srnn", 3),
]


def sizes(network, depth, units):
    if network in DEEP:
        return {"transition_units": (units,) * (depth - 1)}
    layers = (units,) * depth
    return {
        "rnn": {},
        "deep_input_rnn": {"input_units": layers},
        "do_rnn": {"output_units": layers},
        "srnn": {"levels": depth},
    }[network]


def pieces(rows=4, keys=12, seed=0):
    """Melodies that walk along a scale, as piano-rolls."""
    rng = np.random.default_rng(seed)
    notes = np.cumsum(rng.integers(-1, 2, size=(rows, STEPS + 1)), axis=1) % keys
    rolls = np.eye(keys, dtype="float32")[notes]
    return rolls[:, :-1], rolls[:, 1:]


@pytest.mark.parametrize(("network", "depth"), CASES)
def test_trains_at_any_depth(network, depth):
    keras.utils.set_random_seed(1)
    model = build_network(
        network, kind="piano_roll", features=12, units=16, **sizes(network, depth, 16)
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss)
    # TensorFlow traces a step a second time if the first time has made variables.
    model.optimizer.build(model.trainable_variables)
    x, y = pieces()
    losses = model.fit({"x": x}, y, batch_size=4, epochs=20, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    assert all(np.isfinite(w).all() for w in model.get_weights())

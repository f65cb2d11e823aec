"""Gradients against finite differences, in float64, of the paper's equations."""

import keras
import numpy as np
import pytest
from descriptors import NETWORKS, expected, first_states, randomize, sequences

pytestmark = pytest.mark.slow

MASK = np.array([[0, 1, 1, 0], [1, 1, 1, 0]], bool)


class Probe(keras.layers.Layer):
    """Inputs of the layer under test as weights, so that one step of SGD shows their gradients."""

    def __init__(self, layer, x, states, mask):
        super().__init__(dtype=DTYPE)
        self.layer, self.mask = layer, mask
        self.probes = [
            self.add_weight(shape=v.shape, initializer=lambda shape, dtype=None, v=v: v)
            for v in (x, *states)
        ]

    def call(self, inputs):
        x, *states = (keras.ops.convert_to_tensor(p) for p in self.probes)
        results = self.layer(x, initial_state=states or None, mask=self.mask)
        rows = [keras.ops.reshape(r, (2, -1)) for r in results]
        return keras.ops.concatenate(rows, axis=-1) + 0 * inputs


def loss_of(layer, values, mask, factors):
    weights = values[-len(layer.weights) :]
    x, *states = values[: -len(weights)]
    outputs, histories = expected(layer, x, states or None, mask, weights)
    rows = [outputs.reshape(2, -1)] + [h[:, -1] for h in histories]
    return float(np.sum(np.concatenate(rows, axis=-1) * factors))


# Each network is compiled for JAX, which takes long. The gradients of its plain loop are its own;
# tests/recurrence/test_recurrence.py holds the fast loop against it for the others.
SOME = NETWORKS[::3] if keras.backend.backend() == "jax" else NETWORKS
# Keras multiplies float64 matrices in float32 on PyTorch, and JAX has no float64 unless told to.
# The finite differences are those of the NumPy equations, in float64 always.
DTYPE = "float64" if keras.backend.backend() == "tensorflow" else "float32"
TOLERANCE = {"float64": {"rtol": 1e-6, "atol": 1e-8}, "float32": {"rtol": 1e-4, "atol": 1e-4}}


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("network", SOME, ids=str)
def test_against_finite_differences(network, masked):
    layer = network.make_layer(return_sequences=True, return_state=True, dtype=DTYPE)
    x = sequences(batch=2, steps=4).astype("float64")
    layer.build(x.shape)
    randomize(layer)
    learned = network.arguments.get("learn_initial_state")
    states = [] if learned else [s.astype("float64") for s in first_states(layer, batch=2)]
    mask = MASK if masked else None
    width = 4 * layer.cell.output_size + sum(layer.state_size)
    # Exact in float32, to which the trainers may cast targets.
    factors = np.random.default_rng(3).integers(-8, 8, size=(2, width)) / 4

    probe = Probe(layer, x, states, mask)
    inputs = keras.Input((1,), batch_size=2, dtype=DTYPE)
    model = keras.Model(inputs, probe(inputs))
    # One step is done before TensorFlow has traced one.
    eagerly = keras.backend.backend() == "tensorflow"
    model.compile(
        keras.optimizers.SGD(1.0),
        lambda y_true, y: keras.ops.sum(y * y_true),
        run_eagerly=eagerly,
        jit_compile=False,
    )
    before = [np.asarray(w.numpy(), "float64") for w in (*probe.probes, *layer.weights)]
    model.train_on_batch(np.zeros((2, 1)), factors)
    after = [np.asarray(w.numpy(), "float64") for w in (*probe.probes, *layer.weights)]

    rng = np.random.default_rng(4)
    for k, (old, new) in enumerate(zip(before, after)):
        gradient = old - new
        for _ in range(3):
            index = tuple(rng.integers(n) for n in old.shape)
            sides = []
            for step in (1e-5, -1e-5):
                moved = [value.copy() for value in before]
                moved[k][index] += step
                sides.append(loss_of(layer, moved, mask, factors))
            slope = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(gradient[index], slope, **TOLERANCE[DTYPE])

"""An activation with a learned parameter: a Keras layer, as a newcomer writes it."""

import keras
import numpy as np
import pytest
from descriptors import D, H, randomize, sequences, to_numpy
from keras import ops
from loops import ALL, MASK, both

import keras_deep_rnn as kdr


@keras.saving.register_keras_serializable("test_learned_activation")
class LearnedSwish(keras.layers.Layer):
    """phi(z) = z sigmoid(beta z), beta learned for each unit (arXiv:1710.05941)."""

    def build(self, shape):
        self.beta = self.add_weight(name="beta", shape=(shape[-1],), initializer="ones")

    def call(self, z):
        return z * ops.sigmoid(self.beta * z)


MAKE = {
    "DT(S)-RNN": lambda **o: kdr.DeepTransitionRNN(H, (4,), True, activation=LearnedSwish(), **o),
    "intermediate": lambda **o: kdr.DeepTransitionRNN(
        H, (4,), True, intermediate_activation=LearnedSwish(), **o
    ),
    "RHN": lambda **o: kdr.RecurrentHighway(H, depth=2, activation=LearnedSwish(), **o),
}
BETAS = {"DT(S)-RNN": [(4,), (H,)], "intermediate": [(4,)], "RHN": [(H,)]}


def betas(layer):
    return [to_numpy(w) for w in layer.trainable_weights if w.path.endswith("/beta")]


@pytest.mark.parametrize("name", MAKE)
def test_runs_in_the_fast_loop_with_the_gradients_of_the_plain_one(name):
    assert MAKE[name]().recurrence == "fast"
    both(lambda: MAKE[name](**ALL), sequences(), MASK)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKE)
def test_its_weights_train_and_are_saved(name, tmp_path):
    layer = MAKE[name]()
    model = keras.Sequential([keras.Input((None, D)), layer, keras.layers.Dense(1)])
    before = betas(layer)
    assert [beta.shape for beta in before] == BETAS[name]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = sequences()
    model.fit(x, np.ones((3, 1)), epochs=2, verbose=0)
    assert all((a != b).all() for a, b in zip(betas(layer), before, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))


@pytest.mark.parametrize("name", MAKE)
def test_a_single_step_uses_it(name):
    layer = MAKE[name](return_sequences=True)
    layer.build((None, None, D))
    randomize(layer, scale=0.3)
    x = sequences()
    expected = to_numpy(layer(x))[:, 0]
    np.testing.assert_allclose(to_numpy(layer.step(x[:, 0])[0]), expected, atol=1e-6)
    np.testing.assert_allclose(layer.stepper()(x[:, 0])[0], expected, atol=1e-6)

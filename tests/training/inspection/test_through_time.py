"""Gradients through time and Jacobians, against closed forms and finite differences."""

import keras
import numpy as np
import pytest
from inspected import linear, model_of, x_of
from keras import ops

import keras_deep_rnn
from keras_deep_rnn import DeepOutputTransitionRNN, DeepTransitionLSTM


@pytest.mark.parametrize("a", [0.5, 1.5])
def test_linear_network(a):
    """dh(t)/dh(t-1) = a I, and the last output's gradient falls as a^k."""
    x = x_of(batch=3, steps=6)
    model = model_of(linear(a))
    (layer,) = keras_deep_rnn.inspect(model, x).layers
    np.testing.assert_allclose(layer.singular_value, np.full(6, a), rtol=1e-5)
    np.testing.assert_allclose(layer.gradient_left, np.tile(a ** np.arange(6), (3, 1)), rtol=1e-4)
    # Half the mean square of h(T), of 3 rows of 4 numbers: dL/dh(T) = h(T) / 12.
    h = layer.states[0]
    last = np.linalg.norm(h[:, -1], axis=-1) / 12
    expected = last[:, None] * a ** np.arange(5, -1, -1)
    np.testing.assert_allclose(layer.gradient_norm, expected, rtol=1e-4)
    np.testing.assert_allclose(h[:, -1], ops.convert_to_numpy(model(x)), rtol=1e-5)
    assert layer.saturation == {}


LAYERS = {
    "dots": lambda **options: DeepOutputTransitionRNN(
        4, transition_units=(5,), output_units=(3,), shortcut=True, zoneout=0.2, **options
    ),
    "lstm": lambda **options: DeepTransitionLSTM(4, **options),
}


@pytest.mark.parametrize("name", LAYERS)
def test_by_finite_differences(name):
    """The gradient of a later loss with respect to h(t) is that with respect to a first state."""
    layer, t, x = LAYERS[name](return_sequences=True), 2, x_of(batch=1, steps=5)
    model = model_of(layer)
    target = np.ones_like(ops.convert_to_numpy(model(x)))
    target[:, : t + 1] = 0
    weight = np.array([[0, 0, 0, 1, 1]], "float32")
    loss = keras.losses.MeanSquaredError(reduction="sum")
    (found,) = keras_deep_rnn.inspect(model, (x, target, weight), loss=loss).layers
    states = [state[:, t] for state in found.states]

    def later(states):
        y = ops.convert_to_numpy(layer(x[:, t + 1 :], initial_state=list(states)))
        return np.mean(np.square(y - 1), axis=-1).sum(dtype="float64")

    def step(states):
        new = layer.step(x[:, t + 1], [ops.convert_to_tensor(s) for s in states])[1]
        return np.concatenate([ops.convert_to_numpy(s)[0] for s in new])

    def slopes(function, step=1e-2):
        columns = []
        for k, state in enumerate(states):
            for j in range(state.shape[-1]):
                sides = []
                for sign in (1, -1):
                    moved = [state.copy() for state in states]
                    moved[k][0, j] += sign * step
                    sides.append(function(moved))
                columns.append((sides[0] - sides[1]) / (2 * step))
        return np.array(columns)

    expected = np.linalg.norm(slopes(later))
    assert found.gradient_norm[0, t] == pytest.approx(expected, rel=2e-3)
    largest = np.linalg.norm(slopes(step), 2)
    assert found.singular_value[t + 1] == pytest.approx(largest, rel=2e-3)


def test_masked_steps_keep_the_gradient():
    """A row of 3 steps and padding has the numbers of the same row without padding."""
    x = x_of(batch=1, steps=3)
    padded = np.concatenate([x, np.full((1, 2, 3), 9, "float32")], axis=1)
    layer = linear(0.5)
    inputs, mask = keras.Input((None, 3)), keras.Input((None,), dtype="bool")
    model = keras.Model([inputs, mask], layer(inputs, mask=mask))
    masks = [np.ones((1, 3), bool), np.array([[1, 1, 1, 0, 0]], bool)]
    short, long = (
        keras_deep_rnn.inspect(model, ([x, mask], np.ones((1, 4), "float32")), loss="mse").layers[0]
        for x, mask in zip((x, padded), masks)
    )
    np.testing.assert_allclose(long.gradient_norm[:, :3], short.gradient_norm, rtol=1e-5)
    np.testing.assert_allclose(long.singular_value, [0.5, 0.5, 0.5, 1, 1], rtol=1e-5)

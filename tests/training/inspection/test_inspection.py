"""What `inspect` finds, against networks whose numbers have a closed form."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_deep_rnn
from keras_deep_rnn import (
    DeepOutputTransitionRNN,
    DeepTransitionLSTM,
    DeepTransitionRNN,
    RecurrentHighway,
    StackedRNN,
)


def x_of(batch=2, steps=7, features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, steps, features)).astype("float32")


def model_of(layer, *after, features=3):
    return keras.Sequential([keras.Input((None, features)), layer, *after])


def linear(a, units=4, **options):
    """h(t) = a h(t-1) + x(t) U, without a bias."""
    return DeepTransitionRNN(
        units,
        activation="linear",
        recurrent_initializer=keras.initializers.Identity(a),
        use_bias=False,
        **options,
    )


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


def test_saturation():
    """Large weights leave no unit between -0.95 and 0.95, zeros none beyond."""
    ones = keras.initializers.Constant(50.0)
    layer = DeepTransitionRNN(
        4, transition_units=(5,), input_to="all", kernel_initializer=ones, bias_initializer=ones,
        recurrent_initializer="zeros",
    )  # fmt: skip
    model = model_of(layer)
    (found,) = keras_deep_rnn.inspect(model, np.ones((2, 3, 3), "float32")).layers
    assert found.saturation == {"a_1": 1, "h": 1}
    np.testing.assert_allclose(found.singular_value, 0, atol=1e-6)
    layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    (found,) = keras_deep_rnn.inspect(model, np.ones((2, 3, 3), "float32")).layers
    assert found.saturation == {"a_1": 0, "h": 0}


@pytest.mark.parametrize(("phi", "share"), [("relu", 0.25), ("sigmoid", 0.5)])
def test_saturation_of_other_activations(phi, share):
    """Units with a bias of -9, 0, 0.1 and 9: relu is dead in the first, sigmoid flat in two."""
    layer = DeepTransitionRNN(4, activation=phi)
    model = model_of(layer)
    U, W, _ = layer.get_weights()
    layer.set_weights([0 * U, 0 * W, np.array([-9, 0.001, 0.1, 9], "float32")])
    (found,) = keras_deep_rnn.inspect(model, x_of()).layers
    assert found.saturation == {"h": share}


LAYERS = {
    "dots": lambda **options: DeepOutputTransitionRNN(
        4, transition_units=(5,), output_units=(3,), shortcut=True, zoneout=0.2, **options
    ),
    "rhn": lambda **options: RecurrentHighway(4, depth=2, **options),
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


@pytest.mark.slow
def test_levels_weights_and_what_is_skipped():
    """The levels of a stack, Keras's own layers, and gradients of all weights of the model."""
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            keras.layers.LSTM(3, return_sequences=True, name="of_keras"),
            StackedRNN((4, 5), return_sequences=True, name="stack"),
            keras.layers.Bidirectional(DeepTransitionRNN(3, name="turned")),
            keras.layers.Dense(2, name="out"),
        ]
    )
    model.compile("sgd", "mse")
    x, y = x_of(), np.ones((2, 2), "float32")
    before = model.get_weights()
    found = keras_deep_rnn.inspect(model, (x, y))
    names = [layer.name for layer in found.layers]
    assert names == ["stack/level_1", "stack/level_2", "forward_turned", "backward_turned"]
    assert found.skipped == ("of_keras (LSTM)",)
    assert [layer.units for layer in found.layers] == [4, 5, 3, 3]
    assert found.loss == pytest.approx(float(model.evaluate(x, y, verbose=0)), rel=1e-5)
    assert [weight.path for weight in found.weights] == [v.path for v in model.trainable_variables]
    bias = found.weights[-1]
    residual = ops.convert_to_numpy(model(x)) - y
    assert bias.gradient_norm == pytest.approx(np.linalg.norm(residual.mean(axis=0)), rel=1e-4)
    assert all(weight.gradient_norm > 0 for weight in found.weights)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # Nothing stays with the cells.
    assert not any("run_sequence" in vars(cell) for cell in model.layers[1].cell.cells)


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


def test_stateful_layer_keeps_its_state():
    layer = linear(0.5, stateful=True)
    model = keras.Sequential([keras.Input((4, 3), batch_size=2), layer])
    model(x_of(steps=4))
    before = ops.convert_to_numpy(layer.states[0]).copy()
    (found,) = keras_deep_rnn.inspect(model, x_of(steps=4)).layers
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.states[0]), before)
    assert np.abs(found.states[0][:, 0] - before).max() > 0


@pytest.mark.parametrize(
    ("a", "start"),
    [
        (0.5, "layer: the gradient vanishes: 6e-05 of the last step's is left 14 steps"),
        (1.0, None),
        (2.0, "explodes"),
    ],
)
def test_advice(a, start):
    """0.5^14 = 6e-5 is the first below 1e-4."""
    found = keras_deep_rnn.inspect(model_of(linear(a, name="layer")), x_of(steps=20))
    if start is None:
        assert found.advice == []
    else:
        (line,) = found.advice
        assert start in line
        assert "14 steps back" in line


@pytest.mark.parametrize(
    ("layer", "batch", "options", "message"),
    [
        (keras.layers.LSTM(2), x_of(), {}, "`model` must have a recurrent layer of this package"),
        (linear(1.0), (x_of(), np.ones((2, 4))), {}, "`loss` must be given for y"),
        (linear(1.0), x_of(), {"loss": "mse"}, "`batch` must be"),
        (linear(1.0), x_of(), {"row": 2}, "`row` must be a row of the batch, from 0 to 1, got 2"),
    ],
)
def test_mistakes(layer, batch, options, message):
    with pytest.raises(ValueError, match=message):
        keras_deep_rnn.inspect(model_of(layer), batch, **options)

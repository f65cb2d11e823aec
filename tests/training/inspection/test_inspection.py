"""What `inspect` finds in models, and what it refuses."""

import keras
import numpy as np
import pytest
from inspected import linear, model_of, x_of
from keras import ops

import keras_deep_rnn
from keras_deep_rnn import Affine, DeepTransitionRNN, StackedRNN


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


class Centred(keras_deep_rnn.Operator):
    """A step that looks at the units of a row by their axis, and computes with numbers."""

    def affine_maps(self):
        return [Affine(self.units, (self.units,), x=True, activation=ops.tanh)]

    def step(self, affine, h):
        a = affine(0, h - ops.mean(h, axis=self.axis, keepdims=True))
        return 0.5 * a + (1 - 0.5) * h


@pytest.mark.parametrize("own", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_saturation_of_a_step_of_ones_own(dtype, own):
    """Whatever axis it names: it is written for (B, units)."""
    found = []
    for axis in (1, -1):
        large, larger = (keras.initializers.RandomNormal(0, s, seed=s) for s in (2, 3))
        plus = Centred(6, kernel_initializer=larger, recurrent_initializer=large, dtype=own)
        plus.axis = axis
        layer = keras_deep_rnn.DeepRNN(plus, return_sequences=True, dtype=dtype)
        x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
        found.append(keras_deep_rnn.inspect(model_of(layer), x).layers[0].saturation)
    assert found[0] == found[1] != {"a_1": 0}


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_saturation_of_a_gated_network(activation):
    layer = keras_deep_rnn.DeepTransitionLSTM(4, activation=activation)
    (found,) = keras_deep_rnn.inspect(model_of(layer), x_of()).layers
    assert set(found.saturation) == ({"h"} if activation == "tanh" else set())


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

"""Gated transitions: equality with Keras at depth 1, initial biases, and options."""

import functools

import keras
import numpy as np
import pytest
from descriptors import D, H, first_states, randomize, sequences, to_numpy

import keras_deep_rnn as kdr
from keras_deep_rnn.utils.errors import UserError

BACKEND = keras.backend.backend()
ALL = {"return_sequences": True, "return_state": True}
FAMILY = {
    "rhn": functools.partial(kdr.RecurrentHighway, H, depth=2),
    "dt_gru": functools.partial(kdr.DeepTransitionGRU, H, depth=2),
    "dt_lstm": functools.partial(kdr.DeepTransitionLSTM, H, depth=2),
}


def built(layer, features=D):
    layer.build((None, None, features))
    randomize(layer)
    return layer


def same(found, expected, atol=1e-6):
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=atol)


def by_name(layer):
    """The weights by the last part of their paths."""
    return {w.path.rsplit("/", 1)[-1]: to_numpy(w) for w in layer.weights}


# Against Keras


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", ""])
def test_lstm_of_depth_1_is_that_of_keras(use_bias):
    ours = built(kdr.DeepTransitionLSTM(H, use_bias=use_bias, **ALL))
    twin = keras.layers.LSTM(H, use_bias=use_bias, **ALL)
    twin.build((None, None, D))
    twin.set_weights(ours.get_weights())
    x, states = sequences(), first_states(ours)
    same(ours(x, initial_state=states), twin(x, initial_state=states))


def gru_weights(layer, reset_after):
    """The weights of a `DeepTransitionGRU` of depth 1 in the order of `keras.layers.GRU`."""
    if reset_after:
        kernel, of_x, recurrent, of_h = layer.get_weights()
        return [kernel, recurrent, np.stack([of_x, of_h])]
    gates, candidate = layer.get_weights()[:3], layer.get_weights()[3:]
    return [np.concatenate(pair, axis=-1) for pair in zip(gates, candidate, strict=True)]


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_of_depth_1_is_that_of_keras(reset_after):
    ours = built(kdr.DeepTransitionGRU(H, reset_after=reset_after, **ALL))
    twin = keras.layers.GRU(H, reset_after=reset_after, **ALL)
    twin.build((None, None, D))
    twin.set_weights(gru_weights(ours, reset_after))
    x, states = sequences(), first_states(ours)
    same(ours(x, initial_state=states), twin(x, initial_state=states[0]))


# How weights start


def test_initial_biases():
    """The transform gate starts at -2, the forget gate at 1, all else at 0."""
    coupled = kdr.RecurrentHighway(4, depth=2)
    uncoupled = kdr.RecurrentHighway(4, depth=2, coupled_gates=False, gate_bias=-3.0)
    lstm = kdr.DeepTransitionLSTM(4, depth=2)
    plain = kdr.DeepTransitionLSTM(4, depth=2, unit_forget_bias=False)
    gru = kdr.DeepTransitionGRU(4, depth=2)
    expected = [(coupled, [0, -2]), (uncoupled, [0, -3, 3]), (lstm, [0, 1, 0, 0])]
    expected += [(plain, [0, 0, 0, 0]), (gru, [0, 0, 0])]
    for layer, of_gates in expected:
        layer.build((None, None, D))
        biases = [value for name, value in by_name(layer).items() if name.startswith("bias")]
        assert len(biases) == (3 if layer is gru else 2)
        for bias in biases:
            np.testing.assert_array_equal(bias, np.repeat(of_gates, 4))


def test_a_closed_highway_carries_the_state():
    layer = kdr.RecurrentHighway(H, depth=3, gate_bias=-40.0, return_state=True)
    layer.build((None, None, D))
    states = first_states(layer)
    same(layer(sequences(), initial_state=states)[1:], states)


# Zoneout


@pytest.mark.parametrize("family", FAMILY)
def test_zoneout_keeps_units_exactly_in_training(family):
    """Units keep their value at the zoneout rate; the others change."""
    rate, units = 0.3, 40
    layer = FAMILY[family].func(units, zoneout=rate, seed=3, return_state_sequences=True)
    built(layer)
    x = sequences(batch=8, steps=20)
    _, *states = layer(x, training=True)
    for state in map(to_numpy, states):
        zoned_out = state[:, 1:] == state[:, :-1]
        # Three standard deviations of a share among as many independent draws.
        assert abs(zoned_out.mean() - rate) < 3 * (rate * (1 - rate) / zoned_out.size) ** 0.5
        assert 0 < zoned_out[:, 0].mean() < 1
        assert not (zoned_out == zoned_out[:, :1]).all()  # drawn anew at each step
    if len(states) == 2:  # each state has draws of its own
        h, c = (to_numpy(s)[:, 1:] == to_numpy(s)[:, :-1] for s in states)
        assert (h != c).any()


# Learned first states


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILY)
def test_learned_first_state_trains_and_is_saved(family, tmp_path):
    x = sequences(batch=4)
    layer = FAMILY[family](learn_initial_state=True)
    model = keras.Sequential([keras.Input((None, D)), layer, keras.layers.Dense(1)])
    starts = [value for name, value in by_name(layer).items() if "initial_state" in name]
    assert len(starts) == len(layer.state_size)
    assert all((start == 0).all() for start in starts)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(x, np.ones((4, 1)), epochs=2, verbose=0)
    trained = [value for name, value in by_name(layer).items() if "initial_state" in name]
    assert all((start != 0).all() for start in trained)
    # The layer starts there, and so it does when it is loaded.
    states = [np.tile(start, (4, 1)) for start in trained]
    same(layer(x), layer(x, initial_state=states))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same(loaded.get_weights(), model.get_weights(), 0)
    same(loaded(x), model(x))


# Stacks


def test_stack_of_gated_cells_is_one_layer_after_the_other():
    cells = [kdr.DeepTransitionLSTMCell(H, depth=2), kdr.RecurrentHighwayCell(4, depth=2)]
    stack = built(kdr.StackedRNN([*cells, kdr.DeepTransitionGRUCell(3)], return_sequences=True))
    assert stack.state_size == [H, H, 4, 3]
    assert stack.recurrence == ["fast"] * 3
    layers = [
        kdr.DeepTransitionLSTM(H, depth=2, return_sequences=True),
        kdr.RecurrentHighway(4, depth=2, return_sequences=True),
        kdr.DeepTransitionGRU(3, return_sequences=True),
    ]
    chain = keras.Sequential([keras.Input((None, D)), *layers])
    chain.set_weights(stack.get_weights())
    same(stack(sequences()), chain(sequences()), 1e-5)


def test_level_dropout_is_the_dropout_of_later_levels():
    stack = kdr.StackedRNN((8, 8, 8), level_dropout=0.4, dropout=0.1, seed=1)
    assert [cell.dropout for cell in stack.cell.cells] == [0.1, 0.4, 0.4]
    again = kdr.StackedRNN.from_config(stack.get_config())
    assert [cell.dropout for cell in again.cell.cells] == [0.1, 0.4, 0.4]
    assert [cell.units for cell in kdr.StackedRNN(units=(8, 4)).cell.cells] == [8, 4]


# Normalization


def test_normalization_by_a_layer_of_keras():
    """A layer is copied for each affine map; with the same numbers as its name."""
    made = {}
    for how in ("layer", keras.layers.LayerNormalization(epsilon=1e-5)):
        layer = built(kdr.DeepTransitionLSTM(H, depth=2, normalization=how, **ALL))
        assert [w.shape for w in layer.weights[-4:]] == [(4 * H,)] * 4
        made[str(how)] = layer(sequences())
    same(*made.values())
    rms = built(kdr.RecurrentHighway(H, depth=2, normalization=keras.layers.RMSNormalization()))
    assert [w.shape for w in rms.weights[-2:]] == [(2 * H,)] * 2
    again = kdr.RecurrentHighway.from_config(rms.get_config())
    again.build((None, None, D))
    again.set_weights(rms.get_weights())
    same(again(sequences()), rms(sequences()), 0)


def test_normalized_step_does_not_depend_on_the_scale_of_its_kernels():
    layer = built(kdr.DeepTransitionLSTM(H, depth=2, use_bias=False, normalization="layer"))
    x, weights, found = sequences(), layer.get_weights(), []
    for factor in (10, 100):
        layer.set_weights([factor * w if w.ndim == 2 else w for w in weights])
        found.append(layer(x))
    same(*found, 1e-4)  # up to the small number beside the variance


# Activations that are layers


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILY)
def test_the_weights_of_activations_train_and_are_saved(family, tmp_path):
    """One set for phi and one for the gates, whatever the depth."""
    layer = FAMILY[family](
        activation=keras.layers.PReLU("ones"), recurrent_activation=keras.layers.PReLU("ones")
    )
    model = keras.Sequential([keras.Input((None, D)), layer, keras.layers.Dense(1)])
    before = [to_numpy(w) for w in layer.trainable_weights if w.path.endswith("alpha")]
    assert [w.shape for w in before] == [(H,), (H,)]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = sequences()
    model.fit(x, np.ones((3, 1)), epochs=2, verbose=0)
    after = [to_numpy(w) for w in layer.trainable_weights if w.path.endswith("alpha")]
    assert all((a != b).any() for a, b in zip(after, before, strict=True))
    model.save(tmp_path / "model.keras")
    same(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


# Mistakes


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: kdr.RecurrentHighway(4, depth=0), "`depth` must be a positive integer, got 0."),
        (
            lambda: kdr.DeepTransitionGRU(4, depth=1.5),
            "`depth` must be a positive integer, got 1.5.",
        ),
        (
            lambda: kdr.RecurrentHighway(4, coupled_gates=1),
            "`coupled_gates` must be True or False, got 1.",
        ),
        (
            lambda: kdr.RecurrentHighway(4, input_to="last"),
            "`input_to` must be one of 'first', 'all', got 'last'.",
        ),
        (
            lambda: kdr.RecurrentHighway(4, gate_bias="x"),
            "`gate_bias` must be a finite number, got 'x'.",
        ),
        (
            lambda: kdr.DeepTransitionGRU(4, reset_after=None),
            "`reset_after` must be True or False, got None.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(4, unit_forget_bias="yes"),
            "`unit_forget_bias` must be True or False, got 'yes'.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(4, zoneout=1.0),
            "`zoneout` must be a number of at least 0 and below 1, got 1.0.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(4, activation=kdr.Maxout()),
            "`activation` must keep the width of a gated unit, got maxout or Lp.",
        ),
        (
            lambda: kdr.StackedRNN((4, 4), level_dropout=2),
            "`level_dropout` must be a number of at least 0 and below 1, got 2.",
        ),
    ],
)
def test_mistakes(make, line):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == line

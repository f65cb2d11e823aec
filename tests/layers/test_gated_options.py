"""Zoneout, learned initial states and normalization against the equations, in any combination."""

import keras
import numpy as np
import pytest
from descriptors import BY_NAME, D, H, expected, first_states, randomize, sequences, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from loops import both

import keras_deep_rnn as kdr

BACKEND = keras.backend.backend()
ALL = {"return_sequences": True, "return_state": True, "return_state_sequences": True}
GATED = ["rhn", "rhn_all", "dt_gru", "gru_before", "dt_lstm"]
SOME = ["rnn", "dots", "srnn", *GATED, "layer_norm", "gated_stack"]


def built(layer, seed=0):
    layer.build((None, 6, D))
    randomize(layer, seed)
    return layer


def same(found, wanted, atol=1e-6):
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=atol)


@pytest.mark.parametrize("name", GATED)
def test_every_step_of_the_transition_counts(name):
    """The paper's transition of L steps has L times the recurrent weights of one."""
    one, three = (BY_NAME[name].make_layer(depth=depth) for depth in (1, 3))
    for layer in (one, three):
        layer.build((None, None, D))
        assert layer.recurrence == "fast"
    recurrent = [
        sum(w.shape[1] for w in layer.weights if "hidden_to_hidden" in w.path)
        for layer in (one, three)
    ]
    assert recurrent[1] == 3 * recurrent[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_zoneout_in_inference(name):
    """The mean of what is drawn in training: as a whole, unrolled, by step, in Keras's loop."""
    layer, unrolled = (
        built(BY_NAME[name].make_layer(zoneout=0.3, unroll=unroll, **ALL))
        for unroll in (False, True)
    )
    x, states = sequences(), first_states(layer)
    y, histories = expected(layer, x, states)
    results = [y, *(history[:, -1] for history in histories), *histories]
    same(layer(x, initial_state=states), results, 1e-5)
    same(unrolled(x, initial_state=states), results, 1e-5)
    first = [values[:, 0] for values in (y, *histories)]
    same(layer.step(x[:, 0], states), first, 1e-5)
    rnn = keras.layers.RNN(layer.cell, return_sequences=True)
    same(rnn(x, initial_state=states), y, 1e-5)


@pytest.mark.parametrize("kind", [kdr.DeepTransitionLSTM, kdr.RecurrentHighway])
def test_zoneout_in_training(kind):
    """A unit keeps its state exactly, at the rate, at each step anew; others step as ever."""
    units, batch, steps, rate = 50, 10, 20, 0.3
    layer = kind(units, zoneout=rate, seed=1, **ALL)
    plain = kind(units, return_state_sequences=True)
    x = sequences(batch, steps)
    for made in (layer, plain):
        made.build(x.shape)
    randomize(layer, scale=0.2)
    plain.set_weights(layer.get_weights())
    count = len(layer.state_size)
    after = [to_numpy(s) for s in layer(x, training=True)[1 + count :]]
    before = [np.concatenate([np.zeros_like(s[:, :1]), s[:, :-1]], axis=1) for s in after]
    flat = [s.reshape(batch * steps, units) for s in before]
    stepped = plain(x.reshape(batch * steps, 1, D), initial_state=flat)[1:]
    for old, new, step in zip(before, after, stepped):
        zoned_out = new == old
        # The share among n draws has the standard deviation sqrt(p (1 - p) / n).
        assert abs(zoned_out.mean() - rate) < 4 * (rate * (1 - rate) / zoned_out.size) ** 0.5
        assert zoned_out.any(axis=1).mean() > 0.99  # not the same units at every step
        np.testing.assert_allclose(
            new[~zoned_out], to_numpy(step).reshape(new.shape)[~zoned_out], atol=1e-5
        )


def test_zoneout_draws_anew_and_reproducibly():
    layer, again = (built(kdr.DeepTransitionGRU(H, zoneout=0.5, seed=3)) for _ in range(2))
    first, second = (to_numpy(layer(sequences(), training=True)) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, to_numpy(again(sequences(), training=True)))
    mask = np.zeros((3, 6), bool)
    mask[:, :2] = True
    masked = built(kdr.DeepTransitionGRU(H, zoneout=0.5, seed=3, return_state_sequences=True))
    states = to_numpy(masked(sequences(), mask=mask, training=True)[1])
    np.testing.assert_array_equal(states[:, 2:], np.repeat(states[:, 1:2], 4, axis=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: kdr.DeepTransitionLSTM(H, depth=2, learn_initial_state=True),
        lambda: kdr.StackedRNN((4, H), learn_initial_state=True),
        lambda: kdr.StackedRNN(
            [kdr.RecurrentHighwayCell(4, learn_initial_state=True), kdr.DeepTransitionGRUCell(H)]
        ),
    ],
    ids=["dt_lstm", "srnn", "stack"],
)
def test_gradient_of_the_first_state(make):
    layer = make()
    model = keras.Sequential([keras.Input((6, D)), layer])
    starts = [w for w in layer.trainable_weights if "initial_state" in w.path]
    assert starts
    assert all((to_numpy(w) == 0).all() for w in starts)
    randomize(layer, scale=0.3)
    x, factors = sequences(), np.random.default_rng(5).integers(-8, 8, (3, model.output_shape[1]))
    model.compile(keras.optimizers.SGD(1.0), lambda target, y: keras.ops.sum(target * y))
    before = [to_numpy(w) for w in layer.weights]
    model.train_on_batch(x, factors.astype("float32"))
    for k, weight in enumerate(layer.weights):
        if "initial_state" not in weight.path:
            continue
        found = before[k] - to_numpy(weight)
        for unit in range(len(found)):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [value.astype("float64") for value in before]
                moved[k][unit] += step
                sides.append((expected(layer, x, weights=moved)[0][:, -1] * factors).sum())
            slope = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(found[unit], slope, rtol=1e-3, atol=1e-3)


def test_a_first_state_of_any_operator():
    """h(T) = h(0) + x(1) + ... + x(T): the gradient of h(0) is that of h(T), of all rows."""
    layer = kdr.DeepRNN(keras.layers.Add(), state_size=D, learn_initial_state=True)
    model = keras.Sequential([keras.Input((6, D)), layer])
    model.compile(keras.optimizers.SGD(1.0), lambda target, y: keras.ops.sum(target * y))
    factors = np.arange(9, dtype="float32").reshape(3, D)
    model.train_on_batch(sequences(), factors)
    same(layer.get_weights(), [-factors.sum(axis=0)], 1e-5)


def test_a_learned_first_state_everywhere(tmp_path):
    layer = built(kdr.DeepTransitionLSTM(H, learn_initial_state=True, return_sequences=True))
    h, c = (to_numpy(w) for w in layer.weights[:2])
    assert [w.path.rsplit("/", 1)[-1] for w in layer.weights[:2]] == [
        "initial_state_0",
        "initial_state_1",
    ]
    x, rows = sequences(), [np.tile(state, (3, 1)) for state in (h, c)]
    given = layer(x, initial_state=rows)
    same(layer(x), given)
    same(keras.layers.RNN(layer.cell, return_sequences=True)(x), given, 1e-5)
    same(layer.step(x[:, 0])[0], given[:, 0], 1e-5)
    reset = np.array([1, 0, 1])[:, None]
    others = first_states(layer)
    mixed = [(reset * own + (1 - reset) * s).astype("float32") for own, s in zip(rows, others)]
    same(layer(x, initial_state=others, reset=reset), layer(x, initial_state=mixed))
    model = keras.Sequential([keras.Input((None, D)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same(loaded.layers[-1].get_weights(), layer.get_weights(), 0)
    same(loaded(x), given, 1e-6)


@pytest.mark.parametrize("name", GATED)
def test_normalized_gates(name):
    layer = built(BY_NAME[name].make_layer(normalization="layer", **ALL))
    x, states = sequences(), first_states(layer)
    y, histories = expected(layer, x, states)
    same(layer(x, initial_state=states)[:1], [y], 1e-5)
    same(layer(x, initial_state=states)[-len(states) :], histories, 1e-5)


def test_a_stack_of_gated_cells():
    layer = built(BY_NAME["gated_stack"].make_layer(**ALL))
    assert layer.recurrence == ["fast"] * 3
    assert layer.state_size == [H, 4, 4, H]
    assert layer.compute_output_shape((2, 7, D))[0] == (2, 7, H + 4 + H)
    cells = [kdr.DeepTransitionLSTMCell(H), kdr.RecurrentHighwayCell(H, depth=2)]
    residual = built(kdr.StackedRNN(cells, skip="residual", return_sequences=True))
    x = sequences()
    same(residual(x), expected(residual, x)[0], 1e-5)


FAMILIES = {
    "RecurrentHighway": {
        "coupled_gates": st.booleans(),
        "input_to": st.sampled_from(["first", "all"]),
    },
    "DeepTransitionGRU": {"reset_after": st.booleans()},
    "DeepTransitionLSTM": {},
}


@st.composite
def cases(draw):
    """A gated layer with any options, what it reads, and a mask."""
    batch, steps = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    family = draw(st.sampled_from(list(FAMILIES)))
    options = {name: draw(values) for name, values in FAMILIES[family].items()}
    options |= {
        "units": draw(st.integers(1, 6)),
        "depth": draw(st.integers(1, 3)),
        "use_bias": draw(st.booleans()),
        "activation": draw(st.sampled_from(["tanh", "relu", "silu"])),
        "recurrent_activation": draw(st.sampled_from(["sigmoid", "hard_sigmoid"])),
        "normalization": draw(st.sampled_from([None, None, "layer"])),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "recurrent_dropout": draw(st.sampled_from([0.0, 0.4])),
        "zoneout": draw(st.sampled_from([0.0, 0.2])),
        "learn_initial_state": draw(st.booleans()),
        "go_backwards": draw(st.booleans()),
        "batch_parts": draw(st.none() | st.integers(1, 4)),
        "remat": draw(st.none() | st.integers(1, steps + 2)),
        "seed": 5,
    }
    rows = st.lists(st.booleans(), min_size=steps, max_size=steps)
    mask = draw(st.none() | st.lists(rows, min_size=batch, max_size=batch))
    x = sequences(batch, steps, seed=draw(st.integers(0, 99)))
    return x, None if mask is None else np.array(mask), getattr(kdr, family), options


@pytest.mark.slow
@settings(max_examples=4 if BACKEND == "jax" else 20, deadline=None)
@given(case=cases())
def test_the_fast_loop_is_the_plain_loop(case):
    x, mask, layer, options = case
    # A normalized pre-activation of one or two units has a slope of up to 1 / sqrt(epsilon).
    bound = 1e-5 if options["normalization"] is None else 1e-3
    both(lambda: layer(**options, **ALL), x, mask, bound)

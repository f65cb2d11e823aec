"""Gated transitions against Keras's layers, and the options that came with them."""

import keras
import numpy as np
import pytest
from descriptors import BY_NAME, D, H, expected, first_states, randomize, sequences, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recurrence import both

import keras_deep_rnn as kdr
from keras_deep_rnn.errors import UserError

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


def of_gru(layer):
    """The weights of a `keras.layers.GRU` in the order of a `DeepTransitionGRU`."""
    K, R, b = layer.get_weights()
    if layer.reset_after:
        return [K, b[0], R, b[1]]
    return [w[..., cut] for cut in (slice(2 * H), slice(2 * H, None)) for w in (K, R, b)]


@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
@pytest.mark.parametrize("reset_after", [True, False], ids=["after", "before"])
def test_depth_1_is_the_gru_of_keras(reset_after, backwards):
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    of_keras = built(keras.layers.GRU(H, reset_after=reset_after, **options))
    layer = built(kdr.DeepTransitionGRU(H, reset_after=reset_after, **options))
    layer.set_weights(of_gru(of_keras))
    x, states = sequences(), first_states(layer)
    same(layer(x), of_keras(x))
    same(layer(x, initial_state=states), of_keras(x, initial_state=states))


@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
def test_depth_1_is_the_lstm_of_keras(backwards):
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    of_keras, layer = built(keras.layers.LSTM(H, **options)), kdr.DeepTransitionLSTM(H, **options)
    built(layer).set_weights(of_keras.get_weights())
    x, states = sequences(), first_states(layer)
    same(layer(x), of_keras(x))
    same(layer(x, initial_state=states), of_keras(x, initial_state=states))


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


def biases(layer):
    """The first values of the biases, cut by gate: each is the same for all units."""
    layer.build((None, None, D))
    found = [to_numpy(w).reshape(-1, H) for w in layer.weights if "bias" in w.path]
    assert all((of_map == of_map[:, :1]).all() for of_map in found)
    return [of_map[:, 0].tolist() for of_map in found]


@pytest.mark.parametrize(
    ("layer", "start"),
    [
        # The transform gates start below 0 (arXiv:1607.03474), forget gates at 1 (as Keras's).
        (kdr.RecurrentHighway(H, depth=2), [[0, -2]] * 2),
        (kdr.RecurrentHighway(H, coupled_gates=False, gate_bias=-3), [[0, -3, 3]]),
        (kdr.RecurrentHighway(H, bias_initializer="ones", gate_bias=0), [[1, 0]]),
        (kdr.DeepTransitionLSTM(H, depth=2), [[0, 1, 0, 0]] * 2),
        (kdr.DeepTransitionLSTM(H, unit_forget_bias=False), [[0] * 4]),
        (kdr.DeepTransitionGRU(H, depth=2), [[0] * 3] * 3),
    ],
    ids=["rhn", "rhn-uncoupled", "rhn-ones", "lstm", "lstm-zeros", "gru"],
)
def test_how_biases_start(layer, start):
    assert biases(layer) == start


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
        kept = new == old
        # Of n draws the share of those kept has the deviation sqrt(p (1 - p) / n).
        assert abs(kept.mean() - rate) < 4 * (rate * (1 - rate) / kept.size) ** 0.5
        assert kept.any(axis=1).mean() > 0.99  # not the same units at every step
        np.testing.assert_allclose(new[~kept], to_numpy(step).reshape(new.shape)[~kept], atol=1e-5)


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


def test_dropout_between_levels():
    def rates(layer):
        return [cell.dropout for cell in layer.cell.cells]

    layer = kdr.StackedRNN((H, H, H), dropout=0.1, level_dropout=0.5)
    assert rates(layer) == [0.1, 0.5, 0.5]
    assert rates(kdr.StackedRNN.from_config(layer.get_config())) == [0.1, 0.5, 0.5]
    assert rates(kdr.StackedRNN((H, H), dropout=0.1)) == [0.1, 0.1]
    assert rates(kdr.StackedRNN((H, H), dropout=0.1, level_dropout=0.0)) == [0.1, 0.0]
    # The first level sees all of x, the second half of the units of the first.
    layer = built(kdr.StackedRNN((H, H), level_dropout=0.5, seed=2, return_state_sequences=True))
    of_inference, of_training = layer(sequences())[1:], layer(sequences(), training=True)[1:]
    same(of_training[0], of_inference[0])
    assert not np.allclose(to_numpy(of_training[1]), to_numpy(of_inference[1]))


def test_normalization_by_a_layer_of_keras():
    own = keras.layers.LayerNormalization(epsilon=1e-5, center=False, scale=False)
    deep = {"transition_units": (4,), "shortcut": True, **ALL}
    layer = built(kdr.DeepTransitionRNN(H, normalization=own, **deep))
    by_name = built(kdr.DeepTransitionRNN(H, normalization="layer", **deep))
    assert layer.recurrence == by_name.recurrence == "fast"
    assert not own.built  # each map has a copy
    weights = layer.get_weights()
    added = [(4,), (4,), (H,), (H,)]
    assert [w.shape for w in by_name.get_weights()[len(weights) :]] == added
    by_name.set_weights([*weights, *(np.full(n, one) for n in ((4,), (H,)) for one in (1.0, 0.0))])
    same(layer(sequences()), by_name(sequences()))
    again = kdr.DeepTransitionRNN.from_config(layer.get_config())
    assert again.normalization.get_config() == own.get_config()
    of_batches = kdr.DeepTransitionRNN(H, normalization=keras.layers.BatchNormalization())
    assert built(of_batches).recurrence == (
        "plain: BatchNormalization behaves differently in training"
    )


@pytest.mark.parametrize("name", GATED)
def test_normalized_gates(name):
    layer = built(BY_NAME[name].make_layer(normalization="layer", **ALL))
    x, states = sequences(), first_states(layer)
    y, histories = expected(layer, x, states)
    same(layer(x, initial_state=states)[:1], [y], 1e-5)
    same(layer(x, initial_state=states)[-len(states) :], histories, 1e-5)


def test_widths_and_layers_that_are_none():
    assert kdr.StackedRNN((8, 8)).units == (8, 8)
    assert kdr.StackedRNN((8, 8)).cell.cells[0].plus.units == 8
    assert kdr.DeepTransitionRNN(H, transition_units=()).transition_units is None


def test_a_stack_of_gated_cells():
    layer = built(BY_NAME["gated_stack"].make_layer(**ALL))
    assert layer.recurrence == ["fast"] * 3
    assert layer.state_size == [H, 4, 4, H]
    assert layer.compute_output_shape((2, 7, D))[0] == (2, 7, H + 4 + H)
    cells = [kdr.DeepTransitionLSTMCell(H), kdr.RecurrentHighwayCell(H, depth=2)]
    residual = built(kdr.StackedRNN(cells, skip="residual", return_sequences=True))
    x = sequences()
    same(residual(x), expected(residual, x)[0], 1e-5)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda: kdr.RecurrentHighway(H, depth=0),
            "`depth` must be a positive integer, got 0.",
        ),
        (
            lambda: kdr.DeepTransitionGRUCell(H, depth=1.5),
            "`depth` must be a positive integer, got 1.5.",
        ),
        (
            lambda: kdr.RecurrentHighway(H, coupled_gates="yes"),
            "`coupled_gates` must be True or False, got 'yes'.",
        ),
        (
            lambda: kdr.RecurrentHighway(H, input_to="last"),
            "`input_to` must be one of 'first', 'all', got 'last'.",
        ),
        (
            lambda: kdr.RecurrentHighway(H, gate_bias=float("nan")),
            "`gate_bias` must be a finite number, got nan.",
        ),
        (
            lambda: kdr.DeepTransitionGRU(H, reset_after=None),
            "`reset_after` must be True or False, got None.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, unit_forget_bias=1),
            "`unit_forget_bias` must be True or False, got 1.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, activation=kdr.Maxout(2)),
            "`activation` must keep the width of a gated unit, got maxout or Lp.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, recurrent_activation=kdr.LpUnit()),
            "`recurrent_activation` must keep the width of a gated unit, got maxout or Lp.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, recurrent_activation="sigmoidal"),
            "`recurrent_activation` names no activation of Keras: 'sigmoidal'; "
            "did you mean 'sigmoid'?",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, zoneout=1),
            "`zoneout` must be a number of at least 0 and below 1, got 1.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, learn_initial_state=1),
            "`learn_initial_state` must be True or False, got 1.",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H, learn_initial_state=True, stateful=True)(
                keras.Input((None, D), batch_size=2)
            ),
            "`learn_initial_state` must be False with `stateful=True`.",
        ),
        (
            lambda: kdr.RecurrentHighway(H, normalization="layers"),
            "`normalization` must be a Keras layer, got 'layers'.",
        ),
        (
            lambda: kdr.DeepTransitionGRU(H, dept=2),
            "`dept` is no argument of DeepTransitionGRU; did you mean 'depth'?",
        ),
        (
            lambda: kdr.DeepTransitionLSTM(H)(sequences(), initial_state=[np.zeros((3, H))]),
            "`initial_state` must have 2 tensor(s), got 1.",
        ),
        (
            lambda: kdr.StackedRNN((H, H), level_dropout=1.0),
            "`level_dropout` must be a number of at least 0 and below 1, got 1.0.",
        ),
        (
            lambda: kdr.StackedRNN([kdr.DeepTransitionGRUCell(H)], level_dropout=0.1),
            "`level_dropout` can be given with `units` only: each of the `cells` has its own "
            "options.",
        ),
    ],
)
def test_mistakes(make, line):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == line


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


@settings(max_examples=4 if BACKEND == "jax" else 20, deadline=None)
@given(case=cases())
def test_the_fast_loop_is_the_plain_loop(case):
    x, mask, layer, options = case
    # A normalized pre-activation of one or two units has a slope of up to 1 / sqrt(epsilon).
    bound = 1e-5 if options["normalization"] is None else 1e-3
    both(lambda: layer(**options, **ALL), x, mask, bound)

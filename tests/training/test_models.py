"""The paper's networks by name: their sizes, and that each trains as a whole model."""

import keras
import numpy as np
import pytest

import keras_deep_rnn as kdr
from keras_deep_rnn import build_network, preset
from keras_deep_rnn.training.metrics import FrameLoss
from keras_deep_rnn.training.models import before_joint_output, recurrent_layer, table_1_size
from keras_deep_rnn.training.networks import NETWORKS, TABLE_1
from keras_deep_rnn.utils.errors import UserError

JAX = keras.backend.backend() == "jax"  # compiles each network, which takes long
# Table 1 of the paper, in weights without biases, recomputed from the equations.
SIZES = {
    ("nottingham", "rnn"): 465_600,
    ("nottingham", "dts_rnn"): 585_600,
    ("nottingham", "dots_rnn"): 745_600,
    ("nottingham", "srnn"): 550_400,
    ("jsb_chorales", "rnn"): 75_200,
    ("jsb_chorales", "dts_rnn"): 585_600,
    ("jsb_chorales", "dots_rnn"): 745_600,
    ("jsb_chorales", "srnn"): 550_400,
    ("musedata", "rnn"): 465_600,
    ("musedata", "dts_rnn"): 585_600,
    ("musedata", "dots_rnn"): 745_600,
    ("musedata", "srnn"): 1_185_600,
    ("ptb_char", "rnn"): 420_000,
    ("ptb_char", "dts_rnn"): 540_000,
    ("ptb_char", "dots_rnn"): 790_000,
    ("ptb_char", "srnn"): 520_000,
    ("ptb_word", "rnn"): 4_040_000,
    ("ptb_word", "dts_rnn"): 6_120_000,
    ("ptb_word", "dots_rnn"): 6_160_000,
    ("ptb_word", "srnn"): 8_480_000,
}
BACKEND = keras.backend.backend()
TASKS = {"ptb_char": ("characters", 50), "ptb_word": ("words", 10_000)}


def test_every_row_of_table_1_is_there():
    assert set(SIZES) == set(TABLE_1)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "network"), SIZES)
def test_size_of_table_1(task, network):
    kind, features = TASKS.get(task, ("piano_roll", 88))
    model = build_network(network, kind=kind, features=features, **preset(task, network))
    assert table_1_size(model) == SIZES[task, network]


def data(kind, rows=4, steps=7, features=11):
    rng = np.random.default_rng(0)
    if kind == "piano_roll":
        rolls = (rng.random((rows, steps + 1, features)) < 0.2).astype("float32")
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        return rolls[:, :-1], rolls[:, 1:], loss
    tokens = rng.integers(features, size=(rows, steps + 1), dtype="int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return tokens[:, :-1], tokens[:, 1:], loss


def compiled(model, loss, **options):
    model.compile(keras.optimizers.Adam(0.01), loss, **options)
    # TensorFlow traces a step a second time if the first time has made variables.
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["piano_roll", "characters"])
@pytest.mark.parametrize("network", NETWORKS)
def test_trains(network, kind):
    keras.utils.set_random_seed(1)
    x, y, loss = data(kind)
    model = build_network(
        network, kind=kind, features=11, units=12, recurrent_dropout=0.1, weight_noise=0.01, seed=1
    )
    losses = compiled(model, loss).fit({"x": x}, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS[::3] if JAX else NETWORKS)
def test_stateful_twin_takes_the_weights_and_carries_the_state(network):
    x, _, _ = data("piano_roll")
    model = build_network(network, kind="piano_roll", features=11, units=6)
    twin = build_network(
        network, kind="piano_roll", features=11, units=6, stateful=True, batch_size=4
    )
    twin.set_weights(model.get_weights())
    whole = model.predict({"x": x}, verbose=0)
    start, go_on = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")
    for _ in range(2):  # the second pass starts anew because of `reset`
        first = twin.predict({"x": x[:, :3], "reset": start}, verbose=0)
        second = twin.predict({"x": x[:, 3:], "reset": go_on}, verbose=0)
        np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "policy"),
    [*((network, "mixed_bfloat16") for network in NETWORKS), ("dots_rnn", "mixed_float16")],
)
def test_mixed_precision(network, policy):
    """Trains close to float32, with states in the compute type."""
    x, y, loss = data("piano_roll", steps=4)
    losses = {}
    for dtype in ("float32", policy):
        keras.utils.set_random_seed(3)
        model = build_network(network, kind="piano_roll", features=11, units=12, dtype=dtype)
        # What is compared with may be slow.
        eagerly = BACKEND == "tensorflow" and dtype == "float32"
        compiled(model, loss, run_eagerly=eagerly)
        losses[dtype] = model.fit({"x": x}, y, epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(losses[policy], losses["float32"], rtol=0.02)
    recurrent = model.get_layer("recurrent")
    recurrent.return_state = True
    *_, state = recurrent(x)
    assert keras.backend.standardize_dtype(state.dtype) == policy.removeprefix("mixed_")
    assert all(w.dtype == "float32" for w in model.weights)


def music(network="rnn", **options):
    return build_network(network, kind="piano_roll", features=88, units=60, **options)


def weights(model):
    return {w.path: keras.ops.convert_to_numpy(w.value) for w in model.weights}


def kernel(model, name):
    (found,) = [value for path, value in weights(model).items() if name in path]
    return found


@pytest.mark.parametrize("start", [None, "orthogonal", "sparse"])
def test_start_of_the_transition(start):
    model = music(recurrent_initializer=start, gain=0.7)
    W = kernel(model, "hidden_to_hidden")
    assert np.linalg.norm(W, 2) == pytest.approx(0.7, rel=1e-4)
    assert set((W != 0).sum(axis=0)) == ({20} if start == "sparse" else {60})


def test_deviations_of_the_kernels():
    expected = {"input_to_hidden": 0.1, "hidden_to_output": 0.3, "output/kernel": 0.01}
    model = music("do_rnn", input_stddev=0.1, kernel_stddev=0.3, output_stddev=0.01)
    for name, deviation in expected.items():
        values = kernel(model, name)
        assert values.std() == pytest.approx(deviation, rel=0.05)
        assert abs(values).max() > 2 * deviation  # a Gaussian, not Glorot's bounds


def test_units_of_this_package_by_name():
    model = music("dots_rnn", activation="lp_unit", output_activation="maxout", input_to="all")
    recurrent = model.get_layer("recurrent")
    assert isinstance(recurrent.activation, kdr.LpUnit)
    assert isinstance(recurrent.output_activation, kdr.Maxout)
    # Two pieces a unit.
    assert {w.shape for path, w in weights(model).items() if "hidden_to" in path} == {(60, 120)}
    assert model.output_shape == (None, None, 88)


def test_lp_units_in_the_intermediate_layers_alone():
    model = music("dots_rnn", intermediate_activation="lp_unit")
    recurrent = model.get_layer("recurrent")
    assert isinstance(recurrent.intermediate_activation, kdr.LpUnit)
    assert recurrent.activation is keras.activations.tanh
    assert recurrent.recurrence == "fast"
    # Two pieces a unit between h(t-1) and h(t), one for h(t).
    shapes = {path: w.shape for path, w in weights(model).items()}
    assert {s for path, s in shapes.items() if "hidden_to_hidden_1" in path} == {(60, 120)}
    assert {s for path, s in shapes.items() if "hidden_to_hidden_2" in path} == {(60, 60)}


def text(network="rnn", **options):
    return build_network(network, kind="words", features=11, units=6, **options)


def rates(model):
    """Dropout rates: of the input of each level, before the deep output, before the logits."""
    cell = model.get_layer("recurrent").cell
    of_levels = [level.dropout for level in getattr(cell, "cells", [cell])]
    names = {layer.name for layer in model.layers}
    of_logits = model.get_layer("dropout").rate if "dropout" in names else 0.0
    return of_levels, getattr(cell, "output_dropout", 0.0), of_logits


@pytest.mark.parametrize(
    ("make", "network", "options", "expected"),
    [
        (text, "srnn", {"dropout": 0.1}, ([0.1, 0.1], 0, 0)),
        (text, "srnn", {"dropout": 0.1, "level_dropout": 0.2}, ([0.1, 0.2], 0, 0)),
        (text, "srnn", {"word_dropout": 0.1}, ([0.1, 0], 0, 0)),
        (text, "srnn", {"word_dropout": 0.1, "level_dropout": 0.2}, ([0.1, 0.2], 0, 0)),
        (text, "srnn", {"word_dropout": 0.1, "dropout": 0.3, "tied": True}, ([0.3, 0.3], 0, 0)),
        (music, "srnn", {"level_dropout": 0.2}, ([0, 0.2], 0, 0)),
        (music, "do_rnn", {"output_dropout": 0.5}, ([0], 0.5, 0.5)),
        (music, "do_rnn", {"output_dropout": 0.5, "logits_dropout": 0.2}, ([0], 0.5, 0.2)),
        (music, "do_rnn", {"output_dropout": 0.5, "logits_dropout": 0.0}, ([0], 0.5, 0)),
        (music, "do_rnn", {"logits_dropout": 0.2}, ([0], 0, 0.2)),
    ],
)
def test_dropout_of_each_place(make, network, options, expected):
    model = make(network, **options)
    assert rates(model) == expected
    if "tied" in options:
        assert model.get_layer("embedding").dropout == options["word_dropout"]


def test_dropout_before_the_logits_of_fast_dropout():
    model = music("fast_dropout_rnn", output_dropout=0.5, logits_dropout=0.2)
    assert model.get_layer("output").rate == 0.2


@pytest.mark.parametrize(
    ("network", "options", "width"),
    [
        ("rnn", {}, 6),
        ("dots_rnn", {"output_units": (5, 4)}, 4),
        ("srnn", {"skip": "all_to_output"}, 12),
        ("lstm", {}, 6),
    ],
)
def test_tied_embeddings_are_as_wide_as_y(network, options, width):
    model = text(network, tied=True, output_bias=-1.0, **options)
    embedding, recurrent = model.get_layer("embedding"), model.get_layer("recurrent")
    rows, bias = embedding.get_weights()
    assert (rows.shape, bias.tolist()) == ((11, width), [-1.0] * 11)
    assert model.count_params() == embedding.count_params() + recurrent.count_params()
    kernels = sum(w.size for w in recurrent.get_weights() if w.ndim > 1)
    assert table_1_size(model) == 11 * width + kernels
    x = np.random.default_rng(0).integers(11, size=(2, 5), dtype="int32")
    y = keras.ops.convert_to_numpy(keras.ops.stop_gradient(recurrent(3 * rows[x])))
    np.testing.assert_allclose(model.predict({"x": x}, verbose=0), y @ rows.T - 1, atol=1e-5)


@pytest.mark.parametrize("bias", [np.nan, np.inf, "1"])
def test_the_output_bias_is_a_finite_number(bias):
    with pytest.raises(UserError, match="`output_bias` must be a finite number"):
        text("rnn", output_bias=bias)


def test_start_of_tied_embeddings():
    for stddev in (None, 0.3):
        model = build_network(
            "rnn", kind="characters", features=300, units=50, tied=True, output_stddev=stddev
        )
        found = {path.split("/")[-1]: w.std() for path, w in weights(model).items()}
        assert found["embeddings"] == pytest.approx(stddev or 0.1, rel=0.05)
        # x is dense, so that the deviation for unit vectors of characters does not fit.
        assert found["input_to_hidden_1"] == pytest.approx((2 / 100) ** 0.5, rel=0.1)


@pytest.mark.slow
def test_tied_embeddings_train_with_what_regularizes_them():
    x, y, loss = data("words")
    options = {"tied": True, "word_dropout": 0.1, "dropout": 0.1, "weight_noise": 0.01, "seed": 1}
    first, again = (
        compiled(text("do_rnn", **options), loss)
        .fit({"x": x}, y, epochs=12, shuffle=False, verbose=0)
        .history["loss"]
        for _ in range(2)
    )
    assert first[-1] < first[0]
    np.testing.assert_allclose(first, again, rtol=1e-5)


def test_depth_of_gated_networks():
    depths = {"rhn": 2, "dt_gru": 2, "dt_lstm": 2, "gru": 1, "lstm": 1}
    assert {name: recurrent_layer(name, units=4).depth for name in depths} == depths
    for name in ("rhn", "dt_gru", "dt_lstm"):
        assert recurrent_layer(name, units=4, depth=3).depth == 3
    assert recurrent_layer("rhn", units=4).input_to == "first"
    assert recurrent_layer("rhn", units=4, input_to="all").input_to == "all"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_baselines_are_layers_of_keras(name):
    """With the weights of Keras's own layer they give its numbers."""
    model = build_network(name, kind="piano_roll", features=11, units=6)
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[name](6, return_sequences=True)
    twin = keras.Sequential([keras.Input((None, 11)), layer, keras.layers.Dense(11)])
    assert twin.count_params() == model.count_params()
    weights = [np.random.default_rng(0).normal(size=w.shape) / 3 for w in model.get_weights()]
    model.set_weights(weights)
    if name == "gru":  # W, b of x, R, b of h
        kernel, of_x, recurrent, of_h, *output = weights
        weights = [kernel, recurrent, np.stack([of_x, of_h]), *output]
    twin.set_weights(weights)
    x, _, _ = data("piano_roll")
    expected = twin.predict(x, verbose=0)
    np.testing.assert_allclose(model.predict({"x": x}, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "options", "error"),
    [
        ("gru", {"depth": 2}, "`depth` must be left out for 'gru', which has none, got 2."),
        ("rnn", {"depth": 1}, "`depth` must be left out for 'rnn', which has none, got 1."),
        ("rhn", {"depth": 0}, "`depth` must be a positive integer, got 0."),
        (
            "rhn",
            {"levels": 2},
            "`levels` must be left out for 'rhn', which has none, got 2.",
        ),
        ("dt_lstm", {"input_to": "all"}, "`input_to` must be left out for 'dt_lstm', got 'all'."),
        (
            "dt_gru",
            {"skip": "residual"},
            "`skip` must be left out for 'dt_gru', which has no levels, got 'residual'.",
        ),
        ("lstm", {"activation": "maxout"}, "`activation` must keep the width of a gated unit"),
    ],
)
def test_mistakes_about_gated_networks(network, options, error):
    with pytest.raises(UserError, match=error):
        music(network, **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"recurrent_initializer": "dense"},
            "`recurrent_initializer` must be an initializer of Keras",
        ),
        ({"gain": 0}, "`gain` must be a finite number above 0, got 0."),
        ({"input_stddev": -1}, "`input_stddev` must be a finite number above 0"),
        ({"kernel_stddev": 0}, "`kernel_stddev` must be a finite number above 0, got 0."),
        ({"output_stddev": "x"}, "`output_stddev` must be a finite number above 0"),
        ({"activation": "lp_units"}, "`activation` must be an activation of Keras, got 'lp_units'"),
        (
            {"intermediate_activation": "relu"},
            "`intermediate_activation` must be left out for 'rnn', which has no intermediate "
            "layers, got 'relu'.",
        ),
        ({"tied": True}, "`tied` must be left out for music, which has no words, got True."),
        ({"tied": 1}, "`tied` must be True or False, got 1."),
        ({"word_dropout": 0.1}, "`word_dropout` must be left out for music, which has no words"),
        (
            {"level_dropout": 0.1},
            "`level_dropout` must be left out for 'rnn', which has no levels, got 0.1.",
        ),
        ({"logits_dropout": 1.0}, "`logits_dropout` must be a number of at least 0 and below 1"),
    ],
)
def test_mistakes(options, error):
    with pytest.raises(UserError, match=error):
        music(**options)


@pytest.mark.parametrize(
    ("network", "options", "error"),
    [
        (
            "rnn",
            {"word_dropout": 0.1, "dropout": 0.2},
            "`dropout` must be 0 with `word_dropout`: without `tied`, x\\(t\\) is the word itself, "
            "got 0.2.",
        ),
        ("rnn", {"word_dropout": 1}, "`word_dropout` must be a number of at least 0 and below 1"),
        (
            "rnn",
            {"word_dropout": -1, "tied": True},
            "`word_dropout` must be a number of at least 0 and below 1, got -1.",
        ),
        (
            "fast_dropout_rnn",
            {"tied": True},
            "`tied` must be left out for 'fast_dropout_rnn', got True.",
        ),
        (
            "fast_dropout_rnn",
            {"word_dropout": 0.1},
            "`word_dropout` must be left out for 'fast_dropout_rnn', got 0.1.",
        ),
    ],
)
def test_mistakes_about_words(network, options, error):
    with pytest.raises(UserError, match=error):
        text(network, **options)


CELLS = {
    "transition": lambda: kdr.DeepTransitionRNNCell(4, dropout=0.2),
    "output": lambda: kdr.DeepOutputRNNCell(4, output_units=(3,)),
    "stack": lambda: kdr.StackedRNNCell((4, 5)),
    "gated": lambda: kdr.DeepTransitionLSTMCell(4),
    "fast dropout": lambda: kdr.FastDropoutRNNCell(4),
    "general": lambda: kdr.DeepRNNCell(kdr.Plus(4), zoneout=0.1),
}


@pytest.mark.parametrize("make_cell", CELLS.values(), ids=CELLS)
def test_a_layer_of_a_cell(make_cell):
    layer = kdr.DeepRNN(make_cell(), return_sequences=True, activity_regularizer="l2")
    x = np.ones((2, 3, 5), "float32")
    y = layer(x)
    again = kdr.DeepRNN.from_config(layer.get_config())
    assert type(again.cell) is type(layer.cell)
    assert again.get_config() == layer.get_config()
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(keras.ops.stop_gradient(v)) for v in (y, again(x)))
    )


@pytest.mark.parametrize("make_cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("option", ["dropout", "zoneout", "seed", "state_size", "predict"])
def test_options_beside_a_cell(make_cell, option):
    given = {option: keras.layers.Dense(3) if option == "predict" else 1}
    with pytest.raises(UserError, match=f"`{option}` must be given to the .*Cell, got .* beside"):
        kdr.DeepRNN(make_cell(), **given)


@pytest.mark.slow
def test_a_joint_output_takes_the_frames_that_it_predicts():
    x, y, _ = data("piano_roll")
    options = {"kind": "piano_roll", "features": 11, "units": 3, "seed": 1}
    model = build_network("rnn", output="nade", nade_units=4, weight_noise=0.01, **options)
    model.compile("adam", FrameLoss())
    first = model.evaluate({"x": x, "target": y}, y, verbose=0)
    model.fit({"x": x, "target": y}, y, epochs=3, verbose=0)
    assert model.evaluate({"x": x, "target": y}, y, verbose=0) < first
    before, joint = before_joint_output(model)
    logits = joint([before({"x": x}), y])
    expected = model({"x": x, "target": y})
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (logits, expected)), rtol=1e-5)
    assert before_joint_output(build_network("rnn", **options)) is None


@pytest.mark.parametrize(
    ("network", "kind", "line"),
    [
        ("rnn", "words", "`output` must be 'independent' for 'words', got 'nade'"),
        ("fast_dropout_rnn", "piano_roll", "`output` must be 'independent' for 'fast_dropout_rnn'"),
    ],
)
def test_where_a_joint_output_cannot_be(network, kind, line):
    with pytest.raises(UserError, match=line):
        build_network(network, kind=kind, features=11, units=3, output="nade")

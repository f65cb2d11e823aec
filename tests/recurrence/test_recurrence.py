"""The fast loop equals the plain loop: outputs, states and gradients.

Two results are equal where their largest difference is at most 1e-5 of the largest magnitude, or
1e-5 where that is below 1.
"""

import functools
import warnings

import keras
import numpy as np
import pytest
from descriptors import BY_NAME, D, H, first_states, randomize, sequences, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from loops import (
    ALL,
    MASK,
    USUAL,
    both,
    differentiated,
    differentiated_at,
    jitted,
    plain_loops,
    same,
)

import keras_deep_rnn as kdr
from keras_deep_rnn.recurrence import Loop, backend
from keras_deep_rnn.recurrence.affine import SLOPES
from keras_deep_rnn.utils.errors import UserError

BACKEND = keras.backend.backend()
ACTIVATIONS = [
    "linear", "tanh", "sigmoid", "relu", "relu6", "leaky_relu", "elu", "selu", "celu",
    "exponential", "softplus", "softsign", "hard_sigmoid", "hard_tanh", "silu", "gelu", "mish",
    "tanh_shrink",
]  # fmt: skip
POOLED = [kdr.Maxout(2), kdr.Maxout(3), kdr.LpUnit(2), kdr.LpUnit(3, order=1.3)]
DEEP = {"transition_units": (4, 6), "shortcut": True, "input_to": "all"}
WITH_DROPOUT = (
    "dt", "do", "dots", "operators", "srnn_all", "rhn", "rhn_all", "dt_gru", "gru_before",
    "dt_lstm", "layer_norm", "gated_stack", "learned_start",
)  # fmt: skip
CARRIED = [
    (BY_NAME["dts_all"], 4), (BY_NAME["srnn_deep"], None), (BY_NAME["rhn_all"], None),
    (BY_NAME["dt_lstm"], 4), (BY_NAME["gated_stack"], None),
]  # fmt: skip

if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
else:
    import torch

only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="is TensorFlow's alone")


def scale_for(activation):
    """A standard deviation of weights with which values stay moderate over time.

    Without its optimizations XLA gives a tanh of 20 that is not quite 1, and mish a derivative that
    is 7e-6 too small there.
    """
    scales = {"exponential": 0.1, "mish": 0.2}
    return scales.get(activation, 0.4) if isinstance(activation, str) else 0.4


DEPTHS = st.none() | st.lists(st.integers(1, 6), min_size=1, max_size=3)
FAMILIES = {
    "DeepTransitionRNN": {"transition_units": DEPTHS},
    "DeepInputRNN": {"input_units": st.lists(st.integers(1, 6), min_size=1, max_size=2)},
    "DeepOutputTransitionRNN": {
        "transition_units": st.lists(st.integers(1, 6), min_size=1, max_size=2),
        "output_units": st.lists(st.integers(1, 6), min_size=1, max_size=2),
        "input_units": st.none() | st.just([4]),
    },
    "StackedRNN": {"transition_units": DEPTHS, "skip": st.sampled_from([None, "residual"])},
}


@st.composite
def layers(draw, steps):
    """What makes a layer of any family, with any options of its network and of its loop."""
    family = draw(st.sampled_from(list(FAMILIES)))
    options = {name: draw(values) for name, values in FAMILIES[family].items()}
    options["units"] = (H, H) if family == "StackedRNN" else draw(st.integers(1, 6))
    if family != "DeepInputRNN":
        options["shortcut"] = draw(st.booleans())
        options["input_to"] = draw(st.sampled_from(["first", "all"]))
    options["use_bias"] = draw(st.booleans())
    # Without its optimizations XLA may compute z anew for the gradient of a maximum, rounded in
    # another way, and find it in no piece: the gradient of the plain loop is 0 then.
    pooled = POOLED[2:] if BACKEND == "jax" else POOLED
    options["activation"] = draw(st.sampled_from([*ACTIVATIONS, *pooled]))
    options["dropout"] = draw(st.sampled_from([0.0, 0.3]))
    options["recurrent_dropout"] = draw(st.sampled_from([0.0, 0.4]))
    options["go_backwards"] = draw(st.booleans())
    options["batch_parts"] = draw(st.none() | st.integers(1, 7))
    options["remat"] = draw(st.none() | st.integers(1, steps + 2))
    return getattr(kdr, family), {**options, "seed": 5}


@st.composite
def cases(draw):
    batch, steps = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    x = sequences(batch, steps, seed=draw(st.integers(0, 99)))
    rows = st.lists(st.booleans(), min_size=steps, max_size=steps)
    mask = draw(st.none() | st.lists(rows, min_size=batch, max_size=batch))
    return x, None if mask is None else np.array(mask), *draw(layers(steps))


@pytest.mark.slow
@settings(max_examples=5 if BACKEND == "jax" else 40, deadline=None)
@given(case=cases())
def test_any_layer(case):
    x, mask, layer, options = case
    both(lambda: layer(**options, **ALL), x, mask, scale=scale_for(options["activation"]))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(activation):
    def make():
        return kdr.DeepTransitionRNN(H, activation=activation, **DEEP, **ALL)

    assert make().recurrence == "fast"
    both(make, sequences(), MASK, scale=scale_for(activation))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "remat"),
    list(zip(POOLED, (None, 4, None, 4))),
    ids=["maxout", "maxout-remat", "lp", "lp-remat"],
)
def test_pooled_units(activation, remat):
    options = {"activation": activation, "batch_parts": 2, "remat": remat}
    options |= {"recurrent_dropout": 0.4, "seed": 5}

    def make():
        return kdr.DeepTransitionRNN(H, **DEEP, **options, **ALL)

    assert make().recurrence == "fast"
    both(make, sequences(), MASK)


@pytest.mark.parametrize("unit", [kdr.Maxout(2), kdr.LpUnit(2)], ids=["maxout", "lp"])
def test_pooled_units_that_are_equal_or_at_their_centers(unit):
    """Maxout shares the gradient among equal pieces; an Lp unit has none where z = c."""
    both(lambda: kdr.DeepTransitionRNN(H, activation=unit, **ALL), sequences() * 0, scale=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "remat", "activation"),
    [(2, None, "tanh"), (5, 1, "silu"), (1, 4, "tanh"), (3, 6, "silu"), (2, 8, "tanh")],
)
def test_parts_and_chunks(parts, remat, activation):
    options = {"activation": activation, "batch_parts": parts, "remat": remat}
    options |= {"recurrent_dropout": 0.4, "seed": 5}
    both(lambda: kdr.DeepTransitionRNN(H, **DEEP, **options, **ALL), sequences(), MASK)


@pytest.mark.slow
@pytest.mark.parametrize("network", [BY_NAME[name] for name in WITH_DROPOUT], ids=str)
def test_network_with_dropout_and_mask(network):
    options = {"dropout": 0.3, "recurrent_dropout": 0.4, "seed": 5}
    both(lambda: network.make_layer(**options, **ALL), sequences(), MASK)


@pytest.mark.slow
@pytest.mark.parametrize("mask", [None, MASK], ids=["", "mask"])
@pytest.mark.parametrize(
    ("activation", "options", "wrap"),
    [
        ("tanh", {"dropout": 0.2}, USUAL),
        ("relu", {"batch_parts": 2}, USUAL),
        ("sigmoid", {"jit_compile": False, "go_backwards": True}, USUAL),
        ("linear", {"use_bias": False}, USUAL),
        pytest.param("tanh", {"batch_parts": 2}, jitted, marks=only_tensorflow),
    ],
    ids=["tanh", "relu", "sigmoid", "linear", "whole-step-compiled"],
)
def test_fast_dropout(activation, options, wrap, mask):
    options = {"activation": activation, "recurrent_dropout": 0.4, **options}

    def make():
        return kdr.FastDropoutRNN(H, **options, **ALL)

    assert make().recurrence == "fast"
    both(make, sequences(), mask, wrap=wrap)


@pytest.mark.skipif(BACKEND != "jax", reason="is compiled as a whole by default")
def test_without_jit():
    options = {"recurrent_dropout": 0.4, "seed": 5, "batch_parts": 2, "remat": 4}
    make = functools.partial(kdr.DeepTransitionRNN, H, **DEEP, **options, **ALL)
    both(make, sequences(), MASK, wrap=lambda run: run)


@pytest.mark.slow
@only_tensorflow
@pytest.mark.parametrize(
    ("activation", "remat"),
    [("tanh", None), ("gelu", None), ("gelu", 4), (kdr.LpUnit(), None), (kdr.Maxout(), 4)],
)
def test_whole_step_compiled(activation, remat):
    options = {"activation": activation, "batch_parts": 2, "remat": remat, "jit_compile": True}

    def make():
        return kdr.DeepTransitionRNN(H, **DEEP, **options, **ALL)

    both(make, sequences(), MASK, wrap=jitted)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="compiles nothing")
@pytest.mark.parametrize(
    ("activation", "remat"), [("tanh", None), ("tanh", 4), (kdr.LpUnit(), None)]
)
def test_recurrence_compiled(activation, remat):
    options = {"recurrent_dropout": 0.4, "seed": 5, "jit_compile": True, "batch_parts": 2}
    options |= {"activation": activation, "remat": remat}
    both(lambda: kdr.DeepTransitionRNN(H, **DEEP, **options, **ALL), sequences(), MASK)


@pytest.mark.slow
@only_tensorflow
@pytest.mark.parametrize(
    ("remat", "xla", "whole"),
    [
        (None, False, False),
        (4, False, False),
        (None, True, False),
        (4, True, False),
        (4, False, True),
        (None, True, True),
    ],
)
def test_sizes_unknown(remat, xla, whole):
    """One trace for every batch and length, empty parts included."""
    options = {"jit_compile": xla, "remat": remat, "batch_parts": 3}
    layer = kdr.DeepTransitionRNN(H, transition_units=(4,), **options, **ALL)
    layer.build((None, None, D))
    randomize(layer, scale=0.4)
    unknown = [tf.TensorSpec((None, None, D)), [tf.TensorSpec((None, H))]]
    unknown.append(tf.TensorSpec((None, None), "bool"))
    run = tf.function(
        differentiated(layer), input_signature=unknown, jit_compile=whole or None, autograph=False
    )
    for batch, steps in [(1, 6), (2, 3), (7, 5)]:
        x, states = sequences(batch, steps), first_states(layer, batch)
        mask = np.arange(steps) < np.arange(batch)[:, None]
        found = differentiated_at(layer, x, states, mask, lambda _: run)
        with plain_loops():
            expected = differentiated_at(layer, x, states, mask)
        same(found, expected)
    assert run.experimental_get_tracing_count() == 1


@pytest.mark.slow
@only_tensorflow
@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("xla", [False, True], ids=["", "xla"])
def test_gradient_of_chosen_rows(xla, parts):
    """TensorFlow's gradient of a gather is `IndexedSlices`."""
    layer = kdr.DeepTransitionRNN(H, return_sequences=True, batch_parts=parts, jit_compile=xla)
    x = tf.constant(sequences())
    layer.build(x.shape)

    def gradients(choose):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(choose(layer(x)))
        return [to_numpy(g) for g in tape.gradient(loss, layer.trainable_variables)]

    same(gradients(lambda y: tf.gather(y, [0, 2])), gradients(lambda y: y[::2]))


@pytest.mark.parametrize("activation", list(SLOPES), ids=lambda phi: phi.__name__)
def test_slope(activation):
    """phi' from a = phi(z) against differentiation by the backend, where phi has no kink."""
    z = np.linspace(-8, 8, 1601, dtype="float32")
    tensor = ops.convert_to_tensor(z[np.abs(z) > 1e-3])
    if BACKEND == "tensorflow":
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            a = activation(tensor)
        expected = tape.gradient(a, tensor)
    elif BACKEND == "jax":
        expected = jax.grad(lambda z: activation(z).sum())(tensor)
    else:
        expected = torch.func.grad(lambda z: activation(z).sum())(tensor)
    found = SLOPES[activation](activation(tensor))
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "remat"), CARRIED, ids=str)
@pytest.mark.parametrize(("dtype", "epsilon"), [("float16", 2**-10), ("bfloat16", 2**-7)])
def test_mixed_precision(dtype, epsilon, network, remat):
    """Both loops round each of six steps of three layers: eight roundings of the largest value."""

    def make():
        return network.make_layer(dtype=f"mixed_{dtype}", batch_parts=2, remat=remat, **ALL)

    both(make, sequences(), MASK, bound=8 * epsilon)


@pytest.mark.slow
def test_mixed_precision_of_pooled_units():
    """The weights of an Lp unit stay in single precision."""

    def make():
        options = {"activation": kdr.LpUnit(), "dtype": "mixed_bfloat16", "remat": 4}
        return kdr.DeepTransitionRNN(H, **DEEP, **options, **ALL)

    both(make, sequences(), MASK, bound=8 * 2**-7)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "remat"), CARRIED, ids=str)
def test_stateful_over_two_batches(network, remat):
    """The second batch starts from the last states of the first, without their gradient."""
    weights = network.make_layer()
    weights.build((3, 6, D))
    randomize(weights)

    def two_batches(stateful):
        layer = network.make_layer(stateful=stateful, batch_parts=2, remat=remat, **ALL)
        layer.build((3, 6, D))
        layer.set_weights(weights.get_weights())
        first = differentiated_at(layer, sequences(), [])
        if stateful:
            return first, differentiated_at(layer, sequences(seed=2), []), layer.states
        carried = [first[1 + i] for i in range(network.states)]
        second = differentiated_at(layer, sequences(seed=2), carried)
        # Without the gradients for the states, which the stateful layer keeps for itself.
        results = 2 * network.states + 1
        return first, second[: results + 1] + second[results + 1 + network.states :], None

    first, second, carried = two_batches(True)
    same([to_numpy(state) for state in carried], second[1 : 1 + network.states])
    with plain_loops():
        for expected in (two_batches(True), two_batches(False)):
            same(first, expected[0])
            same(second, expected[1])


@pytest.mark.slow
@pytest.mark.parametrize("network", [network for network, _ in CARRIED], ids=str)
def test_bidirectional(network):
    def make():
        layer = network.make_layer(batch_parts=2, remat=4, **ALL)
        wrapper = keras.layers.Bidirectional(layer)
        wrapper.state_size = 2 * layer.state_size
        return wrapper

    both(make, sequences(), MASK)


@pytest.mark.slow
def test_fit_where_the_model_knows_no_sizes():
    layer = kdr.DeepTransitionRNN(H, **DEEP, batch_parts=2, remat=4, return_sequences=True)
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = sequences(5, 6), np.full((5, 6, H), 0.5, "float32")
    losses = model.fit(x, y, batch_size=2, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[1] < losses[0]
    assert model.predict(sequences(3, 9), verbose=0).shape == (3, 9, H)


def test_which_loop_and_why():
    assert kdr.DeepTransitionRNN(H).recurrence == "fast"
    assert kdr.DeepTransitionRNN(H, jit_compile=True, batch_parts=2, remat=3).recurrence == "fast"
    assert kdr.DeepTransitionRNN(H, unroll=True).recurrence == "plain: unroll=True"
    assert kdr.DeepTransitionRNN(H, activation="celu").recurrence == "fast"
    assert kdr.DeepTransitionRNN(H, activation=lambda z: z / 2).recurrence == "fast"
    assert kdr.DeepTransitionRNN(H, activation=kdr.LpUnit()).recurrence == "fast"
    assert kdr.FastDropoutRNN(H, activation="celu").recurrence == "fast"
    layer = kdr.DeepTransitionRNN(H, activation=keras.layers.GaussianNoise(0.1))
    layer.build((None, None, D))
    assert layer.recurrence == "plain: GaussianNoise behaves differently in training"

    class Own(kdr.Plus):
        def call(self, inputs, **options):
            return super().call(inputs, **options) / 2

    assert kdr.DeepRNN(Own(H)).recurrence == "plain: Own has a `call` of its own"
    assert kdr.DeepRNN(keras.layers.Add(), state_size=D).recurrence == "plain: ⊕ is a Add"
    levels = [kdr.DeepTransitionRNNCell(H), keras.layers.GRUCell(3)]
    assert kdr.StackedRNN(levels).recurrence == ["fast", "plain: the cell is a GRUCell"]


def test_activation_without_a_hash():
    class Softer:
        __hash__ = None

        def __call__(self, z):
            return ops.tanh(z / 2)

    layer = kdr.DeepTransitionRNN(H, activation=Softer())
    assert layer.recurrence == "fast"
    assert tuple(layer(sequences()).shape) == (3, H)


@pytest.mark.parametrize(("variable", "default"), [("0", False), ("1", True), (None, True)])
def test_switch_of_xla(variable, default, monkeypatch):
    if variable is None:
        monkeypatch.delenv("KERAS_DEEP_RNN_XLA", raising=False)
    else:
        monkeypatch.setenv("KERAS_DEEP_RNN_XLA", variable)
    assert Loop().compiled() == default
    assert Loop(jit_compile=True).compiled()
    assert not Loop(jit_compile=False).compiled()


def compiled_functions(graph):
    """The names of the functions in a graph that XLA must compile."""
    functions = graph.as_graph_def().library.function
    return [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]


@pytest.mark.slow
@only_tensorflow
@pytest.mark.parametrize("variable", ["0", "1"])
@pytest.mark.parametrize("asked", [None, False, True])
def test_what_xla_compiles(asked, variable, monkeypatch):
    monkeypatch.setenv("KERAS_DEEP_RNN_XLA", variable)
    layer = kdr.DeepTransitionRNN(H, transition_units=(4,), jit_compile=asked)
    layer.build((None, None, D))

    def compiled(batch):
        spec = tf.TensorSpec((batch, None, D))
        function = tf.function(lambda x: layer(x), input_signature=[spec])
        return bool(compiled_functions(function.get_concrete_function().graph))

    assert compiled(3) == (variable == "1" if asked is None else asked)
    # A function for any batch may be traced for an export.
    assert compiled(None) == bool(asked)


@pytest.mark.slow
@only_tensorflow
@pytest.mark.parametrize(
    ("family", "units"),
    [(kdr.DeepTransitionRNN, H), (kdr.StackedRNN, (H, 4)), (kdr.FastDropoutRNN, H)],
)
def test_exports_are_free_of_xla(family, units, tmp_path):
    """Also after the model ran, and stepped, in programs compiled by XLA."""
    layer = family(units=units, jit_compile=True, batch_parts=2, return_sequences=True)
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs))
    x = sequences()
    expected = model.predict(x, verbose=0)
    layer.step(x[:, 0])
    model.export(tmp_path / "model", verbose=False)
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert compiled_functions(serve.graph) == []
    (found,) = serve(tf.constant(x)).values()
    same([found], [expected])


def test_settings_survive_the_config():
    settings = {"jit_compile": False, "batch_parts": 3, "remat": 7}
    layer = kdr.StackedRNN(units=(H, 4), **settings)
    for again in (
        kdr.StackedRNN.from_config(layer.get_config()),
        keras.layers.Bidirectional(layer).backward_layer,
    ):
        assert {name: getattr(again, name) for name in settings} == settings
    assert kdr.DeepTransitionRNN(H).get_config().items() >= dict.fromkeys(settings).items()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_parts", 0, "a positive integer"),
        ("batch_parts", 1.5, "a positive integer"),
        ("remat", "x", "a positive integer"),
        ("remat", -1, "a positive integer"),
        ("remat", True, "a positive integer"),
        ("jit_compile", 3, "True or False"),
        ("jit_compile", "auto", "True or False"),
    ],
)
def test_bad_settings(name, value, expected):
    with pytest.raises(UserError) as error:
        kdr.DeepTransitionRNN(H, **{name: value})
    assert str(error.value) == f"`{name}` must be {expected}, got {value!r}."


@pytest.mark.skipif(backend().accelerated(), reason="is about processors")
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float32", "float64"])
def test_warning_of_16_bits(dtype):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kdr.DeepTransitionRNN(H, dtype=dtype).build((None, None, D))
    said = [str(w.message) for w in caught if "a recurrence in" in str(w.message)]
    kind = dtype.removeprefix("mixed_")
    assert len(said) == ("16" in kind)
    assert all(message.startswith(f"a recurrence in {kind} is up to") for message in said)

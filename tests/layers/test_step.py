"""`layer.step`: one time step at a time, compiled once, without side effects."""

import copy
import gc
import pickle
import weakref

import keras
import numpy as np
import pytest
from descriptors import BY_NAME, EVERY, D, H, first_states, randomize, sequences, to_numpy
from keras import ops

import keras_deep_rnn as kdr
from keras_deep_rnn.layers import Plus
from keras_deep_rnn.utils.errors import UserError

BACKEND = keras.backend.backend()
DROPPED = {"dropout": 0.5, "recurrent_dropout": 0.5, "seed": 1}


def built(network, **options):
    layer = network.make_layer(**options)
    layer.build((None, None, D))
    randomize(layer)
    return layer


def by_steps(layer, x, states=None, convert=np.asarray):
    """The results of the layer over a whole sequence, step by step."""
    outputs = []
    for t in range(x.shape[1]):
        given = None if states is None else [convert(state) for state in states]
        y, states = layer.step(convert(x[:, t]), given)
        assert isinstance(states, list)
        outputs.append(to_numpy(y))
    return [np.stack(outputs, axis=1), *states]


def same(found, expected, atol=1e-5):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("start", [False, True], ids=["", "states"])
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_equals_the_layer(network, start):
    """Also in a layer with dropout: a single step has none."""
    layer = built(network, **DROPPED, return_sequences=True, return_state=True)
    x, states = sequences(), first_states(layer) if start else None
    expected = layer(x, initial_state=states)
    convert = ops.convert_to_tensor if start else to_numpy
    same(by_steps(layer, x, states, convert), expected)
    same(by_steps(layer, x, states, convert), expected)


@pytest.mark.slow
@pytest.mark.parametrize("network", [BY_NAME["dots"], BY_NAME["srnn_deep"]], ids=str)
def test_compiled_by_xla(network):
    layer = built(network, jit_compile=True, return_sequences=True, return_state=True)
    same(by_steps(layer, sequences()), layer(sequences()))


def test_types_of_inputs():
    layer = built(BY_NAME["rnn"])
    expected = layer.step(np.ones((2, D), "float32"), [np.ones((2, H), "float32")])[0]
    for x, state in [
        ([[1] * D] * 2, np.ones((2, H), "int32")),
        (np.ones((2, D)), np.ones((2, H))),
        (ops.ones((2, D), "int32"), ops.ones((2, H), "int32")),
    ]:
        y, (h,) = layer.step(x, (state,))
        assert keras.backend.standardize_dtype(h.dtype) == "float32"
        same([y], [expected])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float32"])
@pytest.mark.parametrize("xla", [False, True], ids=["", "xla"])
def test_types_of_results(dtype, xla):
    layer = kdr.StackedRNN(units=(H, 4), dtype=dtype, jit_compile=xla)
    x = sequences(steps=1)
    whole = layer(x)
    y, states = layer.step(x[:, 0])
    y, states = layer.step(ops.convert_to_tensor(x[:, 0]), states)
    assert {value.dtype for value in (y, *states)} == {whole.dtype}


def test_batch_size_that_changes():
    layer = built(BY_NAME["srnn_deep"], jit_compile=True)
    x = sequences(batch=5)[:, 0]
    expected = to_numpy(layer.step(x)[0])
    for rows in (3, 1, 4, 1, 3):
        same([layer.step(x[:rows])[0]], [expected[:rows]])


@pytest.mark.parametrize("xla", [False, True], ids=["", "xla"])
def test_new_weights_are_used(xla):
    layer, other = built(BY_NAME["dts"], jit_compile=xla), built(BY_NAME["dts"])
    randomize(other, seed=3)
    x = sequences()[:, 0]
    before = to_numpy(layer.step(x)[0])
    layer.set_weights(other.get_weights())
    same([layer.step(x)[0]], [other.step(x)[0]])
    assert not np.allclose(layer.step(x)[0], before)


@pytest.mark.skipif(BACKEND == "torch", reason="compiles nothing")
def test_traced_once_for_each_shape(monkeypatch):
    layer = built(BY_NAME["dts"], jit_compile=True)
    calls, call = [], Plus.call
    monkeypatch.setattr(Plus, "call", lambda self, inputs: calls.append(1) or call(self, inputs))
    x = sequences()
    by_steps(layer, x)
    assert len(calls) == 1
    layer.set_weights(layer.get_weights())
    by_steps(layer, x)
    assert len(calls) == 1
    layer.step(x[:1, 0])
    assert len(calls) == 2


def test_no_variable_changes():
    layer = kdr.DeepRNN(
        kdr.Plus(H),
        keras.Sequential([keras.layers.Dropout(0.5, seed=1), keras.layers.BatchNormalization()]),
        **DROPPED,
        jit_compile=True,
    )
    x = sequences()[:, 0]
    first = to_numpy(layer.step(x)[0])
    before = [to_numpy(v) for v in layer.variables]
    same([layer.step(x)[0]], [first], 0)
    same(layer.variables, before, 0)

    inputs = keras.Input((6, D), batch_size=3)
    stateful = kdr.DeepTransitionRNN(H, stateful=True)
    stateful(inputs)
    stateful(sequences())
    carried = to_numpy(stateful.states[0])
    same([stateful.step(x)[0]], [stateful(x[:, None], initial_state=np.zeros((3, H)))])
    stateful.reset_state()
    stateful.step(x)
    same(stateful.states, [np.zeros_like(carried)], 0)


@pytest.mark.parametrize(
    ("options", "x", "states", "message"),
    [
        ({}, np.ones((2, 1, D)), None, "`x_t` must have shape (B, D), got (2, 1, 3)."),
        ({}, np.ones(D), None, "`x_t` must have shape (B, D), got (3,)."),
        ({}, np.ones((2, 4)), None, "`x_t` must have D = 3 features, got (2, 4)."),
        ({}, np.ones((2, D)), [], "`states` must have 1 tensor(s), got 0."),
        ({}, np.ones((2, D)), [np.ones((2, H))] * 2, "`states` must have 1 tensor(s), got 2."),
        ({}, np.ones((2, D)), np.ones((2, H)), "`states` must have 1 tensor(s), got ndarray."),
        (
            {},
            np.ones((2, D)),
            [np.ones((1, H))],
            "`states` must have shape (B, H) = (2, 5), got (1, 5).",
        ),
        (
            {},
            np.ones((2, D)),
            [np.ones((2, 4))],
            "`states` must have shape (B, H) = (2, 5), got (2, 4).",
        ),
        (
            {"go_backwards": True},
            np.ones((2, D)),
            None,
            "`step` goes forwards, but the layer has `go_backwards=True`.",
        ),
    ],
)
def test_errors(options, x, states, message):
    layer = built(BY_NAME["rnn"], **options)
    with pytest.raises(UserError) as error:
        layer.step(x, states)
    assert str(error.value) == message


def test_builds_the_layer():
    """Also one that is unrolled, for which a single step is one time step."""
    x = sequences()
    for unroll in (False, True):
        layer = kdr.DeepTransitionRNN(H, unroll=unroll, return_sequences=True)
        y, _ = layer.step(x[:, 0])
        same([y], [layer(x)[:, 0]])


def model_of(layer):
    inputs = keras.Input((None, D))
    return keras.Model(inputs, layer(inputs))


COPIES = {
    "copy.deepcopy": lambda layer, path: copy.deepcopy(layer),
    "pickle": lambda layer, path: pickle.loads(pickle.dumps(layer)),
    "keras": lambda layer, path: saved_and_loaded(layer, path),
}


def saved_and_loaded(layer, path):
    model_of(layer).save(path / "model.keras")
    return keras.models.load_model(path / "model.keras").layers[-1]


@pytest.mark.slow
@pytest.mark.parametrize("stepped", [False, True], ids=["", "stepped"])
@pytest.mark.parametrize("way", COPIES)
def test_copies(way, stepped, tmp_path):
    layer = built(BY_NAME["srnn_deep"], jit_compile=True)
    x = sequences()
    if stepped:
        layer.step(x[:, 0])
    again = COPIES[way](layer, tmp_path)
    same([again(x)], [layer(x)])
    randomize(layer, seed=4)  # A copy has weights of its own.
    old, new = to_numpy(again.step(x[:, 0])[0]), to_numpy(layer.step(x[:, 0])[0])
    assert not np.allclose(old, new)
    same([old], [again(x[:, :1])])


@pytest.mark.slow
def test_is_garbage_collected():
    for network in (BY_NAME["rnn"], BY_NAME["srnn_deep"]):
        layer = built(network, jit_compile=True)
        layer.step(sequences()[:, 0])
        gone = [weakref.ref(layer), weakref.ref(layer.cell)]
        del layer
        gc.collect()
        assert [reference() for reference in gone] == [None, None]


if BACKEND == "tensorflow":
    import tensorflow as tf

    @pytest.mark.slow
    def test_in_a_function_with_any_batch_size():
        layer = built(BY_NAME["srnn_deep"])
        x = sequences()[:, 0]
        spec = tf.TensorSpec((None, D))
        run = tf.function(lambda x: layer.step(x)[0], input_signature=[spec])
        for rows in (3, 1):
            same([run(x[:rows])], [layer.step(x[:rows])[0]])

    @pytest.mark.parametrize("stepped", [False, True], ids=["", "stepped"])
    def test_exported(stepped, tmp_path):
        """The layer, and its step as an endpoint of its own, without ops compiled by XLA."""
        layer = built(BY_NAME["dts"], jit_compile=True)
        x, states = sequences(), first_states(layer)
        model = model_of(layer)
        if stepped:
            layer.step(x[:, 0])
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", model, input_signature=[tf.TensorSpec((None, None, D))])
        signature = [tf.TensorSpec((3, D)), tf.TensorSpec((3, H))]
        archive.add_endpoint("step", lambda x, h: layer.step(x, [h])[0], input_signature=signature)
        archive.write_out(tmp_path / "model", verbose=False)
        loaded = tf.saved_model.load(str(tmp_path / "model"))
        same([loaded.serve(x)], [layer(x)])
        same([loaded.step(x[:, 0], states[0])], [layer.step(x[:, 0], states)[0]])
        for endpoint in (loaded.signatures["serve"], loaded.signatures["step"]):
            functions = endpoint.graph.as_graph_def().library.function
            assert not any(f.attr["_XlaMustCompile"].b for f in functions)

elif BACKEND == "jax":
    import jax

    def test_inside_a_function_of_the_users_own():
        layer = built(BY_NAME["srnn_deep"], jit_compile=True)
        x = sequences()[:, 0]
        inside = jax.jit(lambda x: layer.step(x)[0])(x)
        same([inside], [layer.step(x)[0]])

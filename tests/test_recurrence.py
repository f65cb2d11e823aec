"""The fast loop gives what the plain loop gives: outputs, states and gradients."""

import keras
import numpy as np
import pytest
from descriptors import NETWORKS, D, H, sequences
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_deep_rnn as kdr
from keras_deep_rnn.operators import Plus
from keras_deep_rnn.recurrence.derivatives import DERIVATIVES

MASK = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]], bool)


def plain(monkeypatch):
    monkeypatch.setattr(Plus, "why_plain", lambda self, loop=None: "asked for")


def trained(make_layer, weights, x, mask):
    """Outputs of a layer in training, and its weights after a step of gradient descent."""
    inputs = keras.Input(x.shape[1:], batch_size=len(x))
    masks = keras.Input(mask.shape[1:], batch_size=len(x), dtype="bool")
    layer = make_layer(return_sequences=True, return_state=True)
    results = layer(inputs, mask=masks)
    rows = [keras.ops.reshape(result, (len(x), -1)) for result in results]
    model = keras.Model([inputs, masks], keras.ops.concatenate(rows, axis=-1))
    layer.set_weights(weights)
    model.compile(
        keras.optimizers.SGD(1.0), lambda y_true, y: keras.ops.sum(keras.ops.square(y - 0.1))
    )
    model.train_on_batch([x, mask], np.zeros((len(x), 1)))
    return layer.get_weights()


CASES = [(network, "0") for network in NETWORKS] + [(NETWORKS[4], "1"), (NETWORKS[-1], "1")]


@pytest.mark.parametrize(("network", "xla"), CASES, ids=str)
def test_gradients_with_dropout_and_mask(network, xla, monkeypatch):
    monkeypatch.setenv("KERAS_DEEP_RNN_XLA", xla)

    def make(**options):
        return network.make_layer(dropout=0.3, recurrent_dropout=0.4, seed=5, **options)

    weights = make()
    weights.build((3, 6, D))
    weights = weights.get_weights()
    fast = trained(make, weights, sequences(), MASK)
    plain(monkeypatch)
    for a, b, start in zip(fast, trained(make, weights, sequences(), MASK), weights, strict=True):
        assert not np.array_equal(a, start) or a.ndim == 1
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(1, 4),
    steps=st.integers(1, 7),
    transition_units=st.none() | st.lists(st.integers(1, 6), min_size=1, max_size=3),
    shortcut=st.booleans(),
    input_to=st.sampled_from(["first", "all"]),
    use_bias=st.booleans(),
    activation=st.sampled_from([a.__name__ for a in DERIVATIVES]),
    masked=st.booleans(),
    batch_parts=st.none() | st.integers(1, 3),
    remat=st.none() | st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_any_transition(batch, steps, masked, seed, **arguments):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, steps, D)).astype("float32")
    mask = rng.random((batch, steps)) < 0.7 if masked else np.ones((batch, steps), bool)

    def make(**options):
        return kdr.DeepTransitionRNN(H, **arguments, **options)

    layer = make()
    assert layer.recurrence == "fast"
    layer.build(x.shape)
    weights = [rng.normal(0, 0.4, w.shape).astype("float32") for w in layer.get_weights()]
    fast = trained(make, weights, x, mask)
    with pytest.MonkeyPatch.context() as monkeypatch:
        plain(monkeypatch)
        other = trained(make, weights, x, mask)
    for a, b in zip(fast, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_which_loop_and_why():
    assert kdr.DeepTransitionRNN(H).recurrence == "fast"
    assert kdr.DeepTransitionRNN(H, unroll=True).recurrence == "plain: unroll=True"
    assert kdr.DeepTransitionRNN(H, activation="celu").recurrence == (
        "plain: the loop has no derivative of celu"
    )
    assert kdr.DeepTransitionRNN(H, activation=kdr.LpUnit()).recurrence == (
        "plain: the loop has no derivative of LpUnit"
    )
    assert kdr.DeepRNN(keras.layers.Add(), state_size=D).recurrence == "plain: ⊕ is a Add"
    levels = [kdr.DeepTransitionRNNCell(H), keras.layers.GRUCell(3)]
    assert kdr.StackedRNN(levels).recurrence == ["fast", "plain: the cell is a GRUCell"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA's switch is TensorFlow's")
@pytest.mark.parametrize("switch", ["0", "1"])
def test_switch_of_xla(monkeypatch, switch):
    import tensorflow as tf

    monkeypatch.setenv("KERAS_DEEP_RNN_XLA", switch)
    layer = kdr.DeepTransitionRNN(H, transition_units=(4,))
    layer.build((None, None, D))
    spec = tf.TensorSpec((None, None, D))
    graph = tf.function(lambda x: layer(x), input_signature=[spec]).get_concrete_function().graph
    definition = graph.as_graph_def()
    must = [f.signature.name for f in definition.library.function if f.attr["_XlaMustCompile"].b]
    assert bool(must) == (switch == "1")

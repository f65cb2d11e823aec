"""`layer.stepper()` is `layer.step` in NumPy, from a snapshot of the weights."""

import concurrent.futures
import itertools
import pickle

import keras
import numpy as np
import pytest
from descriptors import EVERY, NETWORKS, D, H, first_states, randomize, to_numpy
from descriptors import sequences as drawn
from keras import ops

import keras_deep_rnn as kdr
from keras_deep_rnn.layers.stepper.keras_call import KerasCall
from keras_deep_rnn.utils.errors import UserError

GATED = {
    "highway": lambda **own: kdr.RecurrentHighway(H, depth=3, **own),
    "highway_free": lambda **own: kdr.RecurrentHighway(
        H, depth=2, coupled_gates=False, input_to="all", activation="relu", **own
    ),
    "gru": lambda **own: kdr.DeepTransitionGRU(H, depth=2, **own),
    "gru_before": lambda **own: kdr.DeepTransitionGRU(H, depth=2, reset_after=False, **own),
    "lstm": lambda **own: kdr.DeepTransitionLSTM(H, depth=2, **own),
    "fast_relu": lambda **own: kdr.FastDropoutRNN(
        H, dropout=0.2, recurrent_dropout=0.4, activation="relu", **own
    ),
}


class Wavy(kdr.layers.Operator):
    """Has an operation without a NumPy function, and two states."""

    state_size = (4, 3)

    def affine_maps(self):
        return [
            kdr.Affine(4, (4, 3), x=True, activation=self.activation),
            kdr.Affine(3, (4,)),
        ]

    def step(self, affine, states):
        a = affine(0, *states)
        both = ops.flip(ops.concatenate([a, states[1]], axis=-1), axis=-1)
        first, second = ops.split(both, [4], -1)
        return [ops.sinh(0.3 * first), ops.where(second > 0, affine(1, a), 1.5 - second)]


@keras.saving.register_keras_serializable("test_stepper")
class Native(keras.layers.Layer):
    """A ▷ that symbolic tensors cannot run."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(1,), initializer="ones")

    def call(self, h):
        return ops.convert_to_tensor(self.factor) * _native(h)

    def compute_output_shape(self, shape):
        return shape


def _native(h):
    if isinstance(h, keras.KerasTensor):
        raise TypeError("no symbolic tensors")
    return ops.tanh(h)


def sequences(batch=3, steps=3):
    return drawn(batch, steps)


def built(make, features=D, scale=0.3, **options):
    layer = make(**options)
    layer.build((None, None, features))
    randomize(layer, scale=scale)
    return layer


def agree(layer, x, states=None, atol=1e-6, stepper=None):
    """Compares the stepper over a sequence with `layer.step`; returns the stepper."""
    stepper = stepper or layer.stepper()
    expected_states = states
    for t in range(x.shape[1]):
        before = None if states is None else [s.copy() for s in states]
        now, x_before = x[:, t], x[:, t].copy()
        given = states
        y, states = stepper(now, given)
        expected, expected_states = layer.step(now, expected_states)
        assert isinstance(states, list)
        assert {value.dtype for value in (y, *states)} == {np.dtype("float32")}
        for a, b in zip((y, *states), (expected, *expected_states), strict=True):
            np.testing.assert_allclose(a, to_numpy(b), atol=atol)
        for a, b in itertools.combinations([now, y, *states, *(given or [])], 2):
            assert not np.shares_memory(a, b)
        for a, b in zip([now, *(given or [])], [x_before, *(before or [])]):
            np.testing.assert_array_equal(a, b)
    return stepper


def calls_keras(stepper):
    return any(isinstance(function, KerasCall) for function, *_ in stepper._program[0])


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_equals_step(network):
    layer = built(network.make_layer, dropout=0.5, recurrent_dropout=0.5, return_sequences=True)
    stepper = agree(layer, sequences(batch=1))
    agree(layer, sequences(), first_states(layer), stepper=stepper)
    assert not calls_keras(stepper)


@pytest.mark.parametrize("name", GATED)
def test_gated(name):
    layer = built(GATED[name])
    stepper = agree(layer, sequences(batch=1))
    agree(layer, sequences(), [abs(s) for s in first_states(layer)], stepper=stepper)
    assert not calls_keras(stepper)


OPTIONS = {
    "layer_norm": {"normalization": "layer"},
    "zoneout": {"zoneout": 0.2},
    "initial_state": {"learn_initial_state": True},
    "lp": {"activation": lambda: kdr.LpUnit(pieces=2)},
    "maxout": {"activation": lambda: kdr.Maxout(pieces=3)},
    "leaky": {"activation": lambda: keras.layers.LeakyReLU(0.1)},
    "no_bias": {"use_bias": False},
    "relu": {"activation": "relu"},
    "softplus": {"activation": "softplus"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    options = {n: v() if callable(v) else v for n, v in OPTIONS[name].items()}
    layer = built(NETWORKS[8].make_layer, **options)
    stepper = agree(layer, sequences(batch=1), atol=2e-6)
    agree(layer, sequences(), [0.3 * s for s in first_states(layer)], stepper=stepper, atol=2e-6)
    assert not calls_keras(stepper)


@pytest.mark.parametrize(
    "make",
    [
        lambda: kdr.DeepTransitionRNN(H, (4,), shortcut=True, input_to="all", num_tokens=7),
        lambda: kdr.DeepInputRNN(H, input_units=(6,), num_tokens=7),
        lambda: kdr.StackedRNN(units=(H, 4), num_tokens=7, skip="all_to_output"),
    ],
)
def test_tokens(make):
    layer = built(make, features=1)
    x = np.random.default_rng(0).integers(7, size=(3, 3, 1))
    agree(layer, x)
    agree(layer, x[:1].astype("int32"))


def test_user_defined_operator_and_layers():
    predict = keras.Sequential(
        [keras.layers.Dense(6, "gelu"), keras.layers.Dropout(0.5), keras.layers.Dense(2, "softmax")]
    )
    layer = built(lambda: kdr.DeepRNN(Wavy(4), predict))
    stepper = agree(layer, sequences())
    assert calls_keras(stepper)
    agree(layer, sequences(), stepper=pickle.loads(pickle.dumps(stepper)))


def test_layer_that_cannot_be_traced():
    layer = built(lambda: kdr.DeepRNN(kdr.layers.Plus(H), Native()))
    stepper = agree(layer, sequences())
    x = sequences()[:, 0]
    before = stepper(x)[0]
    randomize(layer, seed=9)
    np.testing.assert_array_equal(stepper(x)[0], before)
    agree(layer, sequences(), stepper=pickle.loads(pickle.dumps(layer.stepper())))


def test_operator_that_cannot_be_traced():
    layer = built(lambda: kdr.DeepRNN(Branching(4)))
    stepper = agree(layer, sequences())
    assert calls_keras(stepper)
    agree(layer, sequences(), stepper=pickle.loads(pickle.dumps(stepper)))


def test_normalization_between_levels():
    cells = [
        kdr.DeepTransitionRNNCell(H, normalization="layer", zoneout=0.1, name="same"),
        kdr.RecurrentHighwayCell(H, name="same", learn_initial_state=True),
    ]
    layer = built(lambda: kdr.StackedRNN(cells=cells, skip="residual"))
    agree(layer, sequences())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_computes_in_float32(policy):
    exact = built(NETWORKS[8].make_layer)
    layer = built(NETWORKS[8].make_layer, dtype=policy)
    x = sequences()
    stepper, other = exact.stepper(), layer.stepper()
    states = None
    for t in range(3):
        y, _ = other(x[:, t], states)
        expected, states = stepper(x[:, t], states)
        np.testing.assert_allclose(y, expected, atol=1e-6)


def test_frozen_pickled_and_shared():
    layer = built(NETWORKS[8].make_layer)
    x = sequences(batch=2, steps=40)
    stepper = layer.stepper()

    def run(stepper):
        ys, states = [], None
        for t in range(x.shape[1]):
            y, states = stepper(x[:, t], states)
            ys.append(y)
        return np.stack(ys)

    before = run(stepper)
    for v in layer.weights:
        v.assign(v * 0 + 0.1)
    copy = pickle.loads(pickle.dumps(stepper))
    assert np.abs(run(layer.stepper()) - before).max() > 1e-3
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(run, [stepper, copy] * 4):
            np.testing.assert_array_equal(found, before)


def test_leaves_the_layer_unchanged():
    layer = built(NETWORKS[8].make_layer)
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs))
    before = [len(part._inbound_nodes) for part in layer._flatten_layers()]
    layer.stepper()
    assert [len(part._inbound_nodes) for part in layer._flatten_layers()] == before
    assert model(sequences()).shape == (3, layer.output.shape[-1])


@pytest.mark.slow
def test_deep_networks():
    layer = built(lambda: kdr.RecurrentHighway(H, depth=200))
    agree(layer, sequences(batch=1, steps=1), atol=1e-5)


class OwnCall(kdr.DeepTransitionRNNCell):
    def call(self, inputs, states, training=False):
        y, states = super().call(inputs, states, training)
        return 2 * y, states


class OwnStep(kdr.layers.Operator):
    def affine_maps(self):
        return [kdr.Affine(self.units, (self.units,), x=True)]

    def step(self, affine, h):
        return affine(0, h) + self.noise(h)


class Noisy(OwnStep):
    def __init__(self, units):
        super().__init__(units)
        self.seed = keras.random.SeedGenerator(1)

    def noise(self, h):
        return keras.random.normal((1, self.units), seed=self.seed)


@keras.saving.register_keras_serializable("test_stepper")
class Branching(OwnStep):
    def noise(self, h):
        return h if keras.ops.is_tensor(h) else np.asarray(h)


def local_operator():
    class Local(Branching):
        """Can be neither traced nor copied."""

    return Local(4)


class PlusCall(kdr.layers.Plus):
    def call(self, inputs, keep_mask=None, recurrent_mask=None):
        return super().call(inputs, keep_mask, recurrent_mask)


def any_layer():
    x, h = keras.Input((D,)), keras.Input((4,))
    new = keras.layers.Dense(4)(keras.layers.Concatenate()([x, h]))
    return keras.Model([x, h], new)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: kdr.DeepRNN(any_layer(), state_size=4), "Functional"),
        (lambda: kdr.DeepRNN(OwnCall(4)), "OwnCall"),
        (lambda: kdr.DeepRNN(PlusCall(4)), "PlusCall"),
        (lambda: kdr.StackedRNN([kdr.RecurrentHighwayCell(4), keras.layers.GRUCell(3)]), "GRUCell"),
        (lambda: kdr.DeepRNN(Noisy(4)), "Noisy"),
        (lambda: kdr.DeepRNN(local_operator()), "Local"),
    ],
)
def test_what_cannot_be_frozen(make, part):
    layer = make()
    layer.build((None, None, D))
    with pytest.raises(UserError) as error:
        layer.stepper()
    message = str(error.value)
    assert message.startswith(f"`stepper` cannot freeze a {part}, use `layer.step`: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("x", "states", "message"),
    [
        (np.ones((2, 1, D)), None, "`x_t` must have shape (B, D), D = 3, got (2, 1, 3)."),
        (np.ones(D), None, "`x_t` must have shape (B, D), D = 3, got (3,)."),
        (np.ones((2, 4)), None, "`x_t` must have shape (B, D), D = 3, got (2, 4)."),
        (np.ones((2, D)), [], "`states` must have 1 array(s), got 0."),
        (np.ones((2, D)), np.ones((2, H)), "`states` must have 1 array(s), got ndarray."),
        (
            np.ones((2, D)),
            [np.ones((1, H))],
            "`states` must have shape (B, H) = (2, 5), got (1, 5).",
        ),
    ],
)
def test_shapes(x, states, message):
    stepper = built(NETWORKS[0].make_layer).stepper()
    with pytest.raises(UserError) as error:
        stepper(x, states)
    assert str(error.value) == message


def test_layers_that_have_no_stepper():
    with pytest.raises(UserError, match="`stepper` goes forwards, but the layer has"):
        built(NETWORKS[0].make_layer, go_backwards=True).stepper()
    with pytest.raises(UserError, match="`stepper` needs a built layer"):
        NETWORKS[0].make_layer().stepper()

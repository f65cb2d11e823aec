"""Tokens, which are looked up in U, against their one-hot vectors."""

import keras
import numpy as np
import pytest

import keras_deep_rnn as kdr

TOKENS = 7
LAYERS = {
    "rnn": lambda **o: kdr.DeepTransitionRNN(4, **o),
    "dts_rnn": lambda **o: kdr.DeepTransitionRNN(
        4, transition_units=(5,), shortcut=True, input_to="all", **o
    ),
    "deep_input_rnn": lambda **o: kdr.DeepInputRNN(4, input_units=(6, 5), **o),
    "dots_rnn": lambda **o: kdr.DeepOutputTransitionRNN(
        4, transition_units=(5,), output_units=(6,), shortcut=True, **o
    ),
    "srnn": lambda **o: kdr.StackedRNN(units=(4, 5), **o),
    "rhn": lambda **o: kdr.RecurrentHighway(4, depth=2, input_to="all", **o),
    "dt_gru": lambda **o: kdr.DeepTransitionGRU(4, depth=2, **o),
    "gru_before": lambda **o: kdr.DeepTransitionGRU(4, reset_after=False, **o),
    "dt_lstm": lambda **o: kdr.DeepTransitionLSTM(4, depth=2, **o),
}


def make_twins(name, **options):
    """A layer for tokens and one for their unit vectors, with equal weights."""
    of_tokens = LAYERS[name](num_tokens=TOKENS, return_sequences=True, **options)
    of_vectors = LAYERS[name](return_sequences=True, **options)
    of_tokens.build((None, None, 1))
    of_vectors.build((None, None, TOKENS))
    of_vectors.set_weights(of_tokens.get_weights())
    return of_tokens, of_vectors


@pytest.fixture(params=LAYERS)
def twins(request):
    return make_twins(request.param)


def some_tokens():
    # Token 2 comes often, token 6 never: the gradient of its row is 0.
    return np.random.default_rng(0).choice([0, 1, 2, 2, 2, 3, 4, 5], (3, 9, 1)).astype("int32")


@pytest.mark.slow
def test_a_token_is_its_unit_vector(twins):
    of_tokens, of_vectors = twins
    tokens = some_tokens()
    vectors = np.eye(TOKENS, dtype="float32")[tokens[..., 0]]
    expected = keras.ops.convert_to_numpy(of_vectors(vectors))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(of_tokens(tokens)), expected, atol=1e-6)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(of_tokens.step(tokens[:, 0])[0]), expected[:, 0], atol=1e-6
    )


@pytest.mark.slow
def test_trains_as_its_twin(twins):
    """Also with a clipped gradient norm, which sparse gradients with repeated rows would change."""
    trained = []
    for layer, x in zip(twins, (some_tokens(), np.eye(TOKENS)[some_tokens()[..., 0]])):
        classes = keras.layers.Dense(1, kernel_initializer="ones")
        model = keras.Sequential([keras.Input(x.shape[1:]), layer, classes])
        model.compile(keras.optimizers.SGD(0.5, global_clipnorm=0.1), "mse")
        model.fit(x, np.ones((3, 9, 1)), epochs=3, verbose=0)
        trained.append(model.get_weights())
    for of_tokens, of_vectors in zip(*trained):
        np.testing.assert_allclose(of_tokens, of_vectors, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("by_step", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_drops_the_units_of_tokens(name, by_step):
    """The dropout of the unit vectors: all occurrences of a token in a row, or none."""
    layers = make_twins(name, dropout=0.4, seed=3)
    if by_step:
        layers = [keras.layers.RNN(layer.cell, return_sequences=True) for layer in layers]
    tokens = some_tokens()
    vectors = np.eye(TOKENS, dtype="float32")[tokens[..., 0]]
    found, expected = (
        keras.ops.convert_to_numpy(layer(x, training=True))
        for layer, x in zip(layers, (tokens, vectors))
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    undropped = keras.ops.convert_to_numpy(layers[0](tokens, training=False))
    assert np.abs(found - undropped).max() > 0.01


@pytest.mark.slow
def test_saved_and_loaded(twins, tmp_path):
    tokens = keras.Input((None, 1), dtype="int32")
    model = keras.Model(tokens, twins[0](tokens))
    model.save(tmp_path / "tokens.keras")
    loaded = keras.models.load_model(tmp_path / "tokens.keras")
    np.testing.assert_array_equal(loaded.predict(some_tokens()), model.predict(some_tokens()))


def test_a_text_network_drops_units():
    model = kdr.build_network("rnn", kind="words", features=TOKENS, units=4, dropout=0.5)
    x = np.repeat(np.arange(TOKENS)[None], 50, axis=0)
    y = keras.ops.convert_to_numpy(model({"x": x}, training=True))
    assert len(np.unique(y[:, 0].round(6), axis=0)) == 2  # kept and dropped


def deviations(layer):
    """The standard deviations of the kernels that an input feeds."""
    layer.build((None, None, 1))
    found = [w for w in layer.weights if "input_to_hidden" in w.path]
    return [keras.ops.convert_to_numpy(w).std() for w in found]


def test_how_embeddings_start():
    """As asked, whatever feeds on tokens, and nothing else."""
    options = {
        "num_tokens": 200,
        "input_initializer": keras.initializers.RandomNormal(stddev=1),
    }
    deep = {"transition_units": (50,), "shortcut": True, "input_to": "all", **options}
    np.testing.assert_allclose(deviations(kdr.DeepTransitionRNN(50, **deep)), [1, 1], rtol=0.05)
    first, second = deviations(kdr.DeepInputRNN(50, input_units=(50,), **options))
    assert first == pytest.approx(1, rel=0.05)
    assert second < 0.2
    first, second = deviations(kdr.StackedRNN(units=(50, 50), **options))
    assert first == pytest.approx(1, rel=0.05)
    assert second < 0.2
    glorot = (2 / 250) ** 0.5
    assert deviations(kdr.DeepTransitionRNN(50, num_tokens=200))[0] == pytest.approx(glorot, 0.05)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("characters", {}, 1),
        ("characters", {"input_stddev": 0.1}, 0.1),
        ("words", {}, (2 / 250) ** 0.5),
    ],
)
def test_how_embeddings_of_a_text_network_start(kind, options, expected):
    model = kdr.build_network(
        "dts_rnn", kind=kind, features=200, units=50, input_to="all", **options
    )
    found = deviations(model.get_layer("recurrent"))
    np.testing.assert_allclose(found, [expected] * 2, rtol=0.05)


class OwnPlus(kdr.Plus):
    """Another ⊕ than the paper's, which the layer runs step by step."""

    def call(self, inputs, **options):
        return super().call(inputs, **options)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: kdr.DeepTransitionRNN(4, num_tokens=0), "`num_tokens` must be a positive integer"),
        (
            lambda: kdr.DeepRNN(OwnPlus(4, num_tokens=7), dropout=0.1),
            "`dropout` must be 0 with the `num_tokens` of a `plus` .* got 0.1 with a OwnPlus",
        ),
        (
            lambda: kdr.DeepTransitionRNN(4, num_tokens=7)(np.zeros((2, 3, 5), "int32")),
            "`x` must be one token a step with `num_tokens`, got 5",
        ),
    ],
)
def test_mistakes(make, error):
    with pytest.raises(ValueError, match=error):
        make()

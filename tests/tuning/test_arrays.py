"""`HyperDeepRNN` on arrays: what their shapes decide, refused data, and input layers."""

import re

import keras
import numpy as np
import pytest

from keras_deep_rnn.tuning import count_parameters, paper_space
from keras_deep_rnn.utils.errors import UserError

keras_tuner = pytest.importorskip("keras_tuner")
from keras_deep_rnn.tuning import HyperDeepRNN, seed_from  # noqa: E402

B, T, D = 8, 5, 3
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(loc=4.0, size=(B, T, D)).astype("float32")
TOKENS = RANDOM.integers(1, 9, size=(B, T))
CLASSES = np.arange(B) % 2
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
Dense, Embedding = keras.layers.Dense, keras.layers.Embedding


def space(**more):
    given = {"network": ["rnn", "dot_rnn"], "transition_depth": 1, "output_depth": 1, "units": 4}
    return paper_space(**{**given, "batch_size": 4, **more})


def hyper_of(x=X, y=CLASSES, output=1, loss="mse", **more):
    output = Dense(output) if isinstance(output, int) else output
    given = {"space": space(), "settings": {"epochs": 1}, **more}
    return HyperDeepRNN.for_arrays(x, y, output=output, loss=loss, **given)


def values_of(hyper, network="rnn"):
    """The default values of the space with a network."""
    defaults = {name: hyper.space[name].default for name in hyper.space.names}
    return hyper.space.active({**defaults, "network": network})


def built(hyper, network="rnn"):
    return hyper.network(values_of(hyper, network))


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.x, self.y


def batches(x, y):
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.data.Dataset.from_tensor_slices((x, y)).batch(4)


@pytest.mark.parametrize(
    ("y", "output", "loss", "shape"),
    [
        (np.zeros(B), 1, "mse", (None, 1)),
        (np.zeros((B, 1)), 1, "mse", (None, 1)),
        (np.zeros((B, 2)), 2, "mse", (None, 2)),
        (np.zeros((B, T)), T, "mse", (None, T)),
        (np.zeros((B, T)), 1, "mse", (None, None, 1)),
        (np.zeros((B, T, 2)), 2, "mse", (None, None, 2)),
        (np.zeros(B, "int32"), 2, SPARSE, (None, 2)),
        (np.zeros((B, T), "int32"), T, SPARSE, (None, None, T)),
        (np.zeros((B, T, 2)), 2, lambda y, z: (y - z) ** 2, (None, None, 2)),
        (np.zeros((B, 2)), 2, lambda y, z: (y - z) ** 2, (None, 2)),
        (np.zeros((B, 2), "int32"), 4, "ctc", (None, None, 4)),
    ],
)
@pytest.mark.parametrize("kind", ["arrays", "tf.data.Dataset", "PyDataset"])
def test_the_shape_of_y_decides_whether_sequences_are_returned(kind, y, output, loss, shape):
    made = {"arrays": (X, y), "PyDataset": (Batches(X, y), None)}
    data = made[kind] if kind in made else (batches(X, y), None)
    hyper = hyper_of(*data, output, loss)
    assert built(hyper).output_shape == shape


def test_an_output_layer_that_reads_whole_sequences():
    output = keras.Sequential([keras.layers.GlobalAveragePooling1D(), Dense(2)])
    model = built(hyper_of(X, np.zeros((B, 2)), output))
    assert model.get_layer("recurrent").return_sequences
    assert model.output_shape == (None, 2)


SOFTMAX = Dense(2, activation="softmax")
SIGMOID = Dense(1, activation="sigmoid")
REFUSED = [
    ({"x": X[..., 0]}, "`x` must have shape (N, T, D), got (8, 5); a series of single numbers is"),
    ({"x": TOKENS}, "got (8, 5); layers that read another shape are `input_layers`"),
    ({"x": np.array(["a b", "c"]), "input_layers": Embedding(9, 4)},
     "`x` must be x.astype(object), which Keras takes, got dtype <U3."),
    ({"x": [1, 2]}, "`x` must be an array, or a data set whose batches have a known shape"),
    ({"y": np.zeros((B, 1)), "output": 2}, "(N, 2), got (8, 1); `output` has 2 units, `y` has 1"),
    ({"y": np.zeros((B, T, 1)), "output": 2}, "got (8, 5, 1); `output` has 2 units, `y` has 1"),
    ({"y": np.zeros(B), "output": B}, "`y` must have the shape of the model's output, (N, 8)"),
    ({"y": np.zeros((B, T + 1, 1))}, "the shape of the model's output, (N, 5, 1), got (8, 6, 1)."),
    ({"y": np.zeros((B, 2)), "loss": SPARSE, "output": 2},
     "without its classes, (N,), got (8, 2); one-hot targets take categorical crossentropy."),
    ({"output": SOFTMAX, "loss": "categorical_crossentropy"},
     "(N, 2), got (8,); class indices take sparse categorical crossentropy."),
    ({"y": CLASSES + 0.5, "loss": SPARSE, "output": 2}, "`y` must be class indices from 0 to 1"),
    ({"y": CLASSES + 1, "loss": SPARSE, "output": 2}, "class indices from 0 to 1, got 2."),
    ({"y": CLASSES - 1, "loss": SPARSE, "output": 2}, "class indices from 0 to 1, got -1."),
    ({"y": Batches(X, CLASSES + 1)[0][1], "loss": SPARSE, "output": 2}, "got 2."),
    ({"y": 2 * CLASSES, "output": SIGMOID, "loss": "binary_crossentropy"},
     "`y` must be from 0 to 1 for binary crossentropy, got 2."),
    ({"output": 2, "loss": "sparse_categorical_crossentropy"},
     "`loss` must be a loss with from_logits=True: `output` is linear, and without logits the"),
    ({"loss": "binary_crossentropy"}, "the loss expects a sigmoid."),
    ({"output": SOFTMAX, "loss": SPARSE},
     "`loss` must be a loss with from_logits=False: `output` ends in softmax"),
    ({"output": 1, "loss": SPARSE}, "`output` must be a layer of one unit per class, got 1 unit;"),
    ({"y": np.zeros((B, T)), "loss": lambda y, z: z, "output": 2},
     "`return_sequences` must be given, got `y` of shape (8, 5), which can be one target per"),
    ({"input_layers": 3}, "`input_layers` must be a Keras layer, a list of them, or a function"),
    ({"input_layers": [Dense(2), 3]}, "`input_layers` must be a Keras layer, a list of them"),
    ({"input_layers": keras.layers.Normalization()},
     "got 'normalization', which has not been adapted; call its `adapt` with the training data."),
    ({"x": TOKENS, "input_layers": keras.layers.Rescaling(2.0)},
     "must be layers whose output has shape (B, T, D), got (None, None); end them in an Embed"),
    ({"bidirectional": 1}, "`bidirectional` must be True or False, got 1."),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "line"), REFUSED)
def test_what_keras_would_take_without_a_word(arguments, line):
    with pytest.raises(UserError) as error:
        hyper_of(**arguments)
    # Keras numbers the layers of a process.
    assert line in re.sub(r"normalization_\d+", "normalization", str(error.value))
    assert "\n" not in str(error.value)


def test_an_ignored_class_is_no_class():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    assert hyper_of(y=CLASSES - 1, output=2, loss=loss) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("training", "validation", "line"),
    [
        ((X, CLASSES), (X, np.zeros((B, T, 1))), r"`validation_data\[1\]` must have the shape"),
        ((X, CLASSES), (X[..., :2], CLASSES), r"`validation_data\[0\]` must have shape \(N, None,"),
        ((X[..., :2], CLASSES), (X, CLASSES), r"`x` must have shape \(N, None, 3\), got \(8, 5, 2"),
    ],
)
def test_data_of_a_search_is_checked_before_its_first_trial(tmp_path, training, validation, line):
    hyper = hyper_of()
    tuner = keras_tuner.RandomSearch(
        hyper, objective=hyper.objective, max_trials=2, directory=tmp_path
    )
    with pytest.raises(keras_tuner.errors.FatalValueError, match=line):
        tuner.search(*training, validation_data=validation, verbose=0)


def test_data_sets_of_the_package_take_no_layers():
    for more in ({"bidirectional": True}, {"input_layers": Dense(2)}):
        with pytest.raises(UserError, match="must be left out for a data set of the package"):
            HyperDeepRNN("bach_chorales", **more)


def normalization():
    layer = keras.layers.Normalization()
    layer.adapt(X)
    return layer


def test_adapted_layers_keep_their_state():
    layer = normalization()
    hyper = hyper_of(input_layers=layer)
    model = built(hyper)
    copy = next(part for part in model.layers if isinstance(part, keras.layers.Normalization))
    assert copy is not layer
    np.testing.assert_allclose(copy(X), (X - X.mean((0, 1))) / X.std((0, 1)), atol=1e-4)


@pytest.mark.slow
def test_pretrained_layers_begin_with_their_weights_and_are_not_shared():
    embedding = Embedding(9, 4)
    embedding(TOKENS)
    before = embedding.get_weights()[0].copy()
    hyper = hyper_of(TOKENS, input_layers=keras.Sequential([embedding, Dense(3)]))
    first, second = built(hyper), built(hyper)
    for model in (first, second):
        copy = next(part for part in model.layers if isinstance(part, Embedding))
        np.testing.assert_array_equal(copy.get_weights()[0], before)
        model.fit(TOKENS, CLASSES, verbose=0)
        assert np.abs(copy.get_weights()[0] - before).max() > 0
    np.testing.assert_array_equal(embedding.get_weights()[0], before)


def test_layers_before_the_network_have_the_seed_of_the_trial():
    layers = [Embedding(9, 4), keras.layers.Dropout(0.5)]
    weights = [
        built(hyper_of(TOKENS, input_layers=layers, seed=seed)).get_weights() for seed in (1, 1, 2)
    ]
    for first, again in zip(weights[0], weights[1]):
        np.testing.assert_array_equal(first, again)
    assert np.abs(weights[0][0] - weights[2][0]).max() > 0


def test_a_function_makes_new_layers_for_each_network():
    made = []

    def make():
        made.append(Embedding(9, 4))
        return made[-1]

    hyper = hyper_of(TOKENS, input_layers=make)
    count = len(made)
    built(hyper)
    assert len(made) == count + 1
    shared = Embedding(9, 4)
    with pytest.raises(UserError, match="must be a function that makes new layers at each call"):
        hyper_of(TOKENS, input_layers=lambda: shared)


@pytest.mark.parametrize("return_sequences", [True, False])
def test_a_bidirectional_network_reads_the_sequence_both_ways(return_sequences):
    y = np.zeros((B, T, 1) if return_sequences else (B, 1))
    model = built(hyper_of(y=y, bidirectional=True), "dot_rnn")
    both = model.get_layer("bidirectional")
    forward, backward = both.forward_layer, both.backward_layer
    # Equal weights would learn the same of a sequence and its reverse.
    assert np.abs(forward.get_weights()[0] - backward.get_weights()[0]).max() > 0.01
    found = np.asarray(both(X))
    backward.set_weights(forward.get_weights())
    mirrored = np.asarray(both(X[:, ::-1]))
    expected = np.asarray(forward(X))
    np.testing.assert_allclose(found[..., :4], expected, atol=1e-5)
    if return_sequences:
        mirrored = mirrored[:, ::-1]
    np.testing.assert_allclose(mirrored[..., 4:], expected, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("network", ["rnn", "dot_rnn"])
def test_a_budget_counts_all_layers(network, bidirectional):
    hyper = hyper_of(
        TOKENS,
        np.zeros((B, T, 2)),
        2,
        space=space(units=None),
        input_layers=[Embedding(9, 4), keras.layers.Conv1D(5, 3, padding="same")],
        bidirectional=bidirectional,
        budget=3_000,
    )
    values = values_of(hyper, network)
    count = hyper.network(values).count_params()
    assert hyper.parameters(values) == count
    assert abs(count / 3_000 - 1) < 0.02


def test_a_budget_below_the_layers_before_the_network():
    with pytest.raises(UserError, match="`budget` must be within 5%"):
        hyper_of(TOKENS, space=space(units=None), input_layers=Embedding(900, 4), budget=3_000)


def test_parameters_of_a_bidirectional_network_in_closed_form():
    sizes = {"network": "rnn", "units": 4}
    one = count_parameters(sizes, features=3, outputs=2)
    both = count_parameters(sizes, features=3, outputs=2, bidirectional=True, before=7)
    recurrent = (3 + 4 + 1) * 4
    assert (one, both) == (recurrent + 5 * 2, 2 * recurrent + 9 * 2 + 7)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings in a model")
def test_a_search_over_texts(tmp_path):
    texts = np.array([" ".join("abcd"[: 2 + i % 3]) for i in range(B)], dtype=object)
    vectorization = keras.layers.TextVectorization()
    vectorization.adapt(texts)
    hyper = hyper_of(
        texts,
        CLASSES,
        SIGMOID,
        "binary_crossentropy",
        input_layers=[vectorization, Embedding(6, 4, mask_zero=True)],
        bidirectional=True,
    )
    tuner = keras_tuner.RandomSearch(
        hyper, objective=hyper.objective, max_trials=2, directory=tmp_path, seed=seed_from(1)
    )
    tuner.search(texts, CLASSES, validation_data=(texts, CLASSES), verbose=0)
    (best,) = tuner.get_best_models(1)
    score = tuner.oracle.get_best_trials(1)[0].score
    assert best.evaluate(texts, CLASSES, verbose=0) == pytest.approx(score, rel=1e-5)

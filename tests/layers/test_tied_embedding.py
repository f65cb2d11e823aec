"""`TiedEmbedding` against one-hot vectors, and the dropout of whole tokens."""

import keras
import numpy as np
import pytest
from descriptors import to_numpy
from keras import ops

import keras_deep_rnn as kdr

V, E = 7, 4
# Token 2 comes often, token 6 never.
TOKENS = np.random.default_rng(0).choice([0, 1, 2, 2, 2, 3, 4, 5], (3, 9)).astype("int32")


class OneHotTwin(kdr.layers.TiedEmbedding):
    """The same by products with one-hot vectors."""

    def call(self, inputs, reverse=False):
        if reverse:
            return ops.einsum("bte,ve->btv", inputs, self.embeddings) + self.bias
        return self.scale * ops.matmul(ops.one_hot(inputs, V), self.embeddings)


def embedding(kind=kdr.layers.TiedEmbedding, **options):
    layer = kind(V, E, **options)
    layer.build(TOKENS.shape)
    return layer


def test_x_is_a_scaled_row_and_the_logits_are_products_with_all_rows():
    layer = embedding(scale=2.0, bias_initializer="ones")
    rows, bias = layer.get_weights()
    assert (rows.shape, bias.tolist()) == ((V, E), [1.0] * V)
    np.testing.assert_allclose(to_numpy(layer(TOKENS)), 2 * rows[TOKENS], rtol=1e-6)
    y = np.random.default_rng(1).normal(size=(3, 9, E)).astype("float32")
    np.testing.assert_allclose(to_numpy(layer(y, reverse=True)), y @ rows.T + 1, atol=1e-6)


def test_how_it_starts():
    layer = kdr.layers.TiedEmbedding(300, 50)
    layer.build(None)
    rows, bias = layer.get_weights()
    assert layer.scale == 3
    assert rows.std() == pytest.approx(0.1, rel=0.03)
    assert not bias.any()


@pytest.mark.parametrize("tied", [True, False])
def test_trains_as_its_twin_with_a_clipped_gradient(tied):
    """The clipping needs the norm of the whole gradient, in which repeated tokens share a row.

    Without the logits the embedding is looked up alone, of which TensorFlow's gradient is sparse.
    """
    trained, start = [], None
    for kind in (kdr.layers.TiedEmbedding, OneHotTwin):
        layer = embedding(kind, embeddings_initializer=keras.initializers.RandomNormal(seed=1))
        layer.bias.trainable = tied
        start = start or layer.get_weights()
        layer.set_weights(start)
        tokens = keras.Input((None,), dtype="int32")
        y = ops.tanh(layer(tokens))
        model = keras.Model(tokens, layer(y, reverse=True) if tied else y)
        model.compile(keras.optimizers.SGD(0.5, global_clipnorm=0.1), "mse")
        model.fit(TOKENS, np.ones((3, 9, V if tied else E)), epochs=3, verbose=0)
        trained.append(layer.get_weights()[0])
    moved = np.linalg.norm(trained[0] - start[0])
    assert 0.01 < moved <= 3 * 0.5 * 0.1 + 1e-6
    np.testing.assert_allclose(*trained, atol=1e-6)


def test_drops_all_occurrences_of_a_token_in_a_row_or_none():
    layer = embedding(dropout=0.4, seed=3, embeddings_initializer="ones", scale=1.0)
    np.testing.assert_array_equal(to_numpy(layer(TOKENS)), 1.0)
    tokens = np.tile(np.arange(V, dtype="int32"), (400, 2))
    factors = to_numpy(layer(tokens, training=True))
    np.testing.assert_allclose(np.unique(factors), [0, 1 / 0.6], rtol=1e-6)
    assert (factors == factors[..., :1]).all()
    np.testing.assert_array_equal(factors[:, :V], factors[:, V:])
    # Of 2,800 independent draws: the deviation of the mean is 0.009.
    assert (factors[:, :V, 0] == 0).mean() == pytest.approx(0.4, abs=0.04)
    assert len(np.unique(factors[:, :V, 0], axis=0)) > 50
    again = embedding(dropout=0.4, seed=3, embeddings_initializer="ones", scale=1.0)
    np.testing.assert_array_equal(to_numpy(again(tokens, training=True)), factors)


def test_saved_and_loaded(tmp_path):
    layer = kdr.layers.TiedEmbedding(V, E, scale=2.0, dropout=0.1, seed=1)
    tokens = keras.Input((None,), dtype="int32")
    model = keras.Model(tokens, layer(layer(tokens), reverse=True))
    model.save(tmp_path / "tied.keras")
    loaded = keras.models.load_model(tmp_path / "tied.keras")
    assert loaded.layers[1].get_config() == layer.get_config()
    np.testing.assert_array_equal(to_numpy(loaded(TOKENS)), to_numpy(model(TOKENS)))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: embedding(scale=0), "`scale` must be a finite number above 0, got 0."),
        (lambda: embedding(dropout=1), "`dropout` must be a number of at least 0 and below 1"),
        (lambda: embedding(drop=1), "`drop` is no argument of TiedEmbedding"),
    ],
)
def test_mistakes(make, error):
    with pytest.raises(ValueError, match=error):
        make()

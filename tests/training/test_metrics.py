"""Losses and metrics are exact sums and counts; baselines have the published numbers."""

import math

import keras
import numpy as np
import pytest

from keras_deep_rnn.training.baselines import music_baselines, text_baselines
from keras_deep_rnn.training.metrics import (
    BitsPerCharacter,
    FrameLoss,
    FrameNLL,
    Perplexity,
    TokenLoss,
    frame_nll,
)

METRICS = [
    FrameNLL(),
    FrameNLL(weighting="sequence", first_frame=True, name="other"),
    BitsPerCharacter(),
    Perplexity(),
]


def bernoulli_nats(y, logits):
    """Frame NLL in float64 from the definition: -sum over keys of log p(y)."""
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    return -np.log(np.where(y > 0, p, 1 - p)).sum(axis=-1)


def softmax_nats(y, logits):
    logits = logits.astype("float64")
    normal = np.log(np.exp(logits).sum(axis=-1))
    return normal - np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]


@pytest.fixture
def music():
    """Pieces of unequal length, as (targets, logits)."""
    random = np.random.default_rng(0)
    return [
        (
            (random.random((length, 88)) < 0.1).astype("float32"),
            random.normal(-2, 2, (length, 88)).astype("float32"),
        )
        for length in (1, 2, 9, 30, 31, 7, 5)
    ]


def padded(pieces, rows, filling=0.0):
    """Batches of `rows` pieces, padded on the right with `filling`; missing rows too."""
    for first in range(0, len(pieces), rows):
        part = pieces[first : first + rows]
        length = max(len(y) for y, _ in part)
        y = np.zeros((rows, length, 88), "float32")
        logits = np.full((rows, length, 88), filling, "float32")
        weight = np.zeros((rows, length), "float32")
        for b, (target, logit) in enumerate(part):
            y[b, : len(target)], logits[b, : len(target)] = target, logit
            weight[b, : len(target)] = 1
        yield y, logits, weight


def number(metric):
    return float(keras.ops.convert_to_numpy(metric.result()))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("filling", [0.0, 7.0, np.inf])
@pytest.mark.parametrize("first_frame", [False, True])
@pytest.mark.parametrize("weighting", ["frame", "sequence"])
def test_frame_nll_does_not_depend_on_batches_or_padding(
    music, weighting, first_frame, filling, rows
):
    metric = FrameNLL(weighting=weighting, first_frame=first_frame)
    for batch in padded(music, rows, filling):
        metric.update_state(*batch)
    nats = [bernoulli_nats(y, logits)[0 if first_frame else 1 :] for y, logits in music]
    nats = [piece for piece in nats if len(piece)]
    if weighting == "frame":
        expected = np.concatenate(nats).mean()
    else:
        expected = np.mean([piece.mean() for piece in nats])
    assert number(metric) == pytest.approx(expected, rel=1e-6)


def test_keras_averages_averages_and_these_metrics_do_not(music):
    """The same model and data: Keras's loss changes with the batch size, the metric does not."""
    pieces = [piece for piece in music if len(piece[0]) > 1]
    model = keras.Sequential([keras.layers.Input((None, 88)), keras.layers.Activation("linear")])
    model.compile(loss=FrameLoss(), weighted_metrics=[FrameNLL(first_frame=True, name="exact")])
    truth = np.concatenate([bernoulli_nats(y, logits) for y, logits in pieces]).mean()
    losses = []
    for rows in (2, 3, 6):
        batches = [(logits, y, weight) for y, logits, weight in padded(pieces, rows)]

        class Batches(keras.utils.PyDataset):
            def __len__(self, batches=batches):
                return len(batches)

            def __getitem__(self, i, batches=batches):
                return batches[i]

        result = model.evaluate(Batches(), return_dict=True, verbose=0)
        assert result["exact"] == pytest.approx(truth, rel=1e-6)
        losses.append(result["loss"])
    assert losses[2] == pytest.approx(truth, rel=1e-6)  # everything in one batch
    assert max(abs(loss - truth) for loss in losses) > 0.01 * truth


@pytest.mark.slow
def test_five_million_characters_keep_their_digits():
    """In a thousand batches, each with a weight that stands for many; float32 sums lose digits."""
    exact = BitsPerCharacter()
    random = np.random.default_rng(1)
    total, count = 0.0, 0
    logits = random.normal(0, 1, (50, 4, 50)).astype("float32")
    y = random.integers(0, 50, (50, 4))
    nats = softmax_nats(y, logits)
    for i in range(1000):
        rows = 1 + i % 50
        weight = np.zeros((50, 4), "float32")
        weight[:rows] = 50.0
        exact.update_state(y, logits, weight)
        total += 50 * nats[:rows].sum()
        count += 50 * rows * 4
    assert count > 5_000_000
    assert number(exact) == pytest.approx(total / count / math.log(2), rel=1e-6)


@pytest.mark.slow
def test_a_number_much_smaller_than_the_sum_is_not_lost():
    """2**24 + 1 is the first integer that float32 cannot hold."""
    metric = Perplexity()
    y, logits = np.zeros((1, 1), "int32"), np.zeros((1, 1, 2))
    metric.update_state(y, logits, np.full((1, 1), 2.0**25))
    for _ in range(200):
        metric.update_state(y, logits * 0 + [[[0.0, 20.0]]], np.ones((1, 1)))
    expected = (2.0**25 * math.log(2) + 200 * 20.0) / (2.0**25 + 200)
    assert number(metric) == pytest.approx(math.exp(expected), rel=1e-6)
    lossy = keras.metrics.Mean()
    lossy.update_state([math.log(2)], [2.0**25])
    for _ in range(200):
        lossy.update_state([20.0], [1.0])
    assert number(lossy) != pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_round_trip_and_reset(metric, music):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    if isinstance(metric, FrameNLL):
        batch = next(padded(music, 4))
    else:
        batch = np.zeros((1, 3), "int32"), np.array([[[1.0, 0.0]] * 3])
    copy.update_state(*batch)
    once = number(copy)
    copy.reset_state()
    assert number(copy) == (1.0 if isinstance(metric, Perplexity) else 0.0)
    copy.update_state(*batch)
    assert number(copy) == once > 0


def test_text_metrics_against_the_definition():
    random = np.random.default_rng(2)
    logits = random.normal(0, 3, (3, 7, 11)).astype("float32")
    y = random.integers(0, 11, (3, 7))
    weight = (random.random((3, 7)) < 0.7).astype("float32")
    mean = (softmax_nats(y, logits) * weight).sum() / weight.sum()
    for metric, expected in (
        (BitsPerCharacter(), mean / math.log(2)),
        (Perplexity(), math.exp(mean)),
    ):
        metric.update_state(y, logits, weight)
        assert number(metric) == pytest.approx(expected, rel=1e-5)


def test_extreme_logits_stay_finite_and_exact():
    y = np.array([[[1.0, 0.0, 1.0, 0.0]]])
    logits = np.array([[[-200.0, 200.0, 200.0, -200.0]]], "float32")
    assert float(frame_nll(y, logits)[0, 0]) == pytest.approx(400.0)


def test_half_precision_logits_are_summed_in_float32(music):
    metric, half = FrameNLL(), FrameNLL()
    y, logits, weight = next(padded(music, 7))
    logits = logits.astype("float16")
    metric.update_state(y, logits.astype("float32"), weight)
    half.update_state(y, logits, weight)
    assert number(half) == number(metric)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"weighting": "frames"}, "did you mean 'frame'"), ({"first_frame": 1}, "`first_frame`")],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        FrameNLL(**arguments)


# What a set's per-key predictors reach on the test split, as published beside the data.
MUSIC_BASELINES = [
    ("jsb_chorales", (11.09, 11.04), (10.49, 10.49)),
    ("nottingham", (10.26, 10.13), (5.15, 5.20)),
    ("musedata", (11.51, 10.56), (8.56, 8.19)),
]


@pytest.mark.parametrize(("name", "bernoulli", "markov"), MUSIC_BASELINES)
def test_music_baselines_of_the_real_sets(name, bernoulli, markov, data_path, tmp_path):
    data = pytest.importorskip("keras_deep_rnn.data")
    dataset = data.load(name, manual_dir=data_path, data_dir=tmp_path, progress=False)
    baselines = music_baselines(dataset.splits["train"], dataset.splits["test"])
    for found, expected in zip(baselines.values(), (bernoulli, markov), strict=True):
        assert tuple(round(found[key], 2) for key in ("frame", "sequence")) == expected


def test_text_baselines_of_the_penn_treebank(data_path, tmp_path):
    data = pytest.importorskip("keras_deep_rnn.data")
    expected = {"ptb_char": {"unigram": 4.346, "bigram": 3.365}, "ptb_word": {"unigram": 639.3}}
    for name, numbers in expected.items():
        dataset = data.load(name, manual_dir=data_path, data_dir=tmp_path, progress=False)
        (train,), (test,) = dataset.splits["train"], dataset.splits["test"]
        baselines = text_baselines(train, test, dataset.features, dataset.kind)
        digits = 3 if name == "ptb_char" else 1
        assert {key: round(value, digits) for key, value in baselines.items()} == numbers


@pytest.mark.parametrize("words", [8, 10_000])
def test_token_loss_trains_as_that_of_keras(words):
    """Large logits, ignored tokens, and one step of gradient descent on the logits' kernel."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 3)).astype("float32")
    y, weight = random.integers(0, words, (2, 5)), np.array([[1.0] * 5, [1, 1, 0, 0, 0]])
    kernel = random.normal(0, 30, (3, words)).astype("float32")
    kernels, losses = [], []
    for loss in (
        TokenLoss(),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    ):
        model = keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(words, use_bias=False)])
        model.set_weights([kernel])
        model.compile(keras.optimizers.SGD(1.0), loss)
        losses.append(model.train_on_batch(x, y, weight))
        kernels.append(model.get_weights()[0] - kernel)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    np.testing.assert_allclose(*kernels, atol=1e-5)
    assert np.abs(kernels[1]).max() > 0.01

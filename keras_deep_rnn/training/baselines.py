"""Baselines: predictors without a network, from counts on the training split.

The result of a network means something only beside them. They have closed forms: no training run
and no random numbers.

| predictor | predicts from |
|---|---|
| per-key Bernoulli | the frequency of a key |
| per-key Markov | whether the key sounded in the previous frame |
| unigram | the frequency of a token |
| bigram | the previous token |

Additive smoothing, with `PSEUDOCOUNT` for music and `TOKEN_PSEUDOCOUNT` for text, keeps the loss of
unseen events finite.
"""

import math
from collections.abc import Sequence

import numpy as np

PSEUDOCOUNT = 1.0
TOKEN_PSEUDOCOUNT = 0.01


def music_baselines(
    train: Sequence[np.ndarray], sequences: Sequence[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Nats per frame of the per-key predictors, over frames 2 to T of each piece.

    Args:
        train: Piano-rolls (T, keys) of 0 and 1 to count on.
        sequences: Piano-rolls to predict; those of one frame are left out.

    Returns:
        {predictor: {"frame": nats, "sequence": nats}}: the mean over frames, and the mean over
        pieces of each piece's mean.

    Example:

    >>> silence = [np.zeros((99, 88), "uint8")]
    >>> baselines = music_baselines(silence, silence)
    >>> round(baselines["per-key Bernoulli"]["frame"], 2)
    0.88
    """
    tables = {"per-key Bernoulli": _bernoulli_table(train), "per-key Markov": _markov_table(train)}
    keys = np.arange(train[0].shape[1])
    baselines = {}
    for name, table in tables.items():
        nats = [
            -table[piece[:-1].astype(int), piece[1:].astype(int), keys].sum(axis=1)
            for piece in sequences
            if len(piece) > 1
        ]
        baselines[name] = {
            "frame": float(np.concatenate(nats).mean()),
            "sequence": float(np.mean([piece.mean() for piece in nats])),
        }
    return baselines


def text_baselines(train: np.ndarray, tokens: np.ndarray, size: int, unit: str) -> dict[str, float]:
    """Bits per character, or perplexity, of the unigram and bigram predictors.

    Args:
        train: Tokens (N,) to count on.
        tokens: Tokens (M,) to predict; the bigram model predicts the first one as a unigram.
        size: Size of the vocabulary.
        unit: "characters" for bits per character, "words" for perplexity. Words have no bigram
            model: most pairs are not in the training split, and it would need better smoothing.

    Returns:
        {predictor: number}.

    Example:

    >>> coin = np.array([0, 1] * 50)
    >>> {name: round(bits, 3) for name, bits in text_baselines(coin, coin, 2, "characters").items()}
    {'unigram': 1.0, 'bigram': 0.01}
    """
    unigram = _unigram_table(train, size)[tokens]
    if unit == "words":
        return {"unigram": math.exp(-unigram.mean())}
    pairs = np.full((size, size), TOKEN_PSEUDOCOUNT)
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    bigram = np.log(pairs / pairs.sum(axis=1, keepdims=True))[tokens[:-1], tokens[1:]]
    bits = len(tokens) * math.log(2)
    return {
        "unigram": float(-unigram.sum() / bits),
        "bigram": float(-(unigram[0] + bigram.sum()) / bits),
    }


def frequency_logits(train: Sequence[np.ndarray], features: int) -> np.ndarray:
    """Logits of the per-key Bernoulli predictor, or of the unigram.

    Args:
        train: List of piano-rolls (T, keys) of 0 and 1, or of one array of tokens, to count on.
        features: Keys, or size of the vocabulary.

    Returns:
        (features,); of a unigram with mean 0, as a softmax does not depend on it.

    Example:

    >>> frequency_logits([np.array([0, 1] * 50)], 2)
    array([0., 0.])
    """
    if train[0].ndim == 2:
        off, on = _bernoulli_table(train)[0]
        return on - off
    logits = _unigram_table(train[0], features)
    return logits - logits.mean()


def _unigram_table(train: np.ndarray, size: int) -> np.ndarray:
    """log p(token) as (size,)."""
    counts = np.bincount(train, minlength=size) + TOKEN_PSEUDOCOUNT
    return np.log(counts / counts.sum())


def _bernoulli_table(train: Sequence[np.ndarray]) -> np.ndarray:
    """log p(next | previous) per key as (previous, next, keys), whatever the previous value."""
    frames = np.concatenate([piece[1:] for piece in train])
    on = (frames.sum(axis=0, dtype=float) + PSEUDOCOUNT) / (len(frames) + 2 * PSEUDOCOUNT)
    return np.log(np.broadcast_to(np.stack([1 - on, on]), (2, 2, len(on))))


def _markov_table(train: Sequence[np.ndarray]) -> np.ndarray:
    """log p(next | previous) per key as (previous, next, keys)."""
    counts = np.full((2, 2, train[0].shape[1]), PSEUDOCOUNT)
    for piece in train:
        for previous in (0, 1):
            for following in (0, 1):
                both = (piece[:-1] == previous) & (piece[1:] == following)
                counts[previous, following] += both.sum(axis=0)
    return np.log(counts / counts.sum(axis=1, keepdims=True))

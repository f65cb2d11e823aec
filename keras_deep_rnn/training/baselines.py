"""Floors: what predictors without a network reach, counted on the training split.

A trained network means something only beside them. Each has a closed form, so a floor needs no
training run and no random number.

| predictor | what it knows |
|---|---|
| per-key Bernoulli | how often a key sounds |
| per-key Markov | whether the key itself sounded in the previous frame |
| unigram | how often a token occurs |
| bigram | the previous token |

Counts start at `ADDED` for music (add one), at `ADDED_TOKENS` for text, so that nothing
unseen costs infinitely much.
"""

import math
from collections.abc import Sequence

import numpy as np

ADDED = 1.0
ADDED_TOKENS = 0.01


def music_floors(
    train: Sequence[np.ndarray], sequences: Sequence[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Nats per frame of the per-key predictors, over frames 2 to T of each piece.

    Args:
        train: List of piano-rolls (T, keys), 0 or 1, to count on.
        sequences: List of piano-rolls to predict.

    Returns:
        Dict from a predictor's name to its {"frame": nats, "sequence": nats}; a piece of one frame
        has nothing to predict and does not count.

    Example:

    >>> silence = [np.zeros((99, 88), "uint8")]
    >>> floors = music_floors(silence, silence)
    >>> round(floors["per-key Bernoulli"]["frame"], 2)
    0.88
    """
    tables = {"per-key Bernoulli": _bernoulli_table(train), "per-key Markov": _markov_table(train)}
    keys = np.arange(train[0].shape[1])
    floors = {}
    for name, table in tables.items():
        nats = [
            -table[piece[:-1].astype(int), piece[1:].astype(int), keys].sum(axis=1)
            for piece in sequences
            if len(piece) > 1
        ]
        floors[name] = {
            "frame": float(np.concatenate(nats).mean()),
            "sequence": float(np.mean([piece.mean() for piece in nats])),
        }
    return floors


def text_floors(train: np.ndarray, tokens: np.ndarray, size: int, unit: str) -> dict[str, float]:
    """Bits per character or perplexity of the unigram and bigram predictors.

    Args:
        train: Tokens (N,) to count on.
        tokens: Tokens (M,) to predict; the bigram's first one is predicted by the unigram.
        size: Number of tokens in the vocabulary.
        unit: "characters" for bits per character, "words" for perplexity. Words have no bigram:
            most pairs of words never occur in the training split, so it would need smoothing.

    Returns:
        Dict from a predictor's name to its number.

    Example:

    >>> coin = np.array([0, 1] * 50)
    >>> {name: round(bits, 3) for name, bits in text_floors(coin, coin, 2, "characters").items()}
    {'unigram': 1.0, 'bigram': 0.01}
    """
    counts = np.bincount(train, minlength=size) + ADDED_TOKENS
    unigram = np.log(counts / counts.sum())[tokens]
    if unit == "words":
        return {"unigram": math.exp(-unigram.mean())}
    pairs = np.full((size, size), ADDED_TOKENS)
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    bigram = np.log(pairs / pairs.sum(axis=1, keepdims=True))[tokens[:-1], tokens[1:]]
    bits = len(tokens) * math.log(2)
    return {
        "unigram": float(-unigram.sum() / bits),
        "bigram": float(-(unigram[0] + bigram.sum()) / bits),
    }


def _bernoulli_table(train: Sequence[np.ndarray]) -> np.ndarray:
    """log p(next | previous) per key as (2, 2, keys), the same for both previous values."""
    frames = np.concatenate([piece[1:] for piece in train])
    on = (frames.sum(axis=0, dtype=float) + ADDED) / (len(frames) + 2 * ADDED)
    return np.log(np.broadcast_to(np.stack([1 - on, on]), (2, 2, len(on))))


def _markov_table(train: Sequence[np.ndarray]) -> np.ndarray:
    """log p(next | previous) per key as (previous, next, keys)."""
    counts = np.full((2, 2, train[0].shape[1]), ADDED)
    for piece in train:
        for previous in (0, 1):
            for following in (0, 1):
                both = (piece[:-1] == previous) & (piece[1:] == following)
                counts[previous, following] += both.sum(axis=0)
    return np.log(counts / counts.sum(axis=1, keepdims=True))

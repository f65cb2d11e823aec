"""Penn Treebank as characters or words, from Mikolov's three text files.

The files have one sentence per line, in lower case and between two blanks, which are left out.
Sentences of characters end with a line break, those of words with `<eos>`.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..dataset import SPLITS, Splits


def read(paths: Sequence[Path], kind: str) -> tuple[Splits, list[str]]:
    """Reads tokens and vocabulary.

    Args:
        paths: Files of train, validation and test.
        kind: "characters" or "words".

    Returns:
        {split: [int32 array (N,)]}; and the vocabulary, characters by code point or words by
        frequency.
    """
    sentences = [[line.strip() for line in path.read_text("utf-8").splitlines()] for path in paths]
    if kind == "characters":
        tokens = ["\n".join([*lines, ""]) for lines in sentences]
        vocabulary = sorted(set(tokens[0]))
    else:
        tokens = [
            [word for line in lines for word in (*line.split(), "<eos>")] for lines in sentences
        ]
        counts = collections.Counter(tokens[0])
        vocabulary = sorted(counts, key=lambda word: (-counts[word], word))
    index = {token: i for i, token in enumerate(vocabulary)}
    splits = {
        split: [np.array([index[token] for token in text], "int32")]
        for split, text in zip(SPLITS, tokens, strict=True)
    }
    return splits, vocabulary

"""Penn Treebank as characters and as words, from Mikolov's three text files.

The files hold one sentence a line, in lower case, between two blanks. As characters, a sentence is
what stands between the blanks, and its end is a line break. As words, its end is `<eos>`.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..dataset import Splits
from .polyphonic import SPLITS


def read(paths: Sequence[Path], kind: str) -> tuple[Splits, list[str]]:
    """Tokens and vocabulary.

    Args:
        paths: the files of train, validation and test.
        kind: "characters" or "words".

    Returns:
        dict from split to a list of one int32 array (N,); and the vocabulary, a list of strings:
        characters in the order of their code points, words the most frequent first.
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

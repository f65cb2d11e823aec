"""What `load` returns."""

import dataclasses
from typing import TypeAlias

import numpy as np

KEYS = 88
LOWEST_PITCH = 21  # MIDI number of key 0
KINDS = ("piano_roll", "characters", "words")
Splits: TypeAlias = dict[str, list[np.ndarray]]
VERSION = "1.0.0"  # of the preparation: with another one, data is prepared anew


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Sequences in three splits, and what is known about them.

    Attributes:
        name: the name or path that was loaded.
        kind: "piano_roll", "characters" or "words".
        splits: "train", "validation" and "test", each a list of arrays. Piano-roll: uint8
            (T, 88), 1 while a key sounds; key k is MIDI pitch 21 + k. Text: one int32 array (N,).
        step: what one time step is, such as "quarter note" or "character".
        version: version of the preparation.
        checksum: sha256 of what it was made from, in hexadecimal.
        description: one paragraph on what it is.
        citation: whom to cite, or "".
        vocabulary: for text, the token that each integer stands for; else None.
        quarter_length: for music, length of a time step in quarter notes where it is known.
    """

    name: str
    kind: str
    splits: Splits
    step: str
    version: str
    checksum: str
    description: str
    citation: str = ""
    vocabulary: tuple[str, ...] | None = None
    quarter_length: float | None = None

    @property
    def features(self) -> int:
        """Input width of a network: 88 keys, or the size of the vocabulary."""
        return KEYS if self.vocabulary is None else len(self.vocabulary)

    @property
    def start(self) -> int | None:
        """The token that stands before the first one of a text, the end of a line; or None."""
        for token in ("<eos>", "\n"):
            if self.vocabulary is not None and token in self.vocabulary:
                return self.vocabulary.index(token)
        return None

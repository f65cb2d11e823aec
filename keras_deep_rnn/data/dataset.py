"""`Dataset`: the sequences of a data set in three splits, as `load` returns them."""

import dataclasses
from typing import TypeAlias

import numpy as np

KEYS = 88
LOWEST_PITCH = 21  # MIDI number of key 0
KINDS = ("piano_roll", "characters", "words")
SPLITS = ("train", "validation", "test")
# What tells data apart: the characters and the words of a text have one checksum.
IDENTITY = ("kind", "checksum")
Splits: TypeAlias = dict[str, list[np.ndarray]]
VERSION = "1.0.0"  # of the preparation; with a new version data is prepared again


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Sequences in three splits, and their description.

    Attributes:
        name: Name or path of the data set.
        kind: "piano_roll", "characters" or "words".
        splits: "train", "validation" and "test", each a list of arrays. Piano-rolls: uint8 (T, 88),
            1 while a key sounds; key k is MIDI pitch 21 + k. Text: one int32 array (N,).
        step: Name of a time step, such as "quarter note" or "character".
        version: Version of the preparation.
        checksum: Hexadecimal sha256 of the source files.
        description: One paragraph.
        citation: Source to cite, or "".
        vocabulary: For text, the token of each integer; else None.
        quarter_length: For music, the length of a time step in quarter notes if it is known.
        remarks: Lines that say how the splits were made, and what was passed over.
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
    remarks: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        """Number of input features of a network: 88 keys, or the size of the vocabulary."""
        return KEYS if self.vocabulary is None else len(self.vocabulary)

    @property
    def start(self) -> int | None:
        """Token before the first one of a text, the end of a line; None if there is none."""
        for token in ("<eos>", "\n"):
            if self.vocabulary is not None and token in self.vocabulary:
                return self.vocabulary.index(token)
        return None

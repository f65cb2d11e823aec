"""Batches of sequences for `fit` and `evaluate`: whole pieces, or chunks with carried state.

Every batch is `(inputs, y, sample_weight)` in NumPy, the same on every backend. The networks are
causal, so padding stands on the right and has weight 0; no mask is needed. Nothing is dropped: the
weights of an epoch add up to `frames`, the number of time steps of the sequences.

What a network sees at step t is what came before it: `x[t]` is frame t-1 and `y[t]` is frame t. The
first frame is predicted from a frame of zeros (no key sounds). The first token of a text is
predicted from the token `start` (an end of line, say); without `start` it is only an input.
"""

from collections.abc import Sequence
from random import randrange
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike

from ..utils.errors import ArgumentError, Words
from ..utils.validation import flag, one_of, positive_integer
from ..utils.validation import seed as check_seed
from .buckets import bucket_lengths
from .dataset import KINDS

# Inputs and targets of a sequence.
Pair: TypeAlias = tuple[np.ndarray, np.ndarray]
# Inputs by their names, targets, weights.
Batch: TypeAlias = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


class PieceBatches(keras.utils.PyDataset):
    """Whole sequences, padded on the right to the length of their bucket.

    The bucket lengths are those with the least padding, at most `shapes` of them, so a compiled
    training step is compiled at most `shapes` times. Every batch has exactly `batch_size` rows;
    rows without a sequence have weight 0.

    Args:
        sequences: list of arrays. Piano-rolls: (T, features). Text: integers (T,).
        batch_size: positive integer, rows of every batch.
        kind: "piano_roll", "characters" or "words".
        shuffle: whether each epoch has its own order, a pure function of `seed` and `epoch`.
        seed: non-negative integer; None draws one, which `keras.utils.set_random_seed` fixes.
        shapes: positive integer, the largest number of distinct lengths.
        start: for text, the token that stands before the first one, or None.

    Attributes:
        epoch: index of the epoch whose order is given out; `on_epoch_end` adds 1.
        frames: number of predicted time steps in an epoch.
        efficiency: `frames` divided by the time steps of all batches, padding included.

    Raises:
        UserError: if an argument is out of range, or a sequence is empty or has a wrong shape.

    Example:

    >>> import numpy as np
    >>> pieces = [np.ones((length, 88), "uint8") for length in (3, 5, 4)]
    >>> batches = PieceBatches(pieces, 2, kind="piano_roll", shapes=1)
    >>> inputs, y, sample_weight = batches[0]
    >>> inputs["x"].shape, y.shape, sample_weight.shape
    ((2, 5, 88), (2, 5, 88), (2, 5))
    >>> len(batches), batches.frames
    (2, 12)
    """

    def __init__(
        self,
        sequences: Sequence[ArrayLike],
        batch_size: int,
        *,
        kind: str,
        shuffle: bool = False,
        seed: int | None = 0,
        shapes: int = 8,
        start: int | None = None,
    ) -> None:
        super().__init__()
        self._pairs = input_target_pairs(sequences, kind, start)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.shuffle = flag("shuffle", shuffle)
        self.seed = _seed(seed)
        self.epoch = 0
        lengths = np.array([len(target) for _, target in self._pairs])
        limits = bucket_lengths(lengths, self.batch_size, positive_integer("shapes", shapes))
        bucket = np.searchsorted(limits, lengths)
        self._buckets = [
            (int(limit), np.flatnonzero(bucket == i)) for i, limit in enumerate(limits)
        ]
        self.frames = int(lengths.sum())
        self.efficiency = self.frames / sum(
            self.batch_size * length for length, _ in self._batches()
        )
        self._order: tuple[int | None, list[tuple[int, np.ndarray]]] = (None, [])

    def __len__(self) -> int:
        return sum(-(-len(members) // self.batch_size) for _, members in self._buckets)

    def __getitem__(self, index: int) -> Batch:
        if self._order[0] != self.epoch:
            self._order = (self.epoch, self._batches())
        length, members = self._order[1][index]
        return _stack([self._pairs[i] for i in members], self.batch_size, length)

    def on_epoch_end(self) -> None:
        """Goes on to the order of the next epoch."""
        self.epoch += 1

    def _batches(self) -> list[tuple[int, np.ndarray]]:
        """Every batch of this epoch as (length, indices of its sequences)."""
        random = _random(self.seed, self.epoch)
        batches = []
        for length, members in self._buckets:
            members = random.permutation(members) if self.shuffle else members
            for first in range(0, len(members), self.batch_size):
                batches.append((length, members[first : first + self.batch_size]))
        if self.shuffle:
            batches = [batches[i] for i in random.permutation(len(batches))]
        # On TensorFlow, `fit` takes for fixed whatever the first two batches' shapes share.
        for i, (length, _) in enumerate(batches):
            if length != batches[0][0]:
                batches[1], batches[i] = batches[i], batches[1]
                break
        return batches


class CarriedBatches(keras.utils.PyDataset):
    """Chunks of `steps` time steps; row b of a batch goes on where row b of the last one stopped.

    For truncated backpropagation through time with a stateful network. The input `reset`
    (batch_size, 1) is 1 in the first chunk of a sequence: the row's state starts at zero there.

    Pieces are dealt to the rows, longest first, each to the row with the fewest chunks. A piece
    that ends within a chunk leaves padding of weight 0; the next one starts with the next chunk.
    A text is cut into `batch_size` contiguous rows, so `batch_size=1` carries the state through the
    whole text. Only its first batch has `reset`, and `shuffle` leaves its order alone.

    Args:
        sequences: list of arrays. Piano-rolls: (T, features). Text: one array of integers (N,).
        batch_size: positive integer, rows of every batch.
        steps: positive integer, time steps of every batch; of a text no more than a row has.
        kind: "piano_roll", "characters" or "words".
        shuffle: whether each epoch deals and orders the pieces anew, a pure function of `seed` and
            `epoch`. The number of batches is the same in every epoch.
        seed: non-negative integer; None draws one, which `keras.utils.set_random_seed` fixes.
        start: for text, the token that stands before the first one, or None.

    Attributes:
        epoch: index of the epoch whose order is given out; `on_epoch_end` adds 1.
        frames: number of predicted time steps in an epoch.
        efficiency: `frames` divided by the time steps of all batches, padding included.

    Raises:
        UserError: if an argument is out of range, a sequence is empty or has a wrong shape, or a
            text is not one sequence.

    Example:

    >>> import numpy as np
    >>> text = np.arange(10)
    >>> batches = CarriedBatches([text], 2, 3, kind="characters", start=0)
    >>> for inputs, y, sample_weight in batches:
    ...     print(y.tolist(), inputs["reset"].ravel().tolist())
    [[0, 1, 2], [5, 6, 7]] [1.0, 1.0]
    [[3, 4, 0], [8, 9, 0]] [0.0, 0.0]
    """

    def __init__(
        self,
        sequences: Sequence[ArrayLike],
        batch_size: int,
        steps: int,
        *,
        kind: str,
        shuffle: bool = False,
        seed: int | None = 0,
        start: int | None = None,
    ) -> None:
        super().__init__()
        pairs = input_target_pairs(sequences, kind, start)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.steps = positive_integer("steps", steps)
        self.shuffle = flag("shuffle", shuffle) and kind == "piano_roll"
        self.seed = _seed(seed)
        self.epoch = 0
        if kind != "piano_roll":
            pairs = _contiguous_rows(pairs, self.batch_size)
            self.steps = min(self.steps, len(pairs[0][1]))
        self._pairs = pairs
        self._chunks = np.array([-(-len(target) // self.steps) for _, target in pairs])
        self.frames = sum(len(target) for _, target in pairs)
        self._length = max(self._chunks[row].sum() for row in self._rows())
        self.efficiency = self.frames / (len(self) * self.batch_size * self.steps)
        self._timetable: tuple[int | None, list[list[tuple[int, int]]]] = (None, [])

    def __len__(self) -> int:
        return int(self._length)

    def __getitem__(self, index: int) -> Batch:
        if self._timetable[0] != self.epoch:
            rows = [
                [(piece, chunk) for piece in row for chunk in range(self._chunks[piece])]
                for row in self._rows()
            ]
            self._timetable = (self.epoch, rows)
        pairs, reset = [], np.zeros((self.batch_size, 1), "float32")
        for b, row in enumerate(self._timetable[1]):
            piece, chunk = row[index] if index < len(row) else (0, self._chunks[0])
            reset[b] = index < len(row) and chunk == 0
            part = slice(chunk * self.steps, (chunk + 1) * self.steps)
            x, y = self._pairs[piece]
            pairs.append((x[part], y[part]))
        inputs, y, sample_weight = _stack(pairs, self.batch_size, self.steps)
        return {**inputs, "reset": reset}, y, sample_weight

    def on_epoch_end(self) -> None:
        """Goes on to the order of the next epoch."""
        self.epoch += 1

    def _rows(self) -> list[list[int]]:
        """The pieces of every row in this epoch, in the order in which they are played.

        Only pieces with equally many chunks swap places in the dealing, so the chunks of the rows,
        and with them the number of batches, are the same in every epoch.
        """
        random = _random(self.seed, self.epoch)
        order = np.arange(len(self._pairs))
        if self.shuffle:
            order = random.permutation(order)
        order = order[np.argsort(-self._chunks[order], kind="stable")]
        rows, loads = [[] for _ in range(self.batch_size)], np.zeros(self.batch_size, int)
        for piece in order:
            shortest = int(np.argmin(loads))
            rows[shortest].append(int(piece))
            loads[shortest] += self._chunks[piece]
        if self.shuffle:
            return [random.permutation(row).astype(int).tolist() for row in rows]
        return [sorted(row) for row in rows]


def input_target_pairs(
    sequences: Sequence[ArrayLike], kind: str, start: int | None = None
) -> list[Pair]:
    """Each sequence as (inputs, targets), of equal length: what came before, and what comes.

    Args:
        sequences: list of arrays, piano-rolls (T, features) or integers (T,).
        kind: "piano_roll", "characters" or "words".
        start: for text, the token before the first one; None leaves the first token out of the
            targets.

    Returns:
        List of pairs: piano-rolls of the sequences' dtype (T, features), or int32 tokens (T,).
    """
    one_of(KINDS)("kind", kind)
    sequences = [np.asarray(sequence) for sequence in sequences]
    if not sequences:
        raise ArgumentError("sequences", "at least one sequence", Words("none"), verb="hold")
    rank = 2 if kind == "piano_roll" else 1
    pairs = []
    for i, sequence in enumerate(sequences):
        if sequence.ndim != rank or not sequence.size:
            expected = "(time, features)" if rank == 2 else "(time,)"
            raise ArgumentError(
                f"sequences[{i}]",
                f"a non-empty array of shape {expected}",
                Words(f"shape {sequence.shape}"),
            )
        if kind == "piano_roll":
            if sequence.shape[1] != sequences[0].shape[1]:
                raise ArgumentError(
                    f"sequences[{i}]",
                    f"{sequences[0].shape[1]} features as the first has",
                    Words(sequence.shape[1]),
                    verb="have",
                )
            previous = np.concatenate([np.zeros_like(sequence[:1]), sequence[:-1]])
            pairs.append((previous, sequence))
            continue
        tokens = sequence.astype("int32")
        if start is not None:
            tokens = np.concatenate([np.array([start], "int32"), tokens])
        if len(tokens) < 2:
            raise ArgumentError(
                f"sequences[{i}]",
                "at least two tokens when `start` is None",
                Words("one"),
                verb="have",
            )
        pairs.append((tokens[:-1], tokens[1:]))
    return pairs


def _contiguous_rows(pairs: list[Pair], batch_size: int) -> list[Pair]:
    """One text as `batch_size` (inputs, targets) rows; the last rows may be shorter or missing."""
    if len(pairs) != 1:
        raise ArgumentError("sequences", "one sequence for a text", Words(len(pairs)))
    inputs, targets = pairs[0]
    length = -(-len(targets) // batch_size)
    return [
        (inputs[first : first + length], targets[first : first + length])
        for first in range(0, len(targets), length)
    ]


def _stack(pairs: list[Pair], batch_size: int, length: int) -> Batch:
    """Pairs as one batch ({"x": (B, T, ...)}, y (B, T, ...), sample_weight (B, T))."""
    dtype = "float32" if pairs[0][0].ndim == 2 else "int32"
    x = np.zeros((batch_size, length, *pairs[0][0].shape[1:]), dtype)
    y, sample_weight = np.zeros_like(x), np.zeros((batch_size, length), "float32")
    for b, (inputs, targets) in enumerate(pairs):
        x[b, : len(inputs)] = inputs
        y[b, : len(targets)] = targets
        sample_weight[b, : len(targets)] = 1
    return {"x": x}, y, sample_weight


def _random(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


def _seed(value: int | None) -> int:
    """The seed; for None one is drawn once, so that an epoch has one order however often asked."""
    value = check_seed("seed", value)
    return randrange(2**32) if value is None else value

"""Batches of sequences for `fit` and `evaluate`: whole pieces, or chunks with carried state.

Every batch is `(inputs, y, sample_weight)` in NumPy, the same on every backend. Padding is on the
right with weight 0: causal networks need no mask. No time step is dropped: the weights of an epoch
add up to `frames`.

Inputs are targets of the previous step: `y[t]` is frame t and `x[t]` is frame t-1. The first frame
is predicted from a frame of zeros (silence), the first token of a text from the token `start`, such
as the end of a line; without `start` it is only an input.
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

# (inputs, targets) of a sequence.
Pair: TypeAlias = tuple[np.ndarray, np.ndarray]
# ({name: inputs}, targets, sample weights).
Batch: TypeAlias = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


class _Batches(keras.utils.PyDataset):
    """Batches of a size, whose order is a pure function of a seed and the epoch.

    Without a seed one is drawn once, so that an epoch has the same order each time it is read.
    """

    def __init__(self, batch_size: int, shuffle: bool, seed: int | None, targets: bool) -> None:
        super().__init__()
        self.targets = flag("targets", targets)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.shuffle = flag("shuffle", shuffle)
        seed = check_seed("seed", seed)
        self.seed = randrange(2**32) if seed is None else seed
        self.epoch = 0

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch."""
        self.epoch += 1

    def _random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch])

    def _stack(self, pairs: list[Pair], length: int) -> Batch:
        """Stacks pairs to a batch: {"x": (B, T, ...)}, y (B, T, ...), sample_weight (B, T)."""
        dtype = "float32" if pairs[0][0].ndim == 2 else "int32"
        x = np.zeros((self.batch_size, length, *pairs[0][0].shape[1:]), dtype)
        y, sample_weight = np.zeros_like(x), np.zeros((self.batch_size, length), "float32")
        for b, (inputs, targets) in enumerate(pairs):
            x[b, : len(inputs)] = inputs
            y[b, : len(targets)] = targets
            sample_weight[b, : len(targets)] = 1
        return ({"x": x, "target": y} if self.targets else {"x": x}), y, sample_weight


class PieceBatches(_Batches):
    """Batches of whole sequences, padded on the right to the length of their bucket.

    The bucket lengths are those with the least padding, at most `shapes` of them, so a training
    step is compiled at most `shapes` times. Every batch has exactly `batch_size` rows; rows without
    a sequence have weight 0.

    Args:
        sequences: List of arrays. Piano-rolls: (T, features). Text: integers (T,).
        batch_size: Positive integer, rows of every batch.
        kind: "piano_roll", "characters" or "words".
        shuffle: Whether each epoch has its own order, a pure function of `seed` and `epoch`.
        seed: Non-negative integer; None draws one, which `keras.utils.set_random_seed` fixes.
        shapes: Positive integer, the largest number of distinct lengths.
        start: For text, the token before the first one, or None.
        targets: Whether the inputs have the targets too, as `target`, for joint outputs.

    Attributes:
        epoch: Index of the current epoch, which decides the order; `on_epoch_end` adds 1.
        frames: Number of predicted time steps in an epoch.
        efficiency: `frames` divided by the time steps of all batches with their padding.

    Raises:
        UserError: An argument is out of range, or a sequence is empty or has a wrong shape.

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
        targets: bool = False,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, targets)
        self._pairs = input_target_pairs(sequences, kind, start)
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
        return self._stack([self._pairs[i] for i in members], length)

    def _batches(self) -> list[tuple[int, np.ndarray]]:
        """Batches of the epoch as (length, indices of sequences)."""
        random = self._random()
        batches = []
        for length, members in self._buckets:
            members = random.permutation(members) if self.shuffle else members
            for first in range(0, len(members), self.batch_size):
                batches.append((length, members[first : first + self.batch_size]))
        if self.shuffle:
            batches = [batches[i] for i in random.permutation(len(batches))]
        # On TensorFlow, `fit` fixes the dimensions that the first two batches have in common.
        for i, (length, _) in enumerate(batches):
            if length != batches[0][0]:
                batches[1], batches[i] = batches[i], batches[1]
                break
        return batches


class CarriedBatches(_Batches):
    """Batches of chunks of `steps` time steps; each row continues the same row of the last batch.

    For truncated backpropagation through time with a stateful network. The input `reset`
    (batch_size, 1) is 1 in the first chunk of a sequence, before which the row's state is reset.

    Pieces are assigned to rows, longest first, each to the row with the fewest chunks. The rest of
    a piece's last chunk is padding of weight 0. A text is split into `batch_size` contiguous rows,
    so `batch_size=1` carries the state through the whole text; only its first batch has `reset`,
    and `shuffle` does not change its order.

    Args:
        sequences: List of arrays. Piano-rolls: (T, features). Text: one array of integers (N,).
        batch_size: Positive integer, rows of every batch.
        steps: Positive integer, time steps of every batch; at most the length of a text's row.
        kind: "piano_roll", "characters" or "words".
        shuffle: Whether each epoch assigns and orders the pieces anew, as a pure function of `seed`
            and `epoch`. The number of batches is the same in every epoch.
        seed: Non-negative integer; None draws one, which `keras.utils.set_random_seed` fixes.
        start: For text, the token before the first one, or None.
        targets: Whether the inputs have the targets too, as `target`, for joint outputs.

    Attributes:
        epoch: Index of the current epoch, which decides the order; `on_epoch_end` adds 1.
        frames: Number of predicted time steps in an epoch.
        efficiency: `frames` divided by the time steps of all batches with their padding.

    Raises:
        UserError: An argument is out of range, a sequence is empty or has a wrong shape, or a text
            is not one sequence.

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
        targets: bool = False,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, targets)
        pairs = input_target_pairs(sequences, kind, start)
        self.steps = positive_integer("steps", steps)
        self.shuffle = self.shuffle and kind == "piano_roll"
        if kind != "piano_roll":
            pairs = _contiguous_rows(pairs, self.batch_size)
            self.steps = min(self.steps, len(pairs[0][1]))
        self._pairs = pairs
        self._chunks = np.array([-(-len(target) // self.steps) for _, target in pairs])
        self.frames = sum(len(target) for _, target in pairs)
        self._length = max(self._chunks[row].sum() for row in self._rows())
        self.efficiency = self.frames / (len(self) * self.batch_size * self.steps)
        self._schedule: tuple[int | None, list[list[tuple[int, int]]]] = (None, [])

    def __len__(self) -> int:
        return int(self._length)

    def __getitem__(self, index: int) -> Batch:
        if self._schedule[0] != self.epoch:
            rows = [
                [(piece, chunk) for piece in row for chunk in range(self._chunks[piece])]
                for row in self._rows()
            ]
            self._schedule = (self.epoch, rows)
        pairs, reset = [], np.zeros((self.batch_size, 1), "float32")
        for b, row in enumerate(self._schedule[1]):
            piece, chunk = row[index] if index < len(row) else (0, self._chunks[0])
            reset[b] = index < len(row) and chunk == 0
            part = slice(chunk * self.steps, (chunk + 1) * self.steps)
            x, y = self._pairs[piece]
            pairs.append((x[part], y[part]))
        inputs, y, sample_weight = self._stack(pairs, self.steps)
        return {**inputs, "reset": reset}, y, sample_weight

    def _rows(self) -> list[list[int]]:
        """Assigns the pieces to rows for the epoch: [[index, ...] of each row].

        Shuffling permutes pieces with equally many chunks, so the number of chunks in each row, and
        thus the number of batches, is the same in every epoch.
        """
        random = self._random()
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
    """Makes (inputs, targets) of each sequence; inputs are the targets of the previous step.

    Args:
        sequences: List of arrays, piano-rolls (T, features) or integers (T,).
        kind: "piano_roll", "characters" or "words".
        start: For text, the token before the first one; None leaves the first token out of the
            targets.

    Returns:
        List of pairs: piano-rolls of the sequences' dtype (T, features), or int32 tokens (T,).

    Raises:
        UserError: There is no sequence, or one is empty or has a wrong shape.
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
    """Splits a text into `batch_size` rows (inputs, targets); the last may be short or missing."""
    if len(pairs) != 1:
        raise ArgumentError("sequences", "one sequence for a text", Words(len(pairs)))
    inputs, targets = pairs[0]
    length = -(-len(targets) // batch_size)
    return [
        (inputs[first : first + length], targets[first : first + length])
        for first in range(0, len(targets), length)
    ]

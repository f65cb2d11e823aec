"""Batches: every time step once, inputs are the targets of the step before."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deep_rnn.data import CarriedBatches, PieceBatches
from keras_deep_rnn.data.buckets import bucket_lengths
from keras_deep_rnn.utils.errors import UserError

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=30)
batch_sizes = st.integers(1, 7)


def pieces_of(lengths, features=3):
    """Piano-rolls whose frames are all different: the numbers 1, 2, ... through all pieces."""
    numbers = iter(range(1, sum(lengths) * features + 1))
    return [
        np.array([[next(numbers) for _ in range(features)] for _ in range(length)])
        for length in lengths
    ]


def weighted_frames(batches):
    """Every target frame of weight 1, as a sorted list of tuples."""
    found = []
    for i in range(len(batches)):
        _, y, sample_weight = batches[i]
        assert set(np.unique(sample_weight)) <= {0, 1}
        assert not y[sample_weight == 0].any()
        found += [tuple(frame) for frame in y[sample_weight == 1].tolist()]
    return sorted(found)


def all_frames(pieces):
    return sorted(tuple(frame) for piece in pieces for frame in piece.astype(float).tolist())


@settings(deadline=None, max_examples=50)
@given(lengths, batch_sizes, st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_whole_pieces_are_all_there_once(lengths, batch_size, shapes, shuffle, epoch):
    pieces = pieces_of(lengths)
    batches = PieceBatches(
        pieces, batch_size, kind="piano_roll", shuffle=shuffle, seed=5, shapes=shapes
    )
    batches.epoch = epoch
    assert weighted_frames(batches) == all_frames(pieces)
    assert batches.frames == sum(lengths)
    seen = {batches[i][1].shape for i in range(len(batches))}
    assert len(seen) <= shapes
    assert {shape[0] for shape in seen} == {batch_size}
    padded = sum(batches[i][2].size for i in range(len(batches)))
    assert batches.efficiency == pytest.approx(batches.frames / padded)


@settings(deadline=None, max_examples=50)
@given(lengths, batch_sizes, st.booleans())
def test_whole_pieces_are_shifted_by_one_frame(lengths, batch_size, shuffle):
    batches = PieceBatches(pieces_of(lengths), batch_size, kind="piano_roll", shuffle=shuffle)
    for i in range(len(batches)):
        inputs, y, sample_weight = batches[i]
        assert inputs["x"].dtype == y.dtype == sample_weight.dtype == np.float32
        assert not inputs["x"][:, 0].any()
        real = sample_weight[:, 1:] == 1
        np.testing.assert_array_equal(inputs["x"][:, 1:][real], y[:, :-1][real])
        assert (np.diff(sample_weight, axis=1) <= 0).all()  # padding on the right


def follow(batches):
    """The rows through all batches, cut at every reset: list of (inputs, targets)."""
    rows = [[] for _ in range(batches.batch_size)]
    for i in range(len(batches)):
        inputs, y, sample_weight = batches[i]
        assert inputs["reset"].shape == (batches.batch_size, 1)
        for b, row in enumerate(rows):
            if inputs["reset"][b, 0]:
                row.append(([], []))
            real = sample_weight[b] == 1
            if real.any():
                row[-1][0].extend(inputs["x"][b][real].tolist())
                row[-1][1].extend(y[b][real].tolist())
    return [piece for row in rows for piece in row]


@settings(deadline=None, max_examples=50)
@given(lengths, batch_sizes, st.integers(1, 12), st.booleans(), st.integers(0, 3))
def test_carried_pieces_are_whole_in_their_row(lengths, batch_size, steps, shuffle, epoch):
    pieces = pieces_of(lengths)
    batches = CarriedBatches(pieces, batch_size, steps, kind="piano_roll", shuffle=shuffle, seed=1)
    length = len(batches)
    batches.epoch = epoch
    assert len(batches) == length
    found = follow(batches)
    assert sorted(y for _, y in found) == sorted(piece.astype(float).tolist() for piece in pieces)
    for x, y in found:
        assert x == [[0.0] * 3, *y[:-1]]
    assert batches.frames == sum(lengths)
    shapes = {batches[i][0]["x"].shape for i in range(length)}
    assert shapes == {(batch_size, steps, 3)}
    assert batches.efficiency == pytest.approx(sum(lengths) / (length * batch_size * steps))


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 200), batch_sizes, st.integers(1, 12), st.sampled_from([None, 7]))
def test_carried_text_is_contiguous(count, batch_size, steps, start):
    text = np.arange(100, 100 + count)
    batches = CarriedBatches([text], batch_size, steps, kind="characters", start=start)
    targets = text if start is not None else text[1:]
    assert batches.frames == len(targets)
    found = follow(batches)
    assert [token for _, y in found for token in y] == targets.tolist()
    before = [100 if start is None else start, *targets[:-1].tolist()]
    assert [token for x, _ in found for token in x] == before
    for i in range(len(batches)):
        inputs, y, _ = batches[i]
        assert inputs["x"].dtype == y.dtype == np.int32
        assert not inputs["reset"].any() or i == 0


def test_one_row_carries_through_a_whole_text():
    text = np.arange(1000)
    batches = CarriedBatches([text], 1, 64, kind="words", start=0)
    resets = [batches[i][0]["reset"].item() for i in range(len(batches))]
    assert resets == [1] + [0] * (len(batches) - 1)
    assert sum(batches[i][2].sum() for i in range(len(batches))) == 1000


@pytest.mark.parametrize("make", [PieceBatches, lambda *a, **k: CarriedBatches(*a, 5, **k)])
def test_order_is_a_function_of_seed_and_epoch(make):
    pieces = pieces_of([4, 9, 9, 9, 9, 9, 9, 30, 9, 9, 4, 4])

    def order(seed, epoch):
        batches = make(pieces, 2, kind="piano_roll", shuffle=True, seed=seed)
        for _ in range(epoch):
            batches.on_epoch_end()
        return [batches[i][1].tobytes() for i in range(len(batches))]

    assert order(3, 2) == order(3, 2)
    assert order(3, 2) != order(3, 1)
    assert order(3, 2) != order(4, 2)
    resumed = make(pieces, 2, kind="piano_roll", shuffle=True, seed=3)
    resumed.epoch = 2
    assert [resumed[i][1].tobytes() for i in range(len(resumed))] == order(3, 2)


@pytest.mark.parametrize("kind", [PieceBatches, CarriedBatches])
def test_inputs_have_the_targets_if_asked(kind):
    pieces = [np.eye(length, 5, dtype="uint8") for length in (3, 4, 2)]
    batches = kind(
        pieces, 2, *([2] if kind is CarriedBatches else []), kind="piano_roll", targets=True
    )
    for inputs, y, _ in batches:
        np.testing.assert_array_equal(inputs["target"], y)
    assert (
        "target"
        not in kind(pieces, 2, *([2] if kind is CarriedBatches else []), kind="piano_roll")[0][0]
    )


def test_a_drawn_seed_gives_one_order_per_epoch():
    pieces = [np.full((2, 1), i) for i in range(50)]
    keras.utils.set_random_seed(3)
    first = PieceBatches(pieces, 50, kind="piano_roll", shuffle=True, seed=None)
    second = PieceBatches(pieces, 50, kind="piano_roll", shuffle=True, seed=None)
    order = first[0][1]
    first.on_epoch_end()
    assert (first[0][1] != order).any()
    first.epoch = 0
    np.testing.assert_array_equal(first[0][1], order)
    assert (second[0][1] != order).any()
    keras.utils.set_random_seed(3)
    again = PieceBatches(pieces, 50, kind="piano_roll", shuffle=True, seed=None)
    np.testing.assert_array_equal(again[0][1], order)


def test_without_shuffling_every_epoch_is_the_same():
    batches = PieceBatches(pieces_of([5, 5, 5]), 1, kind="piano_roll")
    first = [batches[i][1].tobytes() for i in range(3)]
    batches.on_epoch_end()
    assert [batches[i][1].tobytes() for i in range(3)] == first


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 4))
def test_buckets_pad_least(lengths, batch_size, shapes):
    def steps(limits):
        bucket = np.searchsorted(limits, lengths)
        counts = np.bincount(bucket, minlength=len(limits))
        return sum(
            -(-n // batch_size) * batch_size * t for n, t in zip(counts, limits, strict=True)
        )

    found = bucket_lengths(lengths, batch_size, shapes)
    assert len(found) <= shapes
    distinct = sorted(set(lengths))
    choices = [
        sorted({*some, distinct[-1]})
        for k in range(shapes)
        for some in itertools.combinations(distinct[:-1], k)
    ]
    assert steps(found) == min(steps(np.array(limits)) for limits in choices)


@pytest.mark.parametrize(
    ("sequences", "kind", "line"),
    [
        ([], "piano_roll", "`sequences` must hold at least one sequence, got none."),
        ([np.zeros((0, 88))], "piano_roll", "`sequences[0]` must be a non-empty array"),
        ([np.zeros((3, 88)), np.zeros((3, 5))], "piano_roll", "`sequences[1]` must have 88"),
        ([np.zeros(3)], "piano_roll", "shape (time, features), got shape (3,)"),
        ([np.zeros((3, 2))], "words", "shape (time,), got shape (3, 2)"),
        ([np.array([1])], "words", "at least two tokens when `start` is None"),
        ([np.arange(9), np.arange(9)], "words", "must be one sequence for a text, got 2"),
        ([np.arange(9)], "word", "did you mean 'words'?"),
    ],
)
def test_bad_sequences(sequences, kind, line):
    with pytest.raises(UserError) as error:
        CarriedBatches(sequences, 2, 3, kind=kind)
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer, got 0."),
        ({"shapes": 1.5}, "`shapes` must be a positive integer, got 1.5."),
        ({"seed": -1}, "`seed` must be an integer from 0 to 2**32 - 1, or None, got -1."),
        ({"shuffle": 1}, "`shuffle` must be True or False, got 1."),
    ],
)
def test_bad_arguments(arguments, line):
    with pytest.raises(UserError) as error:
        PieceBatches([np.zeros((3, 88))], kind="piano_roll", **{"batch_size": 2, **arguments})
    assert str(error.value) == line


def test_steps_are_no_more_than_a_row_has():
    batches = CarriedBatches([np.arange(10)], 2, 1000, kind="characters", start=0)
    assert batches.steps == 5
    assert len(batches) == 1
    assert batches.efficiency == 1

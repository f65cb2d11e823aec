"""Statistics of music, the temperature that they choose, and where a piece ends."""

import numpy as np
import pytest

from keras_deep_rnn.training.models import build_network
from keras_deep_rnn.training.music.ending import with_ending
from keras_deep_rnn.training.music.statistics import distance, statistics
from keras_deep_rnn.training.music.temperature import rank_temperatures
from keras_deep_rnn.training.sample import sample_music


def roll(*chords):
    """A piano-roll with the keys of each frame."""
    frames = np.zeros((len(chords), 88), "uint8")
    for t, keys in enumerate(chords):
        frames[t, list(keys)] = 1
    return frames


def test_statistics_are_those_of_counting():
    random = np.random.default_rng(0)
    pieces = [(random.random((length, 88)) < 0.05).astype("uint8") for length in (9, 1, 14)]
    voices, lengths, intervals, shares = [], [], [], []
    for piece in pieces:
        for frame in piece:
            keys = np.flatnonzero(frame).tolist()
            pairs = [b - a for a in keys for b in keys if a < b]
            voices.append(len(keys))
            intervals += pairs
            if pairs:
                shares.append(sum(p % 12 in (1, 2, 6, 10, 11) for p in pairs) / len(pairs))
        for key in piece.T:
            held = "".join("x" if on else " " for on in key).split()
            lengths += [len(run) / 2 for run in held]
    found = statistics(pieces, quarter_length=0.5)
    expected = {
        "voices sounding": voices,
        "note length": lengths,
        "interval": intervals,
        "dissonances": shares,
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx((np.mean(values), np.std(values))), name


def test_consonance_and_dissonance():
    thirds_and_fifth = statistics([roll((39, 43, 46), (39, 51))])
    assert thirds_and_fifth["dissonances"] == (0, 0)
    assert statistics([roll((39, 40), (39, 45), (39, 62))])["dissonances"] == (1, 0)


def test_nothing_to_count_is_the_farthest():
    silence = statistics([np.zeros((4, 88), "uint8")])
    assert silence["voices sounding"] == (0, 0)
    assert np.isnan(silence["interval"]).all()
    music = statistics([roll((39, 43), (39, 44, 60))])
    assert distance(silence, music) == float("inf")
    assert distance(music, music) == 0
    assert statistics([]).keys() == music.keys()


@pytest.mark.slow
def test_the_temperature_of_pieces_is_found():
    """Pieces that were sampled at a temperature are most like samples of it."""
    import keras

    keras.utils.set_random_seed(0)
    options = {"kind": "piano_roll", "features": 88, "output_bias": -2.0}
    model = build_network("rnn", units=4, stateful=True, batch_size=1, **options)
    pieces = [sample_music(model, 40, temperature=1.0, seed=seed) for seed in range(10, 14)]
    options = {"length": 40, "samples": 2}
    ranked = rank_temperatures(model, pieces, temperatures=(0.6, 1.0, 2.0), **options)
    assert ranked.keys() == {0.6, 1.0, 2.0}
    assert next(iter(ranked)) == 1.0
    assert list(ranked.values()) == sorted(ranked.values())


C, G, D_MINOR, C_INVERTED = (39, 43, 46, 51), (34, 38, 41, 46), (41, 44, 48), (43, 46, 51)


def test_a_piece_ends_on_its_commonest_triad():
    frames = roll(C, G, C, C, G, C_INVERTED, C, D_MINOR, (39, 40))
    ended = with_ending(frames, earliest=4, hold=3)
    np.testing.assert_array_equal(ended, roll(C, G, C, C, G, C_INVERTED, C, C, C))
    # A chord of three notes is the last choice; G sounds less often than C.
    ended = with_ending(frames[[1, 1, 2, 7, 1, 0, 7]], earliest=3, hold=1)
    np.testing.assert_array_equal(ended, roll(G, G, C, D_MINOR, G))
    # C was too early.
    later = with_ending(frames, earliest=7, hold=2)
    np.testing.assert_array_equal(later, roll(C, G, C, C, G, C_INVERTED, C, D_MINOR, D_MINOR))


def test_a_piece_without_a_triad_is_as_it_was():
    for frames in (roll(C, C_INVERTED, (39,), (39, 46), ()), roll(C)):
        np.testing.assert_array_equal(with_ending(frames, earliest=1, hold=4), frames)

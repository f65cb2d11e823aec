"""Drawing music and text, MIDI files and pictures."""

import mido
import numpy as np
import pretty_midi
import pytest
from matplotlib import image

from keras_deep_rnn.data.midi_writer import notes, write_midi
from keras_deep_rnn.training import plots
from keras_deep_rnn.training.models import build_network
from keras_deep_rnn.training.sample import decode, encode, sample_music, sample_tokens
from keras_deep_rnn.utils.errors import UserError


@pytest.fixture(scope="module")
def music():
    """A network that has learned nothing, but remembers what it saw."""
    return network("dots_rnn", kind="piano_roll", features=88, output_bias=-2.0)


@pytest.fixture(scope="module")
def text():
    return network("rnn", kind="characters", features=5)


def network(name, **more):
    import keras

    keras.utils.set_random_seed(0)
    return build_network(name, units=8, stateful=True, batch_size=1, **more)


def roll(*starts):
    """A piano-roll of held keys given as (key, first frame, frame after the last)."""
    frames = np.zeros((max(stop for _, _, stop in starts), 88), "uint8")
    for key, start, stop in starts:
        frames[start:stop, key] = 1
    return frames


def test_same_seed_draws_the_same_and_another_draws_other(music):
    first, again, other = (sample_music(music, 12, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (12, 88)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_network_hears_the_primer_and_its_own_frames(music):
    """Drawing 6 frames and going on from them for 6 needs the state of all 6."""
    primer = roll((40, 0, 3), (44, 1, 4))
    drawn = sample_music(music, 5, primer=primer, seed=3)
    np.testing.assert_array_equal(drawn[:4], primer)
    x = np.concatenate([np.zeros((1, 88)), drawn[:-1]]).astype("float32")
    probability = 1 / (1 + np.exp(-logits_of("dots_rnn", music, x, kind="piano_roll", features=88)))
    random = np.random.default_rng(3)
    expected = [random.random(88) < probability[t] for t in range(4, 9)]
    np.testing.assert_array_equal(drawn[4:], expected)


@pytest.mark.slow
def test_the_keys_of_a_frame_are_sampled_jointly():
    """At temperature 0 each frame is the likeliest value of every key, given those before it."""
    options = {"kind": "piano_roll", "features": 88, "output": "nade", "nade_units": 4}
    joint = network("dots_rnn", output_bias=-0.1, **options)
    primer = roll((40, 0, 3), (44, 1, 4))
    first, again = (sample_music(joint, 3, primer=primer, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    drawn = sample_music(joint, 3, primer=primer, temperature=0)
    x = np.concatenate([np.zeros((1, 88)), drawn[:-1]]).astype("float32")
    whole = build_network("dots_rnn", units=8, **options)
    whole.set_weights(joint.get_weights())
    logits = whole.predict_on_batch({"x": x[None], "target": drawn[None].astype("float32")})
    np.testing.assert_array_equal(drawn[4:], (np.array(logits)[0, 4:] > 0))
    assert 0 < drawn[4:].mean() < 1


def test_temperature_sharpens(music):
    """Near temperature 0 nothing is left to chance."""
    cold = [sample_music(music, 6, temperature=1e-6, seed=seed) for seed in (1, 2)]
    np.testing.assert_array_equal(*cold)
    assert sample_music(music, 6, temperature=50.0).mean() > 0.3  # close to a coin for each key


@pytest.mark.slow
def test_text_is_drawn_from_the_softmax(text):
    tokens = sample_tokens(text, 400, primer=[2], seed=1)
    assert tokens.shape == (401,)
    assert tokens[0] == 2
    assert set(tokens) <= set(range(5))
    np.testing.assert_array_equal(tokens, sample_tokens(text, 400, primer=[2], seed=1))
    logits = logits_of("rnn", text, tokens[:-1].astype("int32"), kind="characters", features=5)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    counts = np.bincount(tokens[1:], minlength=5)
    expected = probability.sum(axis=0)
    deviation = np.sqrt((probability * (1 - probability)).sum(axis=0))
    assert (np.abs(counts - expected) < 4 * deviation).all()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"length": 0}, "`length` must be a positive integer, got 0"),
        ({"length": 10**9}, "`length` must be at most 100,000, got 1000000000"),
        ({"temperature": -0.1}, "`temperature` must be a finite number of at least 0, got -0.1"),
        ({"temperature": float("nan")}, "`temperature` must be a finite number"),
    ],
)
def test_bad_arguments(music, text, more, words):
    with pytest.raises(UserError, match=words):
        sample_music(music, **{"length": 1, **more})
    with pytest.raises(UserError, match=words):
        sample_tokens(text, **{"length": 1, "primer": [0], **more})


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0, 0.0, 1e-320, 5e-324])
def test_the_likeliest(text, temperature):
    """What the network gives for the whole sequence at once says which it is, for any seed."""
    tokens = sample_tokens(text, 20, primer=[2], temperature=temperature, seed=7)
    logits = logits_of("rnn", text, tokens[:-1].astype("int32"), kind="characters", features=5)
    np.testing.assert_array_equal(tokens[1:], logits.argmax(axis=1))
    music = {"kind": "piano_roll", "features": 88, "output_bias": 0.01}  # no logit is 0
    model = network("dots_rnn", **music)
    frames = sample_music(model, 20, temperature=temperature, seed=7)
    x = np.concatenate([np.zeros((1, 88)), frames[:-1]]).astype("float32")
    np.testing.assert_array_equal(frames, logits_of("dots_rnn", model, x, **music) > 0)
    assert 0.2 < frames.mean() < 0.8


def logits_of(name, stateful, x, **more):
    """Logits (T, V) of a network without state, for a whole sequence (T, ...)."""
    whole = build_network(name, units=8, **more)
    whole.set_weights(stateful.get_weights())
    return np.asarray(whole.predict_on_batch({"x": x[None]}), "float64")[0]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1e308, 1.7e308])
def test_a_huge_temperature_is_uniform(music, text, temperature):
    tokens = sample_tokens(text, 500, primer=[2], temperature=temperature)
    assert (np.abs(np.bincount(tokens, minlength=5) - 100) < 40).all()
    assert sample_music(music, 20, temperature=temperature).mean() == pytest.approx(0.5, abs=0.05)


def test_text_round_trip():
    words = ("<eos>", "a", "fox")
    assert decode(encode("a fox <eos> a", "words", words), "words", words) == "a fox\na"
    for text in ("\n\na fox\n", "a\n\n", "\n", "fox"):
        assert decode(encode(text, "words", words), "words", words) == text
    assert encode("a\nfox", "words", words) == [1, 0, 2]
    assert encode("a\nfox", "words", words[1:]) == [0, 1]
    with pytest.raises(UserError, match="`primer` .* 'dog'"):
        encode("a dog", "words", words)
    with pytest.raises(UserError, match="`primer` must hold at least one token"):
        sample_tokens(None, 1, primer=[])


def test_held_keys_are_one_note():
    held = [(40, 0, 3), (44, 1, 2), (44, 3, 5), (87, 4, 5)]
    assert notes(roll(*held)) == held
    assert notes(np.zeros((3, 88))) == notes(np.zeros((0, 88))) == []


def test_midi_file_holds_the_notes_at_their_times(tmp_path):
    held = [(0, 0, 1), (39, 0, 4), (43, 2, 4), (87, 3, 4)]
    path = tmp_path / "music.mid"
    write_midi(roll(*held), path, quarter_length=0.5, tempo=100.0, instrument="choir")
    assert [file.name for file in tmp_path.iterdir()] == ["music.mid"]
    midi = pretty_midi.PrettyMIDI(str(path))
    (track,) = midi.instruments
    assert track.program == 52
    assert midi.get_tempo_changes()[1] == pytest.approx([100.0], rel=1e-4)
    frame = 60 / 100 / 2
    found = sorted((note.pitch - 21, note.start / frame, note.end / frame) for note in track.notes)
    assert np.array(found) == pytest.approx(np.array(sorted(held), float), abs=1e-3)
    times = [message.time for message in mido.MidiFile(path).tracks[-1]]
    assert all(time % 240 == 0 for time in times[:-1])  # whole frames of an eighth note


def test_unknown_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="Cannot write '.*': No such file or directory"):
        write_midi(roll((40, 0, 1)), tmp_path / "no" / "music.mid")


def test_piano_roll_shows_each_note_in_its_place(tmp_path):
    """A note that is drawn later or higher colours another part of the picture."""

    def blue(*held):
        path = tmp_path / "roll.png"
        # Two corner notes fix the frame of the picture.
        plots.piano_roll(roll((30, 0, 1), (50, 15, 16), *held), path, title="test")
        pixels = image.imread(path)[..., :3]
        return np.argwhere((pixels[..., 2] - pixels[..., 0]) > 0.3)

    corners = blue()
    centre = {}
    for name, held in {"early": (40, 2, 6), "late": (40, 9, 13), "high": (45, 2, 6)}.items():
        rows = blue(held)
        assert len(rows) > len(corners)
        centre[name] = (rows.sum(axis=0) - corners.sum(axis=0)) / (len(rows) - len(corners))
    assert centre["late"][1] > centre["early"][1] + 50
    assert centre["late"][0] == pytest.approx(centre["early"][0], abs=1)
    assert centre["high"][0] < centre["early"][0] - 10


def test_learning_curve_of_one_epoch_and_of_many(tmp_path):
    rows = [
        {"epoch": epoch, "loss": 2.0 / epoch, "val_loss": 1.0, "val_perplexity": 9.0 / epoch}
        for epoch in range(1, 30)
    ]
    for history in (rows[:1], rows):
        plots.learning_curve(history, "words", tmp_path / "curve.png")
        assert image.imread(tmp_path / "curve.png").std() > 0.01

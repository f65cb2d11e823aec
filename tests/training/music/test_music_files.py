"""The files of a piece: a page, sound, MIDI with a picture."""

import dataclasses
import json
import re
import wave

import numpy as np
import pytest

from keras_deep_rnn.data.midi_writer import INSTRUMENTS, notes
from keras_deep_rnn.training.music import wav
from keras_deep_rnn.training.music.piece import Piece
from keras_deep_rnn.training.music.player import page
from keras_deep_rnn.training.music.timbres import TIMBRES, Timbre
from keras_deep_rnn.training.music.writers import WRITERS
from keras_deep_rnn.utils.errors import UserError


def piece(*held, length=8, title="test", **more):
    """A piece of held keys given as (key, first frame, frame after the last)."""
    frames = np.zeros((length, 88), "uint8")
    for key, start, stop in held:
        frames[start:stop, key] = 1
    return Piece(frames, title, **more)


def values(text):
    """What the page knows of its piece."""
    (content,) = re.findall(r'<script id="piece" type="application/json">(.*?)</script>', text)
    return json.loads(content)


def samples(path):
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 44_100)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def frequency(sound):
    """The strongest frequency in hertz."""
    return np.argmax(np.abs(np.fft.rfft(sound))) * wav.RATE / len(sound)


def test_an_ending_writes_its_files_and_no_other(tmp_path):
    music = piece((40, 0, 4), (44, 2, 8))
    expected = {".mid": ["a.mid", "a.png"], ".html": ["a.html"], ".wav": ["a.wav"]}
    for ending, names in expected.items():
        folder = tmp_path / ending
        folder.mkdir()
        written = WRITERS[ending](music, folder / f"a{ending}")
        assert [path.name for path in written] == names
        assert sorted(path.name for path in folder.iterdir()) == names
    assert WRITERS.keys() == expected.keys()


def test_the_page_holds_the_notes_and_times():
    music = piece((40, 0, 4), (44, 2, 8), quarter_length=0.5, tempo=100.0, primer=2)
    found = values(page(music))
    assert found["notes"] == [list(note) for note in notes(music.frames)]
    assert found["frameSeconds"] == pytest.approx(0.3)
    assert (found["frames"], found["primer"], found["instrument"]) == (8, 2, "organ")
    assert found["timbres"].keys() == INSTRUMENTS.keys()


def test_no_name_ends_the_script_or_becomes_a_tag():
    title = "</script><script>alert(1)</script> <b> $title ${piece} & \u2028"
    text = page(piece((40, 0, 1), title=title))
    assert text.count("<script") == text.count("</script>") == 2
    assert "<b>" not in text
    assert values(text)["title"] == title


def test_the_page_is_small_and_loads_nothing():
    held = [(key, t, t + 1) for t in range(1000) for key in (30 + t % 2, 40, 50, 60)]
    text = page(piece(*held, length=1000))
    assert len(text.encode()) < 150_000
    loads = r"https?:|//[a-z]+\.|\bsrc=|\bimport\b|fetch\(|XMLHttp|url\("
    assert re.findall(loads, text) == []
    assert "default-src 'none'" in text


def test_the_files_are_the_same_each_time(tmp_path):
    music = piece((40, 0, 4), (44, 2, 8), instrument="choir")
    for ending in (".html", ".wav"):
        first, again = (tmp_path / f"{name}{ending}" for name in "ab")
        WRITERS[ending](music, first)
        WRITERS[ending](music, again)
        assert first.read_bytes() == again.read_bytes()


def test_sound_is_at_its_time_and_pitch(tmp_path):
    """A4 in the second second, then silence, and the A above it in the last one."""
    music = piece((48, 1, 2), (60, 3, 4), length=4, tempo=60.0)
    WRITERS[".wav"](music, tmp_path / "a.wav")
    sound = samples(tmp_path / "a.wav")
    assert len(sound) / wav.RATE == pytest.approx(4 + TIMBRES["organ"].release, abs=1e-3)
    first, second, third, fourth = (sound[wav.RATE * t :][: wav.RATE] for t in range(4))
    assert not first.any()
    assert frequency(second) == pytest.approx(440, abs=1)
    assert np.abs(third[wav.RATE // 5 :]).max() == 0
    assert frequency(fourth) == pytest.approx(880, abs=1)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_nothing_clips_and_nothing_clicks(instrument, tmp_path):
    every_key = [(key, 0, 1) for key in range(88)]
    for held in (every_key, [(40, 0, 1)]):
        music = piece(*held, length=1, tempo=240.0, instrument=instrument)
        WRITERS[".wav"](music, tmp_path / "a.wav")
        sound = samples(tmp_path / "a.wav").astype(float)
        assert np.abs(sound).max() == round(32767 * wav.PEAK)
    # Of one low note: it begins and ends at silence.
    assert np.abs(sound[[0, -1]]).max() < 200
    assert np.abs(np.diff(sound)).max() < 16_000


def test_silence_and_very_short_notes(tmp_path):
    for name, music in {
        "silence": piece(),
        "nothing": piece(length=0),
        "short": piece((40, 0, 1), tempo=1000.0, quarter_length=0.01, instrument="strings"),
    }.items():
        WRITERS[".wav"](music, tmp_path / "a.wav")
        sound = samples(tmp_path / "a.wav")
        assert sound.any() == (name == "short"), name
        assert values(page(music))["frames"] == len(music.frames)


def test_harmonics_above_half_of_the_rate_do_not_come_back_below_it():
    timbre = Timbre((0, 1), 0.01, 1.0, 1.0, 0.1)
    assert not wav.note(wav.RATE / 4 + 100, 0.1, timbre).any()
    assert wav.note(wav.RATE / 4 - 100, 0.1, timbre).any()


def test_too_long_a_piece_is_one_line(tmp_path):
    music = piece(length=100_000, quarter_length=0.25)
    with pytest.raises(UserError, match=r"`length` must make at most 30 minutes .* got 312 min"):
        WRITERS[".wav"](music, tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


def test_every_instrument_has_a_timbre():
    assert TIMBRES.keys() == INSTRUMENTS.keys()
    for timbre in TIMBRES.values():
        assert min(timbre.attack, timbre.decay, timbre.release) > 0
        assert 0 <= timbre.sustain <= 1
        assert all(np.isfinite(dataclasses.astuple(timbre)[1:5]))

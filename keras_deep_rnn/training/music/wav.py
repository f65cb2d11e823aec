"""Renders a piece as sound, and writes it as a WAV file."""

import wave

import numpy as np

from ...data.dataset import LOWEST_PITCH
from ...data.midi_writer import notes
from ...utils.errors import ArgumentError, Words
from ...utils.files import replacing
from ...utils.types import PathLike
from .piece import Piece
from .timbres import RELEASE_CONSTANTS, TIMBRES, Timbre

RATE = 44_100  # samples a second
PEAK = 0.9  # of full scale
# The samples of a piece are in memory: half an hour takes 0.5 GB.
MAX_MINUTES = 30


def write_wav(piece: Piece, path: PathLike) -> None:
    """Writes a piece as 16-bit mono WAV file, the same bytes each time.

    Args:
        piece: The piece.
        path: File to write, atomically.

    Raises:
        UserError: The piece is longer than `MAX_MINUTES`, or the file cannot be written.
    """
    samples = np.round(sound(piece) * 32767).astype("<i2")
    with replacing(path) as partial, wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def sound(piece: Piece) -> np.ndarray:
    """Renders a piece with the timbre of its instrument; its loudest sample is at `PEAK`.

    Args:
        piece: The piece.

    Returns:
        float32 (samples,), `RATE` of them a second, with the release of the last notes.

    Raises:
        UserError: The piece is longer than `MAX_MINUTES`.
    """
    timbre, seconds = TIMBRES[piece.instrument], piece.frame_seconds
    if len(piece.frames) * seconds > 60 * MAX_MINUTES:
        minutes = Words(f"{len(piece.frames) * seconds / 60:.0f} minutes")
        expected = f"at most {MAX_MINUTES} minutes of music for a .wav file"
        raise ArgumentError("length", expected, minutes, verb="make")
    samples = np.zeros(int((len(piece.frames) * seconds + timbre.release) * RATE) + 1, "float32")
    starts: dict[tuple[int, int], list[int]] = {}
    for key, start, stop in notes(piece.frames):
        starts.setdefault((key, stop - start), []).append(start)
    # A note of the same key and length is computed once.
    for (key, length), frames in starts.items():
        tone = note(440 * 2 ** ((LOWEST_PITCH + key - 69) / 12), length * seconds, timbre)
        for frame in frames:
            first = int(frame * seconds * RATE)
            part = samples[first : first + len(tone)]
            part += tone[: len(part)]
    loudest = float(np.abs(samples).max(initial=0))
    return samples * np.float32(PEAK / loudest) if loudest else samples


def note(frequency: float, seconds: float, timbre: Timbre) -> np.ndarray:
    """One note with its release.

    Args:
        frequency: Of the fundamental, in hertz.
        seconds: Until the release.
        timbre: Its harmonics and envelope.

    Returns:
        float32 (samples,).
    """
    time = np.arange(int((seconds + timbre.release) * RATE)) / RATE
    tone = np.zeros(len(time))
    for cents in timbre.detune:
        fundamental = frequency * 2 ** (cents / 1200)
        for number, amplitude in enumerate(timbre.harmonics, start=1):
            if number * fundamental < RATE / 2:
                tone += amplitude * np.sin(2 * np.pi * number * fundamental * time)
    return (tone * envelope(time, seconds, timbre)).astype("float32")


def envelope(time: np.ndarray, seconds: float, timbre: Timbre) -> np.ndarray:
    """Loudness of a note over time, at most 1.

    Args:
        time: Seconds since the note began.
        seconds: Until the release.
        timbre: Its envelope.

    Returns:
        Array of the shape of `time`.

    Example:

    >>> timbre = Timbre((1,), attack=0.1, decay=1.0, sustain=0.5, release=0.1)
    >>> envelope(np.array([0.0, 0.1, 5.0, 9.0]), 6.0, timbre).round(1).tolist()
    [0.0, 1.0, 0.5, 0.0]
    """
    attack = min(timbre.attack, seconds / 2)

    def held(time: np.ndarray) -> np.ndarray:
        fall = np.exp(-np.maximum(time - attack, 0) / timbre.decay)
        return np.minimum(time / attack, timbre.sustain + (1 - timbre.sustain) * fall)

    release = np.exp(-RELEASE_CONSTANTS * np.maximum(time - seconds, 0) / timbre.release)
    return held(np.minimum(time, seconds)) * release

"""`Piece`: sampled music with what its files need to know."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Piece:
    """Music as a piano-roll, and how it is to sound and to be called.

    Attributes:
        frames: uint8 (T, 88), 1 while a key sounds; key k is MIDI pitch 21 + k.
        title: Title of the page and of the picture: network, data, seed and temperature.
        quarter_length: Length of a frame in quarter notes.
        tempo: Quarter notes a minute.
        instrument: One of `midi_writer.INSTRUMENTS`.
        primer: Number of frames at the beginning that are the primer, not sampled.
    """

    frames: np.ndarray
    title: str
    quarter_length: float = 1.0
    tempo: float = 80.0
    instrument: str = "organ"
    primer: int = 0

    @property
    def frame_seconds(self) -> float:
        """Length of a frame in seconds.

        Example:

        >>> Piece(np.zeros((4, 88)), "rest", quarter_length=0.5, tempo=60.0).frame_seconds
        0.5
        """
        return 60 / self.tempo * self.quarter_length

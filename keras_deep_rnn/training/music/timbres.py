"""The instruments of the small additive synthesizer that the WAV file and the page share."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Timbre:
    """Harmonics and envelope of an instrument.

    The envelope rises linearly, falls exponentially to the level of a held note, and falls to 0
    after the end of the note.

    Attributes:
        harmonics: Amplitudes of the fundamental and its multiples.
        attack: Seconds until a note is at its loudest.
        decay: Time constant in seconds of the fall to `sustain`.
        sustain: Level of a held note relative to its loudest moment.
        release: Seconds in which a note dies away after its end.
        detune: Cents by which each of the players is out of tune; together they make a section.
    """

    harmonics: tuple[float, ...]
    attack: float
    decay: float
    sustain: float
    release: float
    detune: tuple[float, ...] = (0.0,)


# By the names of `midi_writer.INSTRUMENTS`.
TIMBRES = {
    "piano": Timbre((1, 0.55, 0.3, 0.22, 0.12, 0.1, 0.06, 0.04), 0.004, 0.7, 0.04, 0.2),
    "organ": Timbre((1, 0.7, 0.35, 0.4, 0.08, 0.18, 0.02, 0.16), 0.025, 1.0, 1.0, 0.12),
    "strings": Timbre(
        tuple(round(0.94**k / (k + 1), 4) for k in range(16)), 0.12, 0.5, 0.8, 0.3, (-6.0, 5.0)
    ),
    "choir": Timbre(
        (1, 0.6, 0.42, 0.2, 0.07, 0.09, 0.05, 0.02), 0.1, 0.6, 0.85, 0.3, (-8.0, 0.0, 7.0)
    ),
}
# The fall of a release, in time constants: what is left at its end is inaudible.
RELEASE_CONSTANTS = 6.0

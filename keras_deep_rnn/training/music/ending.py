"""Where a sampled piece may end: a piano-roll has no sign for it, and sampling just stops."""

import numpy as np

# Semitones above the bass of a triad in root position: minor and major.
TRIADS = ({0, 3, 7}, {0, 4, 7})


def with_ending(frames: np.ndarray, *, earliest: int, hold: int) -> np.ndarray:
    """Ends a piece on a triad in root position, which is held.

    Of the triads from `earliest` on it takes a full one, of four notes or more, whose notes sound
    most in the piece, as those of its key do; of several equal ones the last.

    Args:
        frames: (T, 88), 1 while a key sounds.
        earliest: First frame that may be the last one.
        hold: Frames that the last chord is held for.

    Returns:
        The piece up to the chord, with the chord held; the same frames where there is no triad.

    Example:

    >>> frames = np.zeros((6, 88), "uint8"); frames[:, 39] = 1; frames[3, [43, 46]] = 1
    >>> with_ending(frames, earliest=2, hold=4).sum(axis=1).tolist()
    [1, 1, 1, 3, 3, 3, 3]
    """
    often = np.bincount(np.nonzero(frames)[1] % 12, minlength=12)
    best, last = (0, 0), None
    for t in range(earliest, len(frames)):
        keys = np.flatnonzero(frames[t])
        if len(keys) and set((keys - keys[0]) % 12) in TRIADS:
            rank = min(len(keys), 4), int(sum(often[pitch] for pitch in set(keys % 12)))
            if rank >= best:
                best, last = rank, t
    if last is None:
        return frames
    return np.concatenate([frames[:last], np.repeat(frames[last : last + 1], hold, axis=0)])

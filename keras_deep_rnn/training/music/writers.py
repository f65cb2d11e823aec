"""Writes a piece in the format that the ending of its file names."""

from collections.abc import Callable
from pathlib import Path

from ...data.midi_writer import write_midi
from .. import plots
from .piece import Piece
from .player import write_page
from .wav import write_wav


def _midi_and_picture(piece: Piece, path: Path) -> list[Path]:
    write_midi(
        piece.frames,
        path,
        quarter_length=piece.quarter_length,
        tempo=piece.tempo,
        instrument=piece.instrument,
    )
    picture = path.with_suffix(".png")
    plots.piano_roll(
        piece.frames,
        picture,
        title=piece.title,
        frames_in_quarter=1 / piece.quarter_length,
        primer=piece.primer,
    )
    return [path, picture]


def _page(piece: Piece, path: Path) -> list[Path]:
    write_page(piece, path)
    return [path]


def _sound(piece: Piece, path: Path) -> list[Path]:
    write_wav(piece, path)
    return [path]


# By the ending of the file; each returns the paths that it has written.
WRITERS: dict[str, Callable[[Piece, Path], list[Path]]] = {
    ".mid": _midi_and_picture,
    ".html": _page,
    ".wav": _sound,
}

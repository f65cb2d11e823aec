"""Writes a piece as one page that plays in a browser, without the network."""

import dataclasses
import html
import json
import string
from pathlib import Path

from ...data.dataset import LOWEST_PITCH
from ...data.midi_writer import notes
from ...utils.files import replacing
from ...utils.types import PathLike
from .piece import Piece
from .timbres import RELEASE_CONSTANTS, TIMBRES

TEMPLATE = Path(__file__).with_name("templates") / "player.html"


def write_page(piece: Piece, path: PathLike) -> None:
    """Writes a page with the piano-roll of a piece and a player.

    The page is one file that loads nothing. The usual players of MIDI files in a page load their
    sounds from a server, so it has a synthesizer of its own.

    Args:
        piece: The piece.
        path: HTML file to write, atomically.

    Raises:
        UserError: The file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(page(piece), encoding="utf-8")


def page(piece: Piece) -> str:
    """The HTML of a piece's page."""
    values = {
        "title": piece.title,
        "notes": notes(piece.frames),
        "frames": len(piece.frames),
        "primer": piece.primer,
        "frameSeconds": piece.frame_seconds,
        "quarterLength": piece.quarter_length,
        "tempo": piece.tempo,
        "lowestPitch": LOWEST_PITCH,
        "instrument": piece.instrument,
        "timbres": {name: dataclasses.asdict(timbre) for name, timbre in TIMBRES.items()},
        "releaseConstants": RELEASE_CONSTANTS,
    }
    # No text can end the script element: in JSON a < occurs in strings alone.
    content = json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")
    template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(piece.title), piece=content)

"""The command `deep-rnn generate`."""

from pathlib import Path
from typing import Annotated

import typer

from ..utils.backend import start_backend
from .options import A_RUN, argument, path, real, text, whole

EXAMPLE = "Example: deep-rnn generate runs/bach --out chorale.mid --length 64 --temperature 0.9"


def generate(
    run: Annotated[str, argument(A_RUN)],
    out: Annotated[
        Path | None, path("File to write: .mid, and a picture .png beside it; for text .txt.")
    ] = None,
    length: Annotated[int | None, whole("Frames, characters or words to draw.")] = None,
    temperature: Annotated[float, real("Below 1: more of what is likely; above 1: less.")] = 1.0,
    seed: Annotated[int, whole("The same seed draws the same.")] = 0,
    primer: Annotated[str | None, text("What to go on from: a MIDI file; for text a text.")] = None,
    primer_length: Annotated[int, whole("Frames to take from the MIDI file.")] = 16,
    tempo: Annotated[float, real("Quarter notes in a minute.")] = 80.0,
    instrument: Annotated[str, text("piano, organ, strings or choir.")] = "organ",
) -> None:
    """Draws new music, as MIDI and as a picture, or new text."""
    start_backend()
    from ..training import sample as generation

    written = generation.generate(
        run,
        out,
        length=length,
        temperature=temperature,
        seed=seed,
        primer=primer,
        primer_length=primer_length,
        tempo=tempo,
        instrument=instrument,
        log=typer.echo,
    )
    for file in written:
        typer.echo(f"Wrote {file}")

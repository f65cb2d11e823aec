"""The command `deep-rnn generate`."""

from pathlib import Path
from typing import Annotated

import typer

from ..utils.backend import start_backend
from .console import say
from .options import A_RUN, argument, path, real, run_folders, text, whole

EXAMPLE = "Example: deep-rnn generate jsb_chorales/dots_rnn --out chorale.mid --temperature 0.9"


def generate(
    run: Annotated[str, argument(f"{A_RUN}.", run_folders)],
    out: Annotated[
        Path | None,
        path(
            "File to write: .mid, and a picture .png beside it; .html, a page that plays the "
            "music; .wav, sound; for text .txt.",
            default="music.mid or text.txt in RUN",
        ),
    ] = None,
    length: Annotated[
        int | None,
        whole("Frames, characters or words to draw, at most 100000.", default="64, 500 or 100"),
    ] = None,
    temperature: Annotated[
        float,
        real("Divides the logits: below 1, likely events become more likely; 0: the likeliest."),
    ] = 1.0,
    seed: Annotated[int, whole("Seed of the draws.")] = 0,
    primer: Annotated[
        str | None, text("What to continue: a MIDI file; for text a text.", default="nothing")
    ] = None,
    primer_length: Annotated[int, whole("Frames to take from the MIDI file.")] = 16,
    tempo: Annotated[float, real("Quarter notes a minute.")] = 80.0,
    instrument: Annotated[str, text("piano, organ, strings or choir.")] = "organ",
) -> None:
    """Draws new music, as MIDI with a picture, as a page that plays it or as sound, or new text."""
    start_backend()
    from ..experiments.trained import opened
    from ..training import sample as generation

    with opened(run, out, writes=True) as folder:
        written = generation.generate(
            folder,
            out,
            length=length,
            temperature=temperature,
            seed=seed,
            primer=primer,
            primer_length=primer_length,
            tempo=tempo,
            instrument=instrument,
            log=typer.echo,  # the text as it is
        )
    for file in written:
        say(f"Wrote {file}")

"""The command `deep-rnn train`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..training.config import RUN
from ..utils.backend import start_backend
from ..utils.errors import UserError
from .console import progress, show_results
from .options import flag, path
from .settings_options import with_settings

EXAMPLE = (
    "Example: deep-rnn train --data bach_chorales --network dots_rnn --units 400 "
    "--transition-units 400 --output-units 400 --out runs/bach"
)


@with_settings
def train(
    out: Annotated[Path | None, path("Run folder to make; else runs/DATA.", RUN)] = None,
    resume: Annotated[
        bool, flag("--resume", "Go on with the interrupted run in --out.", RUN)
    ] = False,
    overwrite: Annotated[bool, flag("--overwrite", "Replace the run in --out.", RUN)] = False,
    **settings: Any,
) -> None:
    """Trains a network and measures it. What is not given has the data set's default."""
    start_backend()
    from ..training import train as training
    from ..training.config import Settings

    how = {
        "command": shlex.join(["deep-rnn", *sys.argv[1:]]),
        "log": typer.echo,
        "progress": progress,
    }
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other: pass one of them.")
    if resume:
        if out is None:
            raise UserError("--out must be the folder of the run to resume, got nothing.")
        metrics = training.resume(out, requested=settings, **how)
    else:
        if "data" not in settings:
            raise UserError("--data must be the name of a data set or a path, got nothing.")
        out = out or Path("runs", Path(settings["data"]).stem)
        metrics = training.train(Settings(**settings), out, overwrite=overwrite, **how)
    show_results(metrics, "test")
    typer.echo(f"Run folder: {out}")

"""The command `deep-rnn evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from ..utils.backend import start_backend
from .console import progress, show_results
from .options import A_RUN, BY_HAND, PREPARED, argument, flag, path, text

EXAMPLE = "Example: deep-rnn evaluate runs/bach --split test"


def evaluate(
    run: Annotated[str, argument(A_RUN)],
    split: Annotated[str, text("train, validation or test.")] = "test",
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
    dynamic: Annotated[
        bool, flag("--dynamic", "Also read the text learning from what was read.")
    ] = False,
    streaming: Annotated[
        bool, flag("--streaming", "Also read step by step, as an online service does.")
    ] = False,
) -> None:
    """Measures a trained network; the numbers also go to the run's metrics.json."""
    start_backend()
    from ..training import train as training

    places = {"data_path": data_path, "data_dir": data_dir}
    how = {"dynamic": dynamic, "streaming": streaming, "log": typer.echo, "progress": progress}
    show_results(training.evaluate_run(run, split, **places, **how), split)

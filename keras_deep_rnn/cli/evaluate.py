"""The command `deep-rnn evaluate`."""

from pathlib import Path
from typing import Annotated

from ..utils.backend import start_backend
from .console import progress, say, say_aside, show_json, show_results
from .options import (
    A_RUN,
    DATA_DIR,
    JSON,
    MANUAL_DIR,
    MOVED_DATA,
    argument,
    flag,
    path,
    run_folders,
    text,
)

EXAMPLE = "Example: deep-rnn evaluate runs/bach --split test"


def evaluate(
    run: Annotated[str, argument(A_RUN, run_folders)],
    split: Annotated[str, text("train, validation or test.")] = "test",
    data: Annotated[str | None, text(MOVED_DATA, default="as in the training")] = None,
    manual_dir: Annotated[Path | None, path(MANUAL_DIR)] = None,
    data_dir: Annotated[Path | None, path(DATA_DIR)] = None,
    dynamic: Annotated[
        bool,
        flag("--dynamic", "Also report dynamic evaluation: weights are updated on the text read."),
    ] = False,
    streaming: Annotated[
        bool, flag("--streaming", "Also read step by step, as an online service does.")
    ] = False,
    as_json: Annotated[bool, flag("--json", JSON)] = False,
) -> None:
    """Measures a trained network; the numbers also go to the run's metrics.json.

    Where that cannot be written, they are shown all the same, and the exit code is 2.
    """
    start_backend()
    from ..training import train as training

    training.evaluate_run(
        run,
        split,
        data=data,
        manual_dir=manual_dir,
        data_dir=data_dir,
        dynamic=dynamic,
        streaming=streaming,
        show=show_json if as_json else lambda metrics: show_results(metrics, split),
        log=say_aside if as_json else say,
        progress=progress,
    )

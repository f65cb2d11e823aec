"""The command `deep-rnn evaluate`."""

import contextlib
from pathlib import Path
from typing import Annotated

from ..utils.backend import start_backend
from ..utils.errors import ArgumentError
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
RUNS = f"{A_RUN}; of several the mean probabilities count."


def evaluate(
    run: Annotated[list[str], argument(RUNS, run_folders)],
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

    Where that cannot be written, they are shown all the same, and the exit code is 2. Of several
    runs the mean of the probabilities is measured, and nothing is written.
    """
    start_backend()
    from ..experiments.trained import opened
    from ..training import train as training

    show = show_json if as_json else lambda metrics: show_results(metrics, split)
    places = {"data": data, "manual_dir": manual_dir, "data_dir": data_dir}
    for name, given in (("dynamic", dynamic), ("streaming", streaming)):
        if given and len(run) > 1:
            raise ArgumentError(name, "left out for several runs", given)
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(opened(path)) for path in run]
        if len(folders) > 1:
            show(training.evaluate_ensemble(folders, split, **places, progress=progress))
            return
        training.evaluate_run(
            folders[0],
            split,
            **places,
            dynamic=dynamic,
            streaming=streaming,
            show=show,
            log=say_aside if as_json else say,
            progress=progress,
        )

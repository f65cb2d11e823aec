"""One attempt at a trial: a training run in a folder of its own, from where an earlier one was."""

from __future__ import annotations

import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from ...training.callbacks import Backup
from ...training.config import Settings, network_arguments
from ...training.run_folder import BACKUP, CONTENTS, HISTORY, METRICS, Run
from ...training.setup import prepare
from ...training.train import fit_and_evaluate
from ...utils.errors import DivergedError, UserError, first_line
from ...utils.files import remove, write_errors
from .summary import train_command

if TYPE_CHECKING:
    from ...data import Dataset
    from ..job.job import Job
    from .project import Project
    from .trial import Trial

SPLIT = "validation"


def run_attempt(
    trial: Trial,
    job: Job,
    project: Project,
    dataset: Dataset,
    *,
    log: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Trains and measures the network of a trial in `trial.folder`.

    It goes on after the last whole epoch of the latest earlier attempt that had the same settings,
    or of the trial that it continues. Earlier folders are read and never changed.

    Args:
        trial: `Trial` with its attempt and folder.
        job: The `Job`.
        project: The `Project`.
        dataset: The job's `Dataset`.
        log: Called with one line at a time; one is shown after each epoch.

    Returns:
        Dict of the attributes of `Trial` that the attempt decides: the result, or `error` and, if
        it was not the loss that went wrong, `traceback`.

    Raises:
        UserError: The folder cannot be written, which says nothing about the network.
    """
    began = time.monotonic()
    try:
        with write_errors(project / cast(str, trial.folder)):
            metrics = _trained(trial, project, dataset, log)
    except Exception as error:
        if isinstance(error, UserError) and str(error).startswith("Cannot write "):
            raise
        return {**_failure(error), "seconds": round(time.monotonic() - began, 1)}
    numbers = {name: value for name, value in metrics["splits"][SPLIT].items() if name != "count"}
    return {
        "score": numbers[job.objective],
        "metrics": numbers,
        "epochs": metrics["epochs"],
        "best_epoch": metrics["best_epoch"],
        "seconds": round(time.monotonic() - began, 1),
    }


def settings_of_trial(trial: Trial) -> Settings:
    """The `Settings` of a trial."""
    lists = {name: tuple(v) for name, v in trial.settings.items() if isinstance(v, list)}
    return Settings(**{**trial.settings, **lists})


def _failure(error: BaseException) -> dict[str, str]:
    """What is told of an attempt that failed; a diverged loss is no error of the program."""
    if isinstance(error, DivergedError):
        return {"error": first_line(error)}
    told = first_line(error)
    if not isinstance(error, UserError):
        told = f"{type(error).__name__}: {_of_layer(error) or told}"
    return {"error": told, "traceback": "".join(traceback.format_exception(error))}


def _of_layer(error: BaseException) -> str | None:
    """What went wrong in a layer; Keras says it in bold, below a line that only names the layer."""
    found = re.search(r"\x1b\[1m(.+?)\x1b\[0m", str(error), re.DOTALL)
    return found and found[1].splitlines()[0]


def _trained(
    trial: Trial, project: Project, dataset: Dataset, log: Callable[[str], object]
) -> dict[str, Any]:
    """Trains the network, unless an earlier attempt has; the content of metrics.json."""
    run = Run(project / cast(str, trial.folder))
    run.path.mkdir(parents=True, exist_ok=True)
    settings = settings_of_trial(trial).complete(dataset)
    _inherit(run, trial, project, settings)
    if (run / METRICS).is_file():
        return run.metrics
    network = network_arguments(settings, dataset)
    prepared = prepare(settings, dataset, network)
    run.write_config(settings, network, dataset, train_command(trial.settings))
    return fit_and_evaluate(
        run,
        settings,
        dataset,
        prepared,
        until=trial.until,
        splits=(SPLIT,),
        keep_backup=trial.until is not None,
        log=log,
    )


def _inherit(run: Run, trial: Trial, project: Project, settings: Settings) -> None:
    """Copies what an earlier run of the same training has left, if there is one."""
    for folder in reversed(project.attempts(trial.id)):
        if folder != run.path and _copied(Run(folder), run, CONTENTS, settings):
            return
    if trial.continues is not None:
        _copied(Run(project / trial.continues), run, (BACKUP, HISTORY), settings)


def _copied(source: Run, run: Run, names: Iterable[str], settings: Settings) -> bool:
    """Copies files of a run, if it had these settings; whether training can go on with them."""
    try:
        if source.settings() != settings:
            return False
        for name in names:
            if (source / name).is_file():
                shutil.copy2(source / name, run / name)
        if not (run / METRICS).is_file():
            run.truncate_history(Backup(run / BACKUP, None).state()["epochs"])
        return True
    except (OSError, UserError):  # what a killed process has left is of no use
        for name in names:
            remove(run / name)
        return False

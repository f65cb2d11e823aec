"""One attempt of a trial: a training run in its own folder, resumed from an earlier attempt."""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import os
import re
import shutil
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import keras

from ...training.config import Settings, load_options, network_arguments
from ...training.run_folder import BACKUP, CONTENTS, HISTORY, METRICS, PLACES, Run
from ...training.setup import prepare
from ...training.train import fit_and_evaluate
from ...utils.errors import ArgumentError, DivergedError, UserError, first_line
from ...utils.files import remove, write_errors
from ..job.job import Job
from .project import JOB, Project
from .summary import train_command
from .trial import Trial

if TYPE_CHECKING:
    from ...data import Dataset

SPLIT = "validation"


def run_trial(config: dict[str, Any], content: dict[str, Any], folder: str) -> dict[str, Any]:
    """Runs a new attempt of a trial in whichever process an executor has chosen.

    Args:
        config: Result of `Job.get_config`.
        content: Attributes of the `Trial`.
        folder: Project folder.

    Returns:
        Result of `run_attempt`, with the attributes of `Trial` that tell where it ran.

    Raises:
        UserError: This machine does not see the project folder, or cannot write to it.
    """
    where = f"{socket.gethostname()}:{os.getpid()}"
    project, trial = Project(folder), Trial(**content)
    if not (project / JOB).is_file():
        raise ArgumentError("project", "shared by all machines", hint=f": {where} has no {folder}.")
    job, dataset = _prepared(json.dumps(config))
    trial.attempt = project.make_attempt(trial.id)
    trial.folder = str(project.attempt_folder(trial.id, trial.attempt))
    values = job.space.summary(trial.values)
    print(f"trial {trial.id}, attempt {trial.attempt}: {values}", flush=True)
    try:
        outcome = run_attempt(trial, job, project, dataset)
    finally:
        keras.utils.clear_session()
        gc.collect()
    return {**outcome, "attempt": trial.attempt, "folder": trial.folder, "worker": where}


@functools.lru_cache(maxsize=1)
def _prepared(config: str) -> tuple[Job, Dataset]:
    """The job and its data, which a process keeps for its next trials."""
    from ...data import load

    job = Job.from_config(json.loads(config))
    return job, load(job.data, **load_options(job), progress=False)


def run_attempt(
    trial: Trial,
    job: Job,
    project: Project,
    dataset: Dataset,
    *,
    log: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Trains and evaluates the network of a trial in `trial.folder`.

    Resumes from the last complete epoch of the latest attempt with the same settings, or of the
    trial that this one continues. Earlier folders are not changed.

    Args:
        trial: `Trial` with its attempt and folder.
        job: The `Job`.
        project: The `Project`.
        dataset: The `Dataset` of the job.
        log: Called with one log line per epoch.

    Returns:
        Dict of attributes of `Trial`: the result, or `error` and, unless the loss diverged,
        `traceback`.

    Raises:
        UserError: The folder cannot be written, which is not a failure of the trial.
    """
    began = time.monotonic()
    try:
        with write_errors(project / cast(str, trial.folder)):
            metrics = _train(trial, project, dataset, log)
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
    return Settings(**trial.settings)


def _failure(error: BaseException) -> dict[str, str]:
    """The error of a failed attempt, with a traceback unless the loss diverged."""
    if isinstance(error, DivergedError):
        return {"error": first_line(error)}
    line = first_line(error)
    if not isinstance(error, UserError):
        line = f"{type(error).__name__}: {_layer_error(error) or line}"
    return {"error": line, "traceback": "".join(traceback.format_exception(error))}


def _layer_error(error: BaseException) -> str | None:
    """The error of a layer, which Keras prints in bold below a line that names the layer."""
    found = re.search(r"\x1b\[1m(.+?)\x1b\[0m", str(error), re.DOTALL)
    return found and found[1].splitlines()[0]


def _train(
    trial: Trial, project: Project, dataset: Dataset, log: Callable[[str], object]
) -> dict[str, Any]:
    """Trains the network, unless an earlier attempt has; returns the content of metrics.json."""
    run = Run(project / cast(str, trial.folder))
    run.path.mkdir(parents=True, exist_ok=True)
    with run.owned():
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
    """Copies the files of an earlier run of the same training, if there is one."""
    for folder in reversed(project.attempts(trial.id)):
        if folder != run.path and _copy(Run(folder), run, CONTENTS, settings):
            return
    if trial.continues is not None:
        _copy(Run(project / trial.continues), run, (BACKUP, HISTORY), settings)


def _copy(source: Run, run: Run, names: Iterable[str], settings: Settings) -> bool:
    """Copies the files of a run with these settings; whether training can be resumed from them."""
    try:
        places = {name: getattr(settings, name) for name in PLACES}
        if dataclasses.replace(source.settings(), **places) != settings:
            return False
        for name in names:
            if (source / name).is_file():
                shutil.copy2(source / name, run / name)
        if not (run / METRICS).is_file():
            run.truncate_history()
        return True
    except (OSError, UserError):  # files of a killed process may be incomplete
        for name in names:
            remove(run / name)
        return False

"""The process of one run: `python -m keras_deep_rnn.experiments.worker JOB`.

JOB is JSON. Messages to the runner are lines of JSON on stdout: {"line": ...} is a log line,
{"epochs": ..., "all_epochs": ..., "seconds": ...} the progress, {"error": ...} the reason of a
failure. A process per run frees all memory at its end and can be bound to cores.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.backend import start_backend
from ..utils.errors import DivergedError, UserError
from ..utils.files import remove, write_json
from ..utils.types import Log
from .experiment import load

if TYPE_CHECKING:
    from ..training.run_folder import Run

# Metrics of an unfinished run, in its folder.
PARTIAL = "partial.json"


def run_one(job: dict[str, Any], send: Callable[[dict[str, Any]], object]) -> None:
    """Trains or resumes a run, or evaluates an unfinished one.

    Args:
        job: Dict with "task", "network", "recipe", "seed", "run" (its folder), "folders" of the
            data, "overwrite", "measure_only", and "parent", the id of the runner's process.
        send: Called with one message at a time.

    Raises:
        UserError: As for `training.train` and `training.resume`.
        DivergedError: The loss became infinite or not a number.
    """
    from ..training import train as training
    from ..training.run_folder import Run

    experiment = load(job["task"], job["network"], job["recipe"])
    run = Run(job["run"])

    def log(line: str) -> None:
        if os.getppid() != job["parent"]:
            os._exit(1)  # the runner was killed
        rows = run.history()
        if rows:
            seconds = float(np.median([row["seconds"] for row in rows]))
            epochs = {"epochs": len(rows), "all_epochs": run.settings().epochs}
            send({**epochs, "seconds": seconds})
        send({"line": line})

    settings = experiment.settings_of(job["seed"], **job["folders"])
    requested = {**experiment.settings, "seed": job["seed"], **job["folders"]}
    if job["measure_only"]:
        evaluate_unfinished(run, requested, log)
    elif run.exists() and not job["overwrite"]:
        training.resume(run.path, requested=requested, command=experiment.command, log=log)
    else:
        command = experiment.command
        training.train(settings, run.path, overwrite=job["overwrite"], command=command, log=log)


def evaluate_unfinished(run: "Run", requested: dict[str, Any], log: Log) -> None:
    """Evaluates the best weights so far of an unfinished run, which can still be resumed.

    Args:
        run: `Run`.
        requested: Settings that the run must have.
        log: Called with one line at a time.
    """
    from ..training import train as training
    from ..training.run_folder import METRICS, MODEL

    metrics = training.resume(run.path, requested=requested, log=log, evaluate_only=True)
    write_json(run / PARTIAL, metrics)
    for name in (METRICS, MODEL):
        remove(run / name)


def main() -> None:
    """Runs the job of the command line; the exit code is 1 if it fails."""
    job = json.loads(sys.argv[1])
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    Path(job["run"]).parent.mkdir(parents=True, exist_ok=True)

    def send(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    try:
        start_backend()
        run_one(job, send)
    except (UserError, DivergedError) as error:
        send({"error": str(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()

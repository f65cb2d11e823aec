"""The process of one training: `python -m keras_deep_rnn.experiments.worker JOB`.

JOB is JSON. What happens is told on the standard output, a line of JSON each: {"line": ...} is for
the reader, {"epochs": ..., "of": ..., "seconds": ...} how far the training is, {"error": ...} why
there is none. A process of its own gives back all of its memory, and takes the cores it was given.
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

# What an unfinished run has reached, measured; beside the other files of its folder.
PARTIAL = "partial.json"


def run_one(job: dict[str, Any], tell: Callable[[dict[str, Any]], object]) -> None:
    """Trains one run, goes on with it, or measures what it has reached.

    Args:
        job: Dict with "task", "network", "recipe", "seed", "run" (its folder), "places" of the
            data, "overwrite", and "measure_only" for an unfinished run.
        tell: Function of a dict.

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
            os._exit(1)  # what is to read this has been killed
        rows = run.history()
        if rows:
            seconds = float(np.median([row["seconds"] for row in rows]))
            tell({"epochs": len(rows), "of": run.settings().epochs, "seconds": seconds})
        tell({"line": line})

    settings = experiment.settings_of(job["seed"], **job["places"])
    told = {**experiment.settings, "seed": job["seed"], **job["places"]}
    if job["measure_only"]:
        measure_unfinished(run, told, log)
    elif run.exists() and not job["overwrite"]:
        training.resume(run.path, requested=told, command=experiment.command, log=log)
    else:
        command = experiment.command
        training.train(settings, run.path, overwrite=job["overwrite"], command=command, log=log)


def measure_unfinished(run: "Run", told: dict[str, Any], log: Log) -> None:
    """Measures an unfinished run with its best weights so far, and leaves it as it was.

    Args:
        run: `Run`.
        told: Dict of the settings that it must have.
        log: Called with one line at a time.
    """
    from ..training import train as training
    from ..training.run_folder import METRICS, MODEL

    metrics = training.resume(run.path, requested=told, log=log, evaluate_only=True)
    write_json(run / PARTIAL, metrics)
    for name in (METRICS, MODEL):
        remove(run / name)


def main() -> None:
    """Runs the job that the command line holds; exit code 1 if it fails."""
    job = json.loads(sys.argv[1])
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    Path(job["run"]).parent.mkdir(parents=True, exist_ok=True)

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    try:
        start_backend()
        run_one(job, tell)
    except (UserError, DivergedError) as error:
        tell({"error": str(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()

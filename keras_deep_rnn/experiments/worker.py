"""`run_one`: one run of an experiment, in a process of an executor."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .experiment import Experiment


def run_one(
    experiment: "Experiment", seed: int, path: str, lines: str, options: dict[str, Any]
) -> None:
    """Trains or resumes a run, or evaluates an unfinished one.

    Args:
        experiment: `Experiment`.
        seed: Seed of the run.
        path: Run folder.
        lines: File of the lines that the training logs.
        options: Dict with "folders" of the data, "overwrite" and "measure_only".

    Raises:
        UserError: As for `training.train` and `training.resume`.
        DivergedError: The loss became infinite or not a number.
    """
    from ..training import train as training
    from ..training.run_folder import Run

    run, overwrite, folders = Run(path), options["overwrite"], options["folders"]
    Path(lines).parent.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        with open(lines, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    requested = {**experiment.expected, "seed": seed, **folders}
    if options["measure_only"]:
        training.resume(run.path, requested=requested, log=log, evaluate_only=True)
    elif run.exists() and not overwrite:
        training.resume(run.path, requested=requested, command=experiment.command, log=log)
    else:
        settings, command = experiment.settings_of(seed, **folders), experiment.command
        training.train(settings, run.path, overwrite=overwrite, command=command, log=log)

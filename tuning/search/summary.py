"""What is said of a search while it runs and after it: the best so far, a line a trial, a table."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...training.config import load_options
from ...training.results import COLUMNS
from ...utils.errors import UserError
from ...utils.files import finite, write_json
from ...utils.text import as_option, duration
from .analysis import count, describe, dropouts, measured, rank, varies
from .project import BEST
from .trial import ENDED, FAILED, Trial, best_of

if TYPE_CHECKING:
    from ..job.job import Job


def write_best(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> None:
    """Writes PROJECT/best.json: the best trial so far, how it was made and how to make it again.

    Args:
        folder: The project folder.
        job: Complete `Job`.
        trials: List of `Trial`; without a completed one nothing is written.
    """
    from ...training.run_folder import Run, versions  # Keras, whose import takes seconds

    folder, best = Path(folder), best_of(measured(trials))
    if best is None:
        return
    counts = count(trials)
    try:
        made_by = Run(folder / cast(str, best.folder)).config["versions"]
    except (UserError, KeyError, TypeError):
        made_by = versions()
    content = {
        "id": best.id,
        "objective": job.objective,
        "score": best.score,
        "metrics": best.metrics,
        "values": best.values,
        "settings": best.settings,
        "parameters": best.parameters,
        "seed": best.seed,
        "folder": best.folder,
        "epochs": best.epochs,
        "best_epoch": best.best_epoch,
        "until": best.until,
        "ended": sum(counts[status] for status in ENDED),
        "failed": counts[FAILED],
        "command": command_of(job, best),
        "versions": made_by,
    }
    content = json.loads(json.dumps(finite(content), allow_nan=False))
    # Another process may report on a search that is led here: it leaves alone what is the same.
    if not _holds(folder / BEST, content):
        write_json(folder / BEST, content)


def command_of(job: Job, trial: Trial) -> str:
    """The command line that trains a trial again, on the data where the job has it now."""
    return train_command({**trial.settings, "data": job.data, **load_options(job)})


def train_command(settings: Mapping[str, Any]) -> str:
    """The command line that trains a network with these settings.

    Args:
        settings: Dict of attributes of `Settings`, the data and its places included.

    Example:

    >>> train_command({"data": "my tunes", "units": 20, "output_units": [9, 9], "clipnorm": None})
    "deep-rnn train --data 'my tunes' --units 20 --output-units 9,9"
    """
    words = ["deep-rnn", "train"]
    for name, value in settings.items():
        if value is None or value is False or value in ([], ()):
            continue
        words.append(as_option(name))
        if isinstance(value, (list, tuple)):
            words.append(",".join(map(str, value)))
        elif value is not True:
            words.append(str(value))
    return shlex.join(words)


def records(job: Job, trials: Sequence[Trial]) -> dict[str, Any]:
    """The search and every trial as plain values; numbers that are not finite are None."""
    best = best_of(measured(trials))
    content = {
        "job": job.get_config(),
        "objective": job.objective,
        "counts": count(trials),
        "best": None if best is None else best.id,
        "trials": [{**dataclasses.asdict(trial), "seed": trial.seed} for trial in trials],
    }
    return finite(content)


def table(job: Job, trials: Sequence[Trial]) -> tuple[str, list[str], list[list[str]], list[str]]:
    """The trials as a table, the best first, then those that run, wait and failed.

    Args:
        job: Complete `Job`.
        trials: List of `Trial`.

    Returns:
        Title, titles of the columns, rows of strings, and lines that explain them.
    """
    counts, best, size = count(trials), best_of(measured(trials)), job.size()
    told = [f"{number} {status.lower()}" for status, number in counts.items() if number]
    title = f"{Path(job.data).name}, {len(trials)}{f' of {size}' if size else ''} trials"
    title += f": {', '.join(told)}" if told else ""
    columns = ["id", "status", "score", "network", "parameters", "epochs", "seconds", "seed"]
    rows = [
        [
            trial.id + ("*" if trial is best else ""),
            trial.status.lower(),
            _score(trial),
            "\n".join([describe(job, trial), *(trial.error or "").splitlines()[:1]]),
            f"{trial.parameters:,}",
            "" if trial.epochs is None else f"{trial.best_epoch or '-'}/{trial.epochs}",
            "" if trial.seconds is None else f"{trial.seconds:,.1f}",
            str(trial.seed),
        ]
        for trial in sorted(trials, key=rank)
    ]
    notes = [f"score: {job.objective} on the validation split, the less the better"]
    if job.objective in COLUMNS:
        notes[0] += f": {COLUMNS[job.objective][1]}"
    if any(trial.epochs is not None for trial in trials):
        notes.append("epochs: the one whose weights were kept/all that were trained")
    fixed = [f"{entry.name} {entry.default}" for entry in job.space if not varies(entry)]
    if fixed:
        notes.append(f"the same for every network that has it: {', '.join(fixed)}")
    if dropouts(job):
        notes.append(f"drop: {'/'.join(dropouts(job))}")
    if best is not None:
        notes.append(f"* the best; {BEST} has the command that trains it again")
    return title, columns, rows, notes


def progress_line(
    job: Job, trial: Trial, trials: Sequence[Trial], left: float | None = None
) -> str:
    """What is shown when a trial has ended: a line on the search, and one on the network.

    Args:
        job: Complete `Job`.
        trial: The `Trial`.
        trials: List of all `Trial`s so far.
        left: Seconds that the rest of the search will take; None if that is not known.
    """
    counts, best, size = count(trials), best_of(measured(trials)), job.size()
    ended = str(sum(counts[status] for status in ENDED))
    done = ended if size is None else f"{ended:>{len(str(size))}}/{size}"
    told = [describe(job, trial)]
    if trial.status == FAILED:
        parts = [done, trial.id, "failed"]
        told.append(trial.error or "")
    else:
        parts = [done, trial.id, f"score {_score(trial)}"]
    if trial is best:
        parts.append("the best so far")
    elif best is not None:
        parts.append(f"best {_score(best)} ({best.id})")
    if trial.seconds is not None:
        parts.append(duration(trial.seconds))
    if counts[FAILED]:
        parts.append(f"{counts[FAILED]} failed")
    if left:
        parts.append(f"{duration(left)} left")
    indent = " " * (len(done) + 2)
    return "\n".join(["  ".join(parts), *(indent + line for line in told)])


def _holds(path: Path, content: Any) -> bool:
    try:
        return json.loads(path.read_text(encoding="utf-8")) == content
    except (OSError, ValueError):
        return False


def _score(trial: Trial) -> str:
    return f"{trial.score:.4f}" if measured([trial]) else ""

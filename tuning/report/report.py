"""`write_report`: the report of a search as CSV, JSON, HTML and TensorBoard event logs."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils.files import finite, replacing, write_errors, write_json
from ...utils.text import csv_cell
from ..search.analysis import solved
from ..search.project import REPORT
from ..search.summary import records, write_best
from ..search.trial import Trial

if TYPE_CHECKING:
    from ..job.job import Job

TABLE, RECORDS = "trials.csv", "trials.json"


def write_report(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> None:
    """Writes PROJECT/report/ and best.json.

    trials.csv, trials.json and index.html have all trials; tensorboard/ has them for TensorBoard's
    HParams.

    Args:
        folder: Project folder.
        job: Complete `Job`.
        trials: List of `Trial`, in any order.

    Raises:
        UserError: A file cannot be written, or an extra is not installed.
    """
    folder, trials = Path(folder), sorted(trials, key=lambda trial: trial.id)
    report = folder / REPORT
    with write_errors(report):
        report.mkdir(parents=True, exist_ok=True)
    _write_table(report / TABLE, job, trials)
    write_json(report / RECORDS, records(job, trials))
    write_best(folder, job, trials)

    from .event_logs import write_event_logs
    from .page import write_page

    write_page(folder, job, trials)
    write_event_logs(folder, job, trials)


def _write_table(path: Path, job: Job, trials: Sequence[Trial]) -> None:
    names = job.space.names
    widths = [] if job.budget is None else ["units", "deep_units"]
    last = ("worker", "started", "ended", "folder", "error")
    numbers = ("parameters", "epochs", "best_epoch", "seconds", "seed", "retries")
    columns = ["id", "status", "score", *names, *widths, *numbers, *last]
    with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for trial in trials:
            record = {**dataclasses.asdict(trial), "seed": trial.seed}
            row = finite({**record, **trial.values, **solved(job, trial)})
            writer.writerow({name: csv_cell(value) for name, value in row.items()})

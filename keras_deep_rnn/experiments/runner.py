"""Trains the missing runs of experiments and writes their records."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..training.run_folder import METRICS, Run
from ..utils.errors import DivergedError, UserError
from ..utils.executor import Executor, WorkerLost
from ..utils.local_executor import LocalExecutor
from ..utils.ray_executor import RayExecutor
from ..utils.text import duration
from ..utils.types import Log, PathLike
from ..utils.validation import positive_integer
from . import records
from .experiment import Experiment
from .worker import run_one

# Seconds between two looks at the lines of the trainings.
PAUSE = 1.0


@dataclasses.dataclass
class Job:
    """One run of an experiment and its progress."""

    experiment: Experiment
    seed: int
    run: Run
    epochs: int = 0
    all_epochs: int = 0
    seconds: float = 0.0  # per epoch
    error: str | None = None
    _read: int = 0  # bytes of the lines

    def __str__(self) -> str:
        return f"{self.experiment.name} seed {self.seed}"

    @property
    def lines(self) -> Path:
        """File of the lines that its training logs."""
        return self.run.path.with_suffix(".log")

    @property
    def arguments(self) -> tuple[Experiment, int, str, str]:
        """The first arguments of `run_one`; other processes may have another working folder."""
        run, lines = self.run.path.absolute(), self.lines.absolute()
        return self.experiment, self.seed, str(run), str(lines)

    def start(self) -> None:
        """Notes where the lines of an earlier training end."""
        self._read = self.lines.stat().st_size if self.lines.exists() else 0

    def news(self) -> list[str]:
        """The lines that were logged since the last call; notes how far the training is."""
        if not self.lines.exists():
            return []
        with open(self.lines, encoding="utf-8") as file:
            file.seek(self._read)
            new = file.read()
            self._read = file.tell()
        rows = self.run.history() if new else []
        if rows:
            self.epochs, self.all_epochs = len(rows), cast(int, self.run.settings().epochs)
            self.seconds = float(np.median([row["seconds"] for row in rows]))
        return new.splitlines()

    @property
    def seconds_left(self) -> float | None:
        """Upper bound of the remaining seconds; None before the first epoch has ended."""
        return self.seconds * (self.all_epochs - self.epochs) if self.all_epochs else None


def reproduce(
    experiments: Sequence[Experiment],
    *,
    runs: PathLike,
    results: PathLike,
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    folders: dict[str, Any] | None = None,
    overwrite: bool = False,
    measure_only: bool = False,
    ensemble: bool = False,
    log: Log = print,
) -> list[records.Record]:
    """Trains the missing runs of experiments and writes the record of each.

    Args:
        experiments: List of `Experiment`.
        runs: Folder of the run folders, <task>/<network>-<recipe>/seed-<seed>.
        results: Folder of the records.
        seeds: Seeds to run; None for those of the experiments.
        jobs: Number of concurrent trainings, each a process with its share of the cores.
        cluster: Address of a Ray cluster whose machines share the folders; None: this machine.
        folders: `manual_dir` and `data_dir` of the settings, or None for either.
        overwrite: Whether to retrain finished and unfinished runs.
        measure_only: Whether to evaluate the best weights so far of unfinished runs, without any
            training.
        ensemble: Whether to evaluate the finished runs of each experiment together.
        log: Called with one line at a time.

    Returns:
        List of the written records.

    Raises:
        UserError: A run failed; the others are trained and have their records.
    """
    positive_integer("jobs", jobs)
    all_jobs = [
        Job(experiment, seed, records.folder_of(runs, experiment, seed))
        for experiment in experiments
        for seed in seeds or experiment.seeds
    ]
    pending = [job for job in all_jobs if overwrite or not (job.run / METRICS).is_file()]
    if measure_only:
        pending = [job for job in pending if job.run.exists()]
    log(f"{len(pending)} of {len(all_jobs)} runs to do")
    options = {
        "folders": {name: str(value) for name, value in (folders or {}).items() if value},
        "overwrite": overwrite,
        "measure_only": measure_only,
    }
    if pending:
        if cluster is None:
            executor = LocalExecutor(jobs, Path(runs, "logs"), tasks=1)
        else:
            executor = RayExecutor(cluster, most=jobs, tasks=1)
        try:
            for job in _run_jobs(pending, executor, options, log):
                with contextlib.suppress(UserError):  # which the end raises
                    records.write(results, job.experiment, runs)
        finally:
            executor.stop()
    written, unwritten = list[records.Record | None](), list[UserError]()
    for experiment in experiments:
        try:
            record = records.write(results, experiment, runs)
            records.keep_weights(results, experiment, runs)
            if record is not None and ensemble:
                record = records.add_ensemble(results, experiment, runs, **options["folders"])
            written.append(record)
        except UserError as error:
            unwritten.append(error)
    failed = [job for job in pending if job.error]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(pending)} runs failed; {failed[0]}: {failed[0].error}"
        )
    if unwritten:
        raise unwritten[0]
    return [record for record in written if record is not None]


def _run_jobs(
    pending: list[Job], executor: Executor, options: dict[str, Any], log: Log
) -> Iterator[Job]:
    """Runs jobs, some at a time, and yields each when it has ended."""
    waiting, running, done = list(pending), dict[Any, Job](), list[Job]()
    while waiting or running:
        slots = executor.slots()
        while waiting and len(running) < slots:
            job = waiting.pop(0)
            job.start()
            running[executor.submit(run_one, *job.arguments, options)] = job
        results = executor.ended(PAUSE)
        for job in running.values():
            for line in job.news():
                left = time_left(list(running.values()), waiting, done, max(1, slots))
                part = f"{len(done) + 1}/{len(pending)}"
                log(f"[{part}] {job} | {line} | all: about {duration(left)} left")
        for task, result in results.items():
            job = running.pop(task)
            try:
                result()
            except (UserError, DivergedError) as error:
                job.error = str(error)
            except WorkerLost as loss:
                job.error = f"its process {loss}"
            done.append(job)
            log(f"{job}: {job.error or 'finished'}")
            yield job


def time_left(
    running: Sequence[Job], waiting: Sequence[Job], done: Sequence[Job], jobs: int
) -> float:
    """Estimates the seconds until all jobs have ended.

    Jobs without a timed epoch take the minutes of their experiment, scaled by the median ratio of
    measured and estimated time of the others.

    Args:
        running: Jobs that are running.
        waiting: Jobs that are to be run.
        done: Jobs that have ended.
        jobs: Number of concurrent jobs.
    """
    timed = [job for job in (*running, *done) if job.all_epochs]
    ratios = [job.seconds * job.all_epochs / (60 * job.experiment.minutes) for job in timed]
    ratio = float(np.median(ratios)) if ratios else 1.0

    def left(job: Job) -> float:
        known = job.seconds_left
        return 60 * job.experiment.minutes * ratio if known is None else known

    return max([sum(map(left, (*running, *waiting))) / jobs, *map(left, running)])

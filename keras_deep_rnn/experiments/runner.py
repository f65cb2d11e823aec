"""Trains the missing runs of experiments and writes their records."""

import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..recurrence import available_cores
from ..training.run_folder import METRICS, Run
from ..utils.errors import UserError
from ..utils.text import duration
from ..utils.types import Log, PathLike
from ..utils.validation import positive_integer
from . import records
from .experiment import Experiment

# Seconds from the termination of a training to its kill.
GRACE_PERIOD = 10


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

    def __str__(self) -> str:
        return f"{self.experiment.name} seed {self.seed}"

    @property
    def seconds_left(self) -> float | None:
        """Upper bound of the remaining seconds; None before the first epoch has ended."""
        return self.seconds * (self.all_epochs - self.epochs) if self.all_epochs else None


# Messages of the processes of jobs; None at the end of one.
Messages: TypeAlias = queue.SimpleQueue[tuple[Job, dict[str, Any] | None]]


def folder_of(runs: PathLike, experiment: Experiment, seed: int) -> Run:
    """Folder of the run of an experiment with a seed."""
    return Run(Path(runs, *experiment.name.split("/"), f"seed-{seed}"))


def reproduce(
    experiments: Sequence[Experiment],
    *,
    runs: PathLike,
    results: PathLike,
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    folders: dict[str, Any] | None = None,
    overwrite: bool = False,
    measure_only: bool = False,
    log: Log = print,
) -> list[records.Record]:
    """Trains the missing runs of experiments and writes the record of each.

    Args:
        experiments: List of `Experiment`.
        runs: Folder of the run folders, <task>/<network>-<recipe>/seed-<seed>.
        results: Folder of the records.
        seeds: Seeds to run; None for those of the experiments.
        jobs: Number of concurrent trainings, each a process with its share of the cores.
        folders: `manual_dir` and `data_dir` of the settings, or None for either.
        overwrite: Whether to retrain finished and unfinished runs.
        measure_only: Whether to evaluate the best weights so far of unfinished runs, without any
            training.
        log: Called with one line at a time.

    Returns:
        List of the written records.

    Raises:
        UserError: A run failed; the others are trained and have their records.
    """
    positive_integer("jobs", jobs)
    all_jobs = [
        Job(experiment, seed, folder_of(runs, experiment, seed))
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
        "parent": os.getpid(),
    }
    for job in _run_jobs(pending, jobs, options, log):
        records.write(results, job.experiment, runs)
    written = [records.write(results, experiment, runs) for experiment in experiments]
    failed = [job for job in pending if job.error]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(pending)} runs failed; {failed[0]}: {failed[0].error}"
        )
    return [record for record in written if record is not None]


def _run_jobs(pending: list[Job], jobs: int, options: dict[str, Any], log: Log) -> Iterator[Job]:
    """Runs jobs, some at a time, and yields each when it has ended."""
    waiting, running, done = list(pending), {}, []
    messages, cores = queue.SimpleQueue(), _cores(jobs)
    try:
        while waiting or running:
            while waiting and cores:
                job, own = waiting.pop(0), cores.pop(0)
                running[id(job)] = (job, own, _start(job, own, options, messages))
            job, message = messages.get()
            if message is None:
                _, own, process = running.pop(id(job))
                cores.append(own)
                if process.wait() and not job.error:
                    job.error = f"ended with {process.returncode}, see {_log_file(job)}"
                done.append(job)
                log(f"{job}: {job.error or 'finished'}")
                yield job
            elif "line" in message:
                left = time_left([job for job, *_ in running.values()], waiting, done, jobs)
                part = f"{len(done) + 1}/{len(pending)}"
                log(f"[{part}] {job} | {message['line']} | all: about {duration(left)} left")
            else:
                vars(job).update(message)
    finally:
        for _, _, process in running.values():
            process.terminate()
        for _, _, process in running.values():
            try:
                process.wait(GRACE_PERIOD)
            except subprocess.TimeoutExpired:
                process.kill()


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


def _cores(jobs: int) -> list[list[int]]:
    """Cores of each concurrent training; an empty list stands for all."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    return [cores[i::jobs] or [cores[i % available_cores()]] for i in range(jobs)]


def _log_file(job: Job) -> Path:
    return job.run.path.with_suffix(".log")


def _start(
    job: Job, cores: list[int], options: dict[str, Any], messages: Messages
) -> subprocess.Popen[str]:
    """Starts the process of a job, and a thread that puts its messages into the queue."""
    cell = {name: getattr(job.experiment, name) for name in ("task", "network", "recipe")}
    content = {**cell, "seed": job.seed, "run": str(job.run.path), "cores": cores, **options}
    job.run.path.parent.mkdir(parents=True, exist_ok=True)
    with open(_log_file(job), "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", json.dumps(content)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    lines = process.stdout
    assert lines is not None  # a pipe

    def listen() -> None:
        with lines:
            for line in lines:
                if line.startswith("{"):
                    messages.put((job, json.loads(line)))
        messages.put((job, None))

    threading.Thread(target=listen, daemon=True).start()
    return process

"""Trains the runs of experiments that are still to be trained, and keeps the records."""

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

# Seconds that an interrupted training gets to end by itself.
GRACE = 10


@dataclasses.dataclass
class Job:
    """One run of an experiment, and how far it is."""

    experiment: Experiment
    seed: int
    run: Run
    epochs: int = 0
    of: int = 0
    seconds: float = 0.0  # of an epoch
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.experiment.name} seed {self.seed}"

    @property
    def left(self) -> float | None:
        """Seconds of training that are left at most, once an epoch has been timed; else None."""
        return self.seconds * (self.of - self.epochs) if self.of else None


# What a job's process tells; None at its end.
Messages: TypeAlias = queue.SimpleQueue[tuple[Job, dict[str, Any] | None]]


def folder_of(runs: PathLike, experiment: Experiment, seed: int) -> Run:
    """The folder of one run below the folder of all runs."""
    return Run(Path(runs, *experiment.name.split("/"), f"seed-{seed}"))


def reproduce(
    experiments: Sequence[Experiment],
    *,
    runs: PathLike,
    results: PathLike,
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    places: dict[str, Any] | None = None,
    overwrite: bool = False,
    measure_only: bool = False,
    log: Log = print,
) -> list[records.Record]:
    """Trains what is not trained yet and writes the record of every experiment.

    Args:
        experiments: List of `Experiment`.
        runs: Folder of the run folders, <task>/<network>-<recipe>/seed-<seed>.
        results: Folder of the records.
        seeds: Seeds to run in place of the experiments' own; None for those.
        jobs: Number of trainings at a time, each a process with its share of the cores.
        places: Dict with `data_path` and `data_dir`, as far as they are needed.
        overwrite: Whether finished and unfinished runs are trained anew.
        measure_only: Whether unfinished runs are only measured, with the best weights so far.
        log: Called with one line at a time.

    Returns:
        List of the records written.

    Raises:
        UserError: A run failed; the others have been trained, and have their records.
    """
    positive_integer("jobs", jobs)
    every = [
        Job(experiment, seed, folder_of(runs, experiment, seed))
        for experiment in experiments
        for seed in seeds or experiment.seeds
    ]
    pending = [job for job in every if overwrite or not (job.run / METRICS).is_file()]
    if measure_only:
        pending = [job for job in pending if job.run.exists()]
    log(f"{len(every)} runs, {len(every) - len(pending)} of them finished or not to be run now")
    options = {
        "places": {name: str(value) for name, value in (places or {}).items() if value},
        "overwrite": overwrite,
        "measure_only": measure_only,
        "parent": os.getpid(),
    }
    for job in _trained(pending, jobs, options, log):
        records.write(results, job.experiment, runs)
    written = [records.write(results, experiment, runs) for experiment in experiments]
    failed = [job for job in pending if job.error]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(pending)} runs failed; {failed[0]}: {failed[0].error}"
        )
    return [record for record in written if record is not None]


def _trained(pending: list[Job], jobs: int, options: dict[str, Any], log: Log) -> Iterator[Job]:
    """Gives out each job when it has ended."""
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
                    job.error = f"ended with {process.returncode}, see {_log(job)}"
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
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()


def time_left(
    running: Sequence[Job], waiting: Sequence[Job], done: Sequence[Job], jobs: int
) -> float:
    """About how many seconds all runs still take.

    What is waiting takes what its experiment says, times how much longer or shorter than they say
    those take that have been timed.

    Args:
        running: List of `Job`.
        waiting: List of `Job`.
        done: List of `Job`.
        jobs: Number of trainings at a time.
    """
    timed = [job for job in (*running, *done) if job.of]
    ratios = [job.seconds * job.of / (60 * job.experiment.minutes) for job in timed]
    ratio = float(np.median(ratios)) if ratios else 1.0
    own = [60 * job.experiment.minutes * ratio if job.left is None else job.left for job in running]
    later = sum(60 * job.experiment.minutes * ratio for job in waiting)
    return max([(sum(own) + later) / jobs, *own])


def _cores(jobs: int) -> list[list[int]]:
    """Of each training at a time the cores to run on; an empty list leaves it all of them."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    return [cores[i::jobs] or [cores[i % available_cores()]] for i in range(jobs)]


def _log(job: Job) -> Path:
    return job.run.path.with_suffix(".log")


def _start(
    job: Job, cores: list[int], options: dict[str, Any], messages: Messages
) -> subprocess.Popen[str]:
    """Starts the process of a job; its messages, and None at its end, go into the queue."""
    where = {name: getattr(job.experiment, name) for name in ("task", "network", "recipe")}
    content = {**where, "seed": job.seed, "run": str(job.run.path), "cores": cores, **options}
    job.run.path.parent.mkdir(parents=True, exist_ok=True)
    with open(_log(job), "a") as log:
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

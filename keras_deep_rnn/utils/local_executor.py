"""`LocalExecutor`: runs tasks in processes of this machine."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from .errors import UserError
from .executor import TASKS, WorkerLost
from .processes import end_with, places


@dataclasses.dataclass
class _Slot:
    """A process of this machine."""

    log: Path
    cores: list[int]
    environment: dict[str, str]
    pool: concurrent.futures.ProcessPoolExecutor | None = None
    process: Any = None
    tasks: int = 0


class LocalExecutor:
    """Runs tasks on this machine, each in a process with a share of its cores, or a GPU.

    Every slot has a pool of one process, so that a killed process costs one task. The processes are
    spawned: a script that makes this executor does so below `if __name__ == "__main__"`.

    Args:
        count: Number of slots.
        logs: Folder of what the processes print.
        cores: Number of cores of each slot; None: an equal share.
        tasks: Number of tasks of a process before it is replaced.

    Raises:
        UserError: In `submit`, a process cannot start.
    """

    def __init__(
        self, count: int, logs: Path, cores: int | None = None, tasks: int = TASKS
    ) -> None:
        self._tasks = tasks
        self._free = [
            _Slot(logs / f"worker-{i}.log", *place) for i, place in enumerate(places(count, cores))
        ]
        self._running: dict[concurrent.futures.Future[Any], _Slot] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def slots(self) -> int:
        return len(self._free) + len(self._running)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        slot = self._free.pop(0)
        if slot.tasks == self._tasks:
            _end(slot)
        if slot.pool is None:
            _start(slot)
        slot.tasks += 1
        assert slot.pool is not None  # it has started
        try:
            task = slot.pool.submit(function, *arguments)
        except BrokenProcessPool as error:  # it was killed between two tasks
            task = concurrent.futures.Future()
            task.set_exception(error)
        self._running[task] = slot
        return task

    def ended(self, timeout: float) -> dict[Any, Callable[[], Any]]:
        done, _ = concurrent.futures.wait(
            self._running, timeout, concurrent.futures.FIRST_COMPLETED
        )
        if not self._running:
            time.sleep(timeout)
        return {task: self._result(task) for task in done}

    def _result(self, task: concurrent.futures.Future[Any]) -> Callable[[], Any]:
        slot = self._running.pop(task)
        self._free.append(slot)
        if not isinstance(task.exception(), BrokenProcessPool):
            return task.result
        process = slot.process
        _end(slot)  # its thread is the one that learns the exit code
        code = process.exitcode
        how = f"was killed by signal {-code}" if code < 0 else f"has ended with exit code {code}"
        return functools.partial(_raise, WorkerLost(f"{how}, see {slot.log}"))

    def stop(self) -> None:
        for slot in (*self._running.values(), *self._free):
            _end(slot)


def _raise(error: Exception) -> None:
    raise error


def _start(slot: _Slot) -> None:
    slot.pool = concurrent.futures.ProcessPoolExecutor(
        1,
        multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(slot.cores, slot.environment, str(slot.log), os.getpid()),
    )
    try:
        pid = slot.pool.submit(os.getpid).result()
    except BrokenProcessPool:
        slot.pool = None
        raise UserError(f"A worker process cannot start; {slot.log} says why.") from None
    slot.process = next(p for p in multiprocessing.active_children() if p.pid == pid)


def _end(slot: _Slot) -> None:
    if slot.pool is not None:
        slot.process.kill()
        slot.pool.shutdown(cancel_futures=True)
    slot.pool, slot.tasks = None, 0


def _begin(cores: list[int], environment: dict[str, str], log: str, parent: int) -> None:
    """Prepares a process, before any task has imported a backend."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for standard in (1, 2):
        os.dup2(file, standard)
    os.environ.update(environment)
    if cores:
        os.sched_setaffinity(0, cores)

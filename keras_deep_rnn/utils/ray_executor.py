"""`RayExecutor`: runs tasks on a Ray cluster."""

import functools
import logging
import pickle
import time
from collections.abc import Callable
from typing import Any

from .backend import use_threads, without_log
from .errors import ArgumentError, UserError, first_line, missing_extra
from .executor import TASKS, WorkerLost

# Seconds without a new task after one was lost: until then a cluster may send it to the machine
# that is gone.
REST = 5.0


class RayExecutor:
    """Runs tasks on a Ray cluster, on whichever of its machines has cores and GPUs left.

    Args:
        address: Address of the cluster, HOST:PORT, or "auto" for the one of this machine.
        cpus: Cores of each task; None: an equal share of all, for `most` tasks.
        gpus: GPUs of each task; None: the same.
        most: Number of tasks at a time; None: as many as the cluster has room for.
        tasks: Number of tasks of a process before it is replaced.

    Raises:
        ArgumentError: No cluster answers at `address`.
    """

    def __init__(
        self,
        address: str,
        cpus: int | None = None,
        gpus: float | None = None,
        most: int | None = None,
        tasks: int = TASKS,
    ) -> None:
        try:
            import ray
        except ImportError:
            raise missing_extra("ray", "cluster") from None
        try:
            with without_log():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            hint = f": {first_line(error)}"
            raise ArgumentError(
                "cluster", "the address of a Ray cluster, or auto", address, hint
            ) from None
        self._ray, self._most, self._running = ray, most, []
        self._rests_until = time.monotonic()
        have = ray.cluster_resources()
        if cpus is None:
            cpus = max(1, int(have.get("CPU", 0)) // (most or 1))
        if gpus is None:
            gpus = int(have.get("GPU", 0)) // (most or 1)
        self._needs = {"CPU": cpus, "GPU": gpus}
        # A lost task is the caller's to repeat. With GPUs Ray would begin a process for each task.
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=tasks)(
            _with_threads
        )

    def slots(self) -> int:
        if time.monotonic() < self._rests_until:
            return 0
        have = self._ray.cluster_resources()
        room = [int(have.get(name, 0) // need) for name, need in self._needs.items() if need]
        return min(room if self._most is None else [*room, self._most])

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        task = self._task.remote(self._needs["CPU"], pickle.dumps((function, arguments)))
        self._running.append(task)
        return task

    def ended(self, timeout: float) -> dict[Any, Callable[[], Any]]:
        if not self._running:
            time.sleep(timeout)
            return {}
        done, self._running = self._ray.wait(self._running, timeout=timeout)
        return {task: functools.partial(self._result, task) for task in done}

    def _result(self, task: Any) -> Any:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            reason = f"{type(error.cause).__name__}: {first_line(error.cause)}"
            line = "The machines of the cluster must have the same packages as this one"
            raise UserError(f"{line}; a task failed: {reason}") from error
        except self._ray.exceptions.RayError as error:
            self._rests_until = time.monotonic() + REST
            raise WorkerLost(f"was lost: {type(error).__name__}") from error

    def stop(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()


def _with_threads(cores: int, task: bytes) -> Any:
    """Runs a task with as many threads as cores; Ray does not keep a process on its cores."""
    use_threads(cores)
    function, arguments = pickle.loads(task)  # its module may import a backend
    return function(*arguments)

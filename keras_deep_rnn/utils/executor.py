"""`Executor`: where tasks run, each in a slot with cores or GPUs of its own.

`LocalExecutor` has a process for each slot on this machine, `RayExecutor` runs on a Ray cluster.
A task is a function of a module and its arguments, which can be pickled.
"""

from collections.abc import Callable
from typing import Any, Protocol

# Tasks of a process before it is replaced: of a network of 32 units a backend keeps about 30 MB.
TASKS = 8


class WorkerLost(Exception):
    """The process of a task was killed, or its machine was lost."""


class Executor(Protocol):
    """Runs tasks, at most one in a slot."""

    def slots(self) -> int:
        """The number of tasks that can run at a time; that of a cluster changes."""
        ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Starts a task in a free slot and returns its key."""
        ...

    def ended(self, timeout: float) -> dict[Any, Callable[[], Any]]:
        """Waits for tasks to end, at most `timeout` seconds.

        Returns:
            Dict from keys to functions, which return the result of the task, or raise its error or
            `WorkerLost`.
        """
        ...

    def stop(self) -> None:
        """Ends all tasks at once."""
        ...

"""`WorkQueue`: computes requests in threads, so many at a time, while so many wait."""

import asyncio
import concurrent.futures
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

from ...utils.errors import first_line
from ..client.status import Failure


class WorkQueue:
    """The threads of a server.

    Args:
        threads: Number of requests computed at a time; None takes the number of CPU cores.
        waiting: Length of the queue.
        timeout: Time limit of a request in seconds, the queue included.
    """

    def __init__(self, threads: int | None, waiting: int, timeout: float) -> None:
        threads = threads or os.cpu_count() or 1
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "model")
        self._timeout, self._waiting = timeout, waiting
        self._places, self._lock = waiting + threads, threading.Lock()
        self._closed = False

    async def run(self, work: Callable[[float], bytes], seconds: float | None) -> bytes:
        """Calls `work(seconds left)` in a thread.

        Args:
            work: What to call.
            seconds: Time limit of the caller; None for none but that of the server.

        Raises:
            Failure: The queue is full, or `work` has failed; INTERNAL for a bug of the server.
        """
        if self._closed:
            raise _stopping()
        with self._lock:
            if self._places <= 0:
                raise Failure("UNAVAILABLE", f"{self._waiting} requests wait already")
            self._places -= 1
        limit = self._timeout if seconds is None else min(seconds, self._timeout)
        future = self._pool.submit(self._call, work, time.monotonic() + limit)
        future.add_done_callback(self._leave)  # also where the caller has gone meanwhile
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Answers what has not begun with UNAVAILABLE."""
        self._closed = True
        self._pool.shutdown(wait=False)

    def _call(self, work: Callable[[float], bytes], deadline: float) -> bytes:
        if self._closed:
            raise _stopping()
        try:
            return work(deadline - time.monotonic())
        except Failure:
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise Failure("INTERNAL", f"{type(error).__name__}: {first_line(error)}") from None

    def _leave(self, _: object) -> None:
        with self._lock:
            self._places += 1


def _stopping() -> Failure:
    return Failure("UNAVAILABLE", "the server is stopping")

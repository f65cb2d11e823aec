"""`Worker`: asks the chief for trials, trains them and reports their results."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import keras

from ...utils.errors import ArgumentError, Unreachable, UserError
from ...utils.files import write_errors
from ..job.job import Job
from .attempt import run_attempt
from .project import Project, check_worker_id
from .trial import Trial
from .wire import Client

if TYPE_CHECKING:
    from types import FrameType

    from ...data import Dataset
    from ..keras_tuner import HyperDeepRNN

try:
    import psutil
except ModuleNotFoundError:
    from ...utils.errors import missing_extra

    raise missing_extra("psutil", "tuning") from None

# Keras and its backend do not release all memory of a trial. A worker restarts as a new process
# when it has grown by this number of bytes since its first trial.
GROWTH = 150 * 2**20
# Timeout in seconds of a call to the chief, which may run the sampler.
ANSWER = 30.0
# Seconds between two attempts to reach the chief.
AGAIN = 0.5


class Worker:
    """One process that trains the trials of a search, one after the other.

    Args:
        address: "HOST:PORT" of the chief.
        id: Id of the worker in the search. A new process with the same id replaces the former one.
        restart: Restarts this process and does not return.
        connect_timeout: Seconds to wait for a chief that does not answer.
        project: Path of the project folder on this machine; None: the path of the chief.
        log: Called with one log line at a time.
    """

    def __init__(
        self,
        address: str,
        id: str,
        *,
        restart: Callable[[], object],
        connect_timeout: float = 300.0,
        project: str | os.PathLike[str] | None = None,
        log: Callable[[str], object] = print,
    ) -> None:
        self.id = check_worker_id(id)
        self._client = Client(address)
        self._address, self._timeout = address, connect_timeout
        self._restart, self._log = restart, log
        self._session = secrets.token_hex(8)
        self._trial: dict[str, Any] | None = None
        self._heard = time.monotonic()
        path = self._call("hello", who=False)["project"] if project is None else project
        self._project = Project(path)
        self._join()

    def run(self) -> str:
        """Trains trials until the search is over; returns why it is over.

        Raises:
            UserError: The chief does not answer, another worker has this id, or the project folder
                cannot be written.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)
        ended = threading.Event()
        threading.Thread(target=self._send_heartbeats, args=(ended,), daemon=True).start()
        try:
            return self._work(*self._job.prepare())
        finally:
            ended.set()

    def _work(self, job: Job, hyper: HyperDeepRNN) -> str:
        memory, dataset = None, cast("Dataset", hyper.dataset)
        while True:
            answer = self._call("ask")
            if "end" in answer:
                return answer["end"]
            if "wait" in answer:
                time.sleep(answer["wait"])
                continue
            trial = Trial(**answer["trial"])
            self._trial = {"trial": trial.id, "attempt": trial.attempt}
            values = hyper.space.summary(trial.values)
            self._log(f"trial {trial.id}, attempt {trial.attempt}: {values}")
            try:
                outcome = run_attempt(trial, job, self._project, dataset, log=self._log)
            except UserError as error:
                self._call("give_up", **self._trial, reason=str(error))
                raise
            finished, self._trial = self._trial, None
            self._call("tell", **finished, outcome=outcome)
            self._log(f"trial {trial.id}: {outcome.get('error') or outcome['score']}")
            keras.utils.clear_session()
            gc.collect()
            now = psutil.Process().memory_info().rss
            memory = memory or now
            if now - memory > GROWTH:
                self._log(f"has grown by {(now - memory) / 2**20:.0f} MiB and restarts")
                self._restart()

    def _join(self) -> None:
        """Registers with the chief and proves that both share the project folder."""
        nonce = secrets.token_hex(8)
        try:
            self._client.token = self._project.token()
            with write_errors(self._project.path):
                self._project.show_shared(self.id, nonce)
        except UserError as error:
            raise UserError(
                f"The folder of the search, {str(self._project.path)!r}, must be shared by the "
                f"chief at {self._address} and its workers; here: {error}"
            ) from None
        joined = self._call("join", nonce=nonce)
        self._job, self._pause = Job.from_config(joined["job"]), joined["heartbeat"]

    def _call(self, method: str, *, who: bool = True, **message: Any) -> dict[str, Any]:
        """Calls the chief, and waits for it while it is down."""
        if who:
            message.update(worker=self.id, session=self._session)
        while True:
            try:
                answer = self._client.call(method, timeout=ANSWER, **message)
            except Unreachable:
                self._check_patience()
                time.sleep(AGAIN)
            else:
                self._heard = time.monotonic()
                return answer

    def _check_patience(self) -> None:
        if time.monotonic() - self._heard > self._timeout:
            hint = f": no answer from {self._address} for {self._timeout:g} seconds."
            raise ArgumentError("connect", "the address of a running chief", hint=hint)

    def _send_heartbeats(self, ended: threading.Event) -> None:
        """Sends heartbeats, and ends or restarts the process if its trial is obsolete."""
        while not ended.wait(self._pause):
            trial = self._trial
            try:
                answer = self._call("heartbeat", **(trial or {}))
            except UserError as error:
                print(f"Error: {error}", file=sys.stderr, flush=True)
                os._exit(2)
            # Nothing else can interrupt a training step.
            if "end" in answer:
                self._log(answer["end"])
                os._exit(0)
            if trial is not None and not answer["continue"] and trial == self._trial:
                self._log(f"trial {trial['trial']} is no longer this worker's, which restarts")
                self._restart()

    def _leave(self, signum: int, frame: FrameType | None) -> None:
        """Ends at once; other workers resume the trial from the disk."""
        with contextlib.suppress(Unreachable, UserError):
            self._client.call("leave", timeout=2.0, worker=self.id, session=self._session)
        os._exit(128 + signum)


def die_with(parent: int) -> None:
    """Ends this process when its parent has ended.

    Args:
        parent: Process id of the parent.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

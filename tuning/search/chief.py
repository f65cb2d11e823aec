"""`Chief`: assigns the trials of a search to workers and records their results.

Every change is saved before a worker learns of it, so that a killed chief can be resumed. A worker
without a heartbeat for `lease` seconds is lost: its trial is assigned again, as a new attempt, and
messages of the old attempt are ignored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ...training.config import load_options
from ...training.run_folder import BACKUP
from ...utils.errors import ArgumentError, UserError, first_line
from ...utils.files import remove, write_errors
from .oracles import Sampler, Suggestion
from .summary import progress_line, write_best
from .trial import COMPLETED, ENDED, FAILED, RUNNING, WAITING, Trial

if TYPE_CHECKING:
    from ..job.job import Job
    from ..keras_tuner import HyperDeepRNN
    from .project import Project

# Seconds between two heartbeats of a worker, and between two requests of an idle one.
HEARTBEAT = 2.0
ASK_AGAIN = 0.5
# Seconds without a heartbeat after which a worker is lost.
LEASE = 30.0
# Consecutive trials failed by an exception that end a search; workers lost in a trial that fail it.
FAILURES_IN_A_ROW = 3
LOSSES = 3
# Why a complete search is over.
FINISHED = "finished"


@dataclasses.dataclass
class WorkerInfo:
    """What the chief knows of a worker.

    Attributes:
        session: Id of its process.
        seen: Time of its last message, on the chief's clock.
        asked: Whether it has asked for a trial.
        left: Whether it has left, or knows that the search is over.
    """

    session: str
    seen: float
    asked: bool = False
    left: bool = False


class Chief:
    """The process that leads a search.

    Args:
        job: Complete `Job`.
        hyper: Its `HyperDeepRNN`.
        project: `Project` that this process leads.
        log: Called with one log line at a time.
        lease: Seconds without a heartbeat after which a worker is lost.
        keep_running: Whether workers of an earlier chief may still run their trials.
        clock: Returns the time in seconds.

    Attributes:
        trials: Dict from ids to `Trial`s.
        over: Why the search is over; None while it runs.
        error: Exception that has ended the search, or None. Nothing is saved after it.
    """

    def __init__(
        self,
        job: Job,
        hyper: HyperDeepRNN,
        project: Project,
        *,
        log: Callable[[str], object] = print,
        lease: float = LEASE,
        keep_running: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job, self._hyper, self._project = job, hyper, project
        self._log, self._lease, self._clock = log, lease, clock
        self._lock = threading.RLock()
        self._sampler = Sampler(job, hyper.space)
        self._exhausted = False
        self._failures_in_a_row = 0
        self._workers: dict[str, WorkerInfo] = {}
        self._began = clock()
        self.trials: dict[str, Trial] = {}
        self.over: str | None = None
        self.error: Exception | None = None
        state, note = project.load()
        if note:
            log(note)
        if state is not None:
            self._sampler.set_state(state["sampler"])
            self.trials = {trial["id"]: Trial(**trial) for trial in state["trials"]}
        for trial in self._with(RUNNING):
            if not keep_running:
                trial.status = WAITING
        self._check_over()

    @property
    def handlers(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """The methods that workers can call, by name."""
        names = ("hello", "join", "ask", "heartbeat", "tell", "give_up", "leave")
        return {name: getattr(self, name) for name in names}

    def hello(self) -> dict[str, Any]:
        """The project folder of the search."""
        return {"project": str(self._project.path)}

    def join(self, worker: str, session: str, nonce: str) -> dict[str, Any]:
        """Registers a worker. A trial of an earlier process with its id is lost."""
        if not self._project.sees(worker, nonce):
            raise UserError(
                f"The folder of the search, {str(self._project.path)!r}, must be shared by the "
                f"chief and its workers: the chief cannot find the file of {worker} in it."
            )
        with self._lock:
            known = self._workers.get(worker)
            if known is None or known.session != session:
                self._lose(worker, "was restarted")
            self._workers[worker] = WorkerInfo(session, self._clock())
        return {"job": self.job.get_config(), "heartbeat": HEARTBEAT}

    def ask(self, worker: str, session: str) -> dict[str, Any]:
        """The next trial for a worker, the seconds to wait for one, or why the search is over."""
        with self._lock:
            info = self._sender(worker, session)
            info.asked = True
            with self._ended_by_errors():
                self._check_over()
                if self.over is None:
                    trial = self._next(worker)
                    if trial is not None:
                        self._start(trial, worker)
                        return {"trial": dataclasses.asdict(trial)}
                    self._check_over()
            if self.over is not None:
                info.left = True
                return {"end": self.over}
            return {"wait": ASK_AGAIN}

    def heartbeat(
        self, worker: str, session: str, trial: str | None = None, attempt: int | None = None
    ) -> dict[str, Any]:
        """Notes that a worker is alive; whether its trial continues, or why the search is over."""
        with self._lock:
            info = self._sender(worker, session)
            if self.over is not None:
                info.left = True
                return {"end": self.over}
            current = trial is None or self._is_current(trial, attempt)
            if current and trial is not None:
                self._assign(self.trials[trial], worker)
            return {"continue": current}

    def tell(
        self, worker: str, session: str, trial: str, attempt: int, outcome: dict[str, Any]
    ) -> dict[str, Any]:
        """Records the outcome of an attempt; whether it was accepted as the current one."""
        with self._lock:
            self._sender(worker, session)
            if self.error is not None or not self._is_current(trial, attempt):
                return {"accepted": False}
            known = self.trials[trial]
            self._assign(known, worker)
            self._end(known, outcome)
            return {"accepted": self.error is None}

    def give_up(
        self, worker: str, session: str, trial: str, attempt: int, reason: str
    ) -> dict[str, Any]:
        """Ends the search because a worker cannot write to the project folder."""
        with self._lock:
            self._sender(worker, session)
            if self._is_current(trial, attempt):
                self._fail(UserError(reason))
        return {}

    def leave(self, worker: str, session: str) -> dict[str, Any]:
        """Notes that a worker leaves, and frees its trial."""
        with self._lock:
            self._sender(worker, session).left = True
            self._lose(worker, "has left", blame=False)
        return {}

    def lost(self, worker: str, how: str) -> None:
        """Notes that a worker is dead, and frees its trial; `how` completes the log line."""
        with self._lock:
            self._workers.pop(worker, None)
            self._lose(worker, how)

    def asked(self, worker: str) -> bool:
        """Whether a worker has asked for a trial."""
        with self._lock:
            return worker in self._workers and self._workers[worker].asked

    def poll(self) -> None:
        """Frees the trials of lost workers, and ends the search at its time limit."""
        with self._lock:
            now = self._clock()
            for worker, info in list(self._workers.items()):
                if now - info.seen > self._lease:
                    self.lost(worker, f"was silent for {self._lease:g} seconds")
            if now - self._began > self._lease:
                # Workers of an earlier chief that have not returned.
                for trial in self._with(RUNNING):
                    if trial.worker not in self._workers:
                        trial.status = WAITING
            limit = self.job.max_minutes
            if limit is not None and now - self._began > 60 * limit:
                self.stop(f"stopped after {limit:g} minutes")
            self._check_over()

    def stop(self, reason: str) -> None:
        """Ends the search early."""
        with self._lock:
            self.over = self.over or reason

    def gone(self) -> bool:
        """Whether all workers have left."""
        with self._lock:
            return all(info.left for info in self._workers.values())

    def tidy(self) -> None:
        """Deletes superseded attempts and training backups of a finished search.

        Workers never delete anything outside the folder of their attempt.
        """
        if self.over != FINISHED:
            return
        for trial in self.trials.values():
            for folder in self._project.attempts(trial.id):
                last = folder == self._project / cast(str, trial.folder)
                remove(folder / BACKUP if last else folder)

    @property
    def failed(self) -> bool:
        """Whether failures have ended the search, or no trial was completed."""
        return not self._with(COMPLETED) or self._failures_in_a_row >= FAILURES_IN_A_ROW

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error
        self.stop(first_line(error))

    @contextlib.contextmanager
    def _ended_by_errors(self) -> Iterator[None]:
        """Ends the search at an exception of the chief, which is not a worker's fault."""
        try:
            yield
        except Exception as error:
            self._fail(error)

    def _sender(self, worker: str, session: str) -> WorkerInfo:
        """The sender of a message; an unknown one was registered by an earlier chief."""
        info = self._workers.setdefault(worker, WorkerInfo(session, 0.0))
        if info.session != session:
            raise ArgumentError("id", "unique", hint=f": another worker has the id {worker!r}.")
        info.seen = self._clock()
        return info

    def _with(self, *statuses: str) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.status in statuses]

    def _is_current(self, trial: str, attempt: int | None) -> bool:
        known = self.trials.get(trial)
        return known is not None and known.attempt == attempt and known.status not in ENDED

    def _assign(self, trial: Trial, worker: str) -> None:
        trial.status, trial.worker = RUNNING, worker

    def _next(self, worker: str) -> Trial | None:
        """The next trial of a worker, or None if it has to wait."""
        for trial in [*self._with(RUNNING), *self._with(WAITING)]:
            if trial.status == WAITING or trial.worker == worker:
                return trial
        size = self.job.size()
        if self._exhausted or (size is not None and len(self.trials) >= size):
            return None
        suggestion = self._sampler.ask()
        self._exhausted = suggestion is None
        return self._new_trial(suggestion) if isinstance(suggestion, Suggestion) else None

    def _new_trial(self, suggestion: Suggestion) -> Trial:
        id, values, until = suggestion.id, suggestion.values, suggestion.until
        continues = suggestion.continues and self.trials[suggestion.continues].folder
        trial = Trial(id, values, {}, 0, until=until, continues=continues)
        trial.settings = self._settings(trial)
        trial.parameters = self._hyper.parameters(trial.values)
        self.trials[trial.id] = trial
        return trial

    def _settings(self, trial: Trial) -> dict[str, Any]:
        """The settings that reproduce a trial; each retry has its own seed."""
        self._hyper.trial = f"retry {trial.retries}" if trial.retries else None
        chosen = {name: value for name, value in load_options(self.job).items() if value}
        return {
            "data": self.job.data,
            **chosen,
            **self._hyper.settings_of(trial.values),
            "seed": self._hyper.seed_of(trial.values),
        }

    def _start(self, trial: Trial, worker: str) -> None:
        trial.attempt = self._project.next_attempt(trial.id)
        trial.folder = str(self._project.attempt_folder(trial.id, trial.attempt))
        # Made here, so that no other attempt can get the folder of a lost worker.
        with write_errors(self._project / trial.folder):
            (self._project / trial.folder).mkdir(parents=True)
        trial.started = _now()
        self._assign(trial, worker)
        self._save()

    def _end(self, trial: Trial, outcome: dict[str, Any]) -> None:
        with self._ended_by_errors():
            self._record(trial, outcome)

    def _record(self, trial: Trial, outcome: dict[str, Any]) -> None:
        for name, value in outcome.items():
            setattr(trial, name, value)
        if trial.error is not None and trial.retries < self.job.retries:
            self._log(f"trial {trial.id} failed and is retried: {trial.error}")
            trial.retries += 1
            trial.status, trial.error, trial.traceback = WAITING, None, None
            trial.settings = self._settings(trial)
            self._save()
            return
        trial.status = COMPLETED if trial.error is None else FAILED
        trial.ended = _now()
        if trial.status == COMPLETED:
            self._failures_in_a_row = 0
        elif trial.traceback is not None:  # a diverged loss is a result
            self._failures_in_a_row += 1
        self._sampler.tell(trial.id, trial.score)
        self._save()
        write_best(self._project.path, self.job, list(self.trials.values()))
        self._log(progress_line(self.job, trial, list(self.trials.values()), self._time_left()))
        self._check_over()

    def _lose(self, worker: str, how: str, *, blame: bool = True) -> None:
        """Frees the trial of a lost worker."""
        for trial in self._with(RUNNING):
            if trial.worker == worker:
                trial.status = WAITING
                if self.over is not None:
                    continue
                trial.losses += blame
                if trial.losses < LOSSES:
                    self._log(f"worker {worker} {how}; trial {trial.id} is assigned again")
                else:
                    error = f"{LOSSES} workers were lost in it, the last one {how}"
                    self._end(trial, {"error": error, "traceback": f"{error}\n"})

    def _check_over(self) -> None:
        if self.over is None and self._failures_in_a_row >= FAILURES_IN_A_ROW:
            self.over = f"{FAILURES_IN_A_ROW} trials in a row have failed"
        size = self.job.size()
        done = self._exhausted or (size is not None and len(self.trials) >= size)
        if self.over is None and done and not self._with(RUNNING, WAITING):
            self.over = FINISHED

    def _time_left(self) -> float | None:
        """The estimated seconds of the remaining trials, or None."""
        size = self.job.size()
        seconds = [t.seconds for t in self._with(COMPLETED) if t.seconds is not None]
        if size is None or not seconds:
            return None
        left = size - len(self._with(*ENDED))
        at_once = max(1, sum(not info.left for info in self._workers.values()))
        return statistics.mean(seconds) * left / at_once

    def _save(self) -> None:
        trials = [dataclasses.asdict(trial) for trial in self.trials.values()]
        self._project.save({"trials": trials, "sampler": self._sampler.get_state()})


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")

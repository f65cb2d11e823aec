"""`Chief`: hands out the trials of a search to workers and keeps what they find.

Every change is in the project's state file before a worker hears of it, so a chief that was killed
goes on where it was. A worker that is silent for `lease` seconds is given up, and its trial is
handed out again as a new attempt; what an old attempt still says is not listened to.
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

from ...training.run_folder import BACKUP
from ...utils.errors import ArgumentError, UserError, first_line
from ...utils.files import remove, write_errors
from .oracles import Choice, Sampler
from .summary import progress_line, write_best
from .trial import COMPLETED, ENDED, FAILED, RUNNING, WAITING, Trial

if TYPE_CHECKING:
    from ..job.job import Job
    from ..keras_tuner import HyperDeepRNN
    from .project import Project

# Seconds between two signs of life of a worker, and between two questions of one without a trial.
BEAT = 2.0
ASK_AGAIN = 0.5
# Seconds after which a silent worker is given up.
LEASE = 30.0
# A search ends when so many trials in a row have failed by an error of the program, a trial when
# so many workers were lost in the middle of it.
FAILURES_IN_A_ROW = 3
LOSSES = 3
# Why a search ends that has done everything.
FINISHED = "finished"


@dataclasses.dataclass
class Member:
    """A worker that takes part.

    Attributes:
        session: What tells this process from another one with the same id.
        seen: When it was last heard of, by the chief's clock.
        asked: Whether it came so far as to ask for a trial.
        left: Whether it knows that the search is over.
    """

    session: str
    seen: float
    asked: bool = False
    left: bool = False


class Chief:
    """The head of a search.

    Args:
        job: Complete `Job`.
        hyper: Its `HyperDeepRNN`.
        project: `Project` that this process leads.
        log: Called with one line at a time.
        lease: Seconds after which a silent worker is given up.
        keep_running: Whether the workers of an earlier chief may still be at work.
        clock: Function that gives seconds.

    Attributes:
        trials: Dict from ids to `Trial`s.
        over: Why the search is over; None before.
        error: The error that has ended it. What was saved before it stays as it was.
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
        self._members: dict[str, Member] = {}
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
        """What workers can call, by name."""
        names = ("hello", "join", "ask", "beat", "tell", "give_up", "leave")
        return {name: getattr(self, name) for name in names}

    def hello(self) -> dict[str, Any]:
        """Where the folder of the search is."""
        return {"project": str(self._project.path)}

    def join(self, worker: str, session: str, nonce: str) -> dict[str, Any]:
        """A worker comes, or comes back: then its trial was lost with the process it was before."""
        if not self._project.sees(worker, nonce):
            raise UserError(
                f"The folder of the search, {str(self._project.path)!r}, must be shared by the "
                f"chief and its workers: the chief does not see what {worker} wrote there."
            )
        with self._lock:
            known = self._members.get(worker)
            if known is None or known.session != session:
                self._lose(worker, "was started anew")
            self._members[worker] = Member(session, self._clock())
        return {"job": self.job.get_config(), "beat": BEAT}

    def ask(self, worker: str, session: str) -> dict[str, Any]:
        """The next trial for a worker, or how long to wait, or why there is nothing more."""
        with self._lock:
            member = self._member(worker, session)
            member.asked = True
            with self._ended_by_errors():
                self._check_over()
                if self.over is None:
                    trial = self._next(worker)
                    if trial is not None:
                        self._start(trial, worker)
                        return {"trial": dataclasses.asdict(trial)}
                    self._check_over()
            if self.over is not None:
                member.left = True
                return {"end": self.over}
            return {"wait": ASK_AGAIN}

    def beat(
        self, worker: str, session: str, trial: str | None = None, attempt: int | None = None
    ) -> dict[str, Any]:
        """A worker is alive, perhaps with a trial; whether it shall go on, or why all shall end."""
        with self._lock:
            member = self._member(worker, session)
            if self.over is not None:
                member.left = True
                return {"end": self.over}
            go_on = trial is None or self._is_current(trial, attempt)
            if go_on and trial is not None:
                self._hold(self.trials[trial], worker)
            return {"go_on": go_on}

    def tell(
        self, worker: str, session: str, trial: str, attempt: int, outcome: dict[str, Any]
    ) -> dict[str, Any]:
        """A worker has ended an attempt; whether that was still the one to listen to."""
        with self._lock:
            self._member(worker, session)
            if self.error is not None or not self._is_current(trial, attempt):
                return {"accepted": False}
            known = self.trials[trial]
            self._hold(known, worker)
            self._end(known, outcome)
            return {"accepted": self.error is None}

    def give_up(
        self, worker: str, session: str, trial: str, attempt: int, reason: str
    ) -> dict[str, Any]:
        """A worker cannot write into the folder of the search; then nobody can for long."""
        with self._lock:
            self._member(worker, session)
            if self._is_current(trial, attempt):
                self._fail(UserError(reason))
        return {}

    def leave(self, worker: str, session: str) -> dict[str, Any]:
        """A worker goes, and its trial is free for others."""
        with self._lock:
            self._member(worker, session).left = True
            self._lose(worker, "has left", blame=False)
        return {}

    def lost(self, worker: str, how: str) -> None:
        """Somebody who can tell knows that a worker is dead; `how` says it in words."""
        with self._lock:
            self._members.pop(worker, None)
            self._lose(worker, how)

    def asked(self, worker: str) -> bool:
        """Whether a worker has come so far as to ask for a trial."""
        with self._lock:
            return worker in self._members and self._members[worker].asked

    def look(self) -> None:
        """Gives up silent workers, and ends the search when its time is over."""
        with self._lock:
            now = self._clock()
            for worker, member in list(self._members.items()):
                if now - member.seen > self._lease:
                    self.lost(worker, f"was silent for {self._lease:g} seconds")
            if now - self._began > self._lease:
                # Workers of an earlier chief that have not come back.
                for trial in self._with(RUNNING):
                    if trial.worker not in self._members:
                        trial.status = WAITING
            limit = self.job.max_minutes
            if limit is not None and now - self._began > 60 * limit:
                self.stop(f"stopped after {limit:g} minutes")
            self._check_over()

    def stop(self, reason: str) -> None:
        """Ends the search before its end."""
        with self._lock:
            self.over = self.over or reason

    def gone(self) -> bool:
        """Whether no worker is left that would still ask."""
        with self._lock:
            return all(member.left for member in self._members.values())

    def tidy(self) -> None:
        """Deletes what a finished search needs no more: lost attempts, what trainings go on with.

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
        """Whether the search has ended because of failures, or nothing has come out of it."""
        return not self._with(COMPLETED) or self._failures_in_a_row >= FAILURES_IN_A_ROW

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error
        self.stop(first_line(error))

    @contextlib.contextmanager
    def _ended_by_errors(self) -> Iterator[None]:
        """An error of the chief is no worker's fault: no other one would fare better."""
        try:
            yield
        except Exception as error:
            self._fail(error)

    def _member(self, worker: str, session: str) -> Member:
        """The worker that speaks; one that this chief does not know was with an earlier one."""
        member = self._members.setdefault(worker, Member(session, 0.0))
        if member.session != session:
            hint = f": another worker has come as {worker!r}."
            raise ArgumentError("id", "one worker's alone", hint=hint)
        member.seen = self._clock()
        return member

    def _with(self, *statuses: str) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.status in statuses]

    def _is_current(self, trial: str, attempt: int | None) -> bool:
        known = self.trials.get(trial)
        return known is not None and known.attempt == attempt and known.status not in ENDED

    def _hold(self, trial: Trial, worker: str) -> None:
        trial.status, trial.worker = RUNNING, worker

    def _next(self, worker: str) -> Trial | None:
        """The trial that a worker shall run, or None where it has to wait."""
        for trial in [*self._with(RUNNING), *self._with(WAITING)]:
            if trial.status == WAITING or trial.worker == worker:
                return trial
        size = self.job.size()
        if self._exhausted or (size is not None and len(self.trials) >= size):
            return None
        choice = self._sampler.ask()
        self._exhausted = choice is None
        return self._made(choice) if isinstance(choice, Choice) else None

    def _made(self, choice: Choice) -> Trial:
        continues = choice.continues and self.trials[choice.continues].folder
        trial = Trial(choice.id, choice.values, {}, 0, until=choice.until, continues=continues)
        trial.settings = self._settings(trial)
        trial.parameters = self._hyper.parameters(trial.values)
        self.trials[trial.id] = trial
        return trial

    def _settings(self, trial: Trial) -> dict[str, Any]:
        """What decides the training of a trial; each retry has a seed of its own."""
        self._hyper.trial = f"retry {trial.retries}" if trial.retries else None
        places = {name: getattr(self.job, name) for name in ("data", "data_path", "data_dir")}
        return {
            **{name: value for name, value in places.items() if value is not None},
            **self._hyper.settings_of(trial.values),
            "seed": self._hyper.seed_of(trial.values),
        }

    def _start(self, trial: Trial, worker: str) -> None:
        trial.attempt = self._project.next_attempt(trial.id)
        trial.folder = str(self._project.attempt_folder(trial.id, trial.attempt))
        # Also if this worker is never heard of again, nobody else gets this folder.
        with write_errors(self._project / trial.folder):
            (self._project / trial.folder).mkdir(parents=True)
        trial.started = _now()
        self._hold(trial, worker)
        self._save()

    def _end(self, trial: Trial, outcome: dict[str, Any]) -> None:
        with self._ended_by_errors():
            self._record(trial, outcome)

    def _record(self, trial: Trial, outcome: dict[str, Any]) -> None:
        for name, value in outcome.items():
            setattr(trial, name, value)
        if trial.error is not None and trial.retries < self.job.retries:
            self._log(f"trial {trial.id} failed and is tried again: {trial.error}")
            trial.retries += 1
            trial.status, trial.error, trial.traceback = WAITING, None, None
            trial.settings = self._settings(trial)
            self._save()
            return
        trial.status = COMPLETED if trial.error is None else FAILED
        trial.ended = _now()
        if trial.status == COMPLETED:
            self._failures_in_a_row = 0
        elif trial.traceback is not None:  # a loss that diverged is a result
            self._failures_in_a_row += 1
        self._sampler.tell(trial.id, trial.score)
        self._save()
        write_best(self._project.path, self.job, list(self.trials.values()))
        self._log(progress_line(self.job, trial, list(self.trials.values()), self._time_left()))
        self._check_over()

    def _lose(self, worker: str, how: str, *, blame: bool = True) -> None:
        """Frees the trials of a worker that is gone."""
        for trial in self._with(RUNNING):
            if trial.worker == worker:
                trial.status = WAITING
                if self.over is not None:
                    continue
                trial.losses += blame
                if trial.losses < LOSSES:
                    self._log(f"worker {worker} {how}; trial {trial.id} waits for another attempt")
                else:
                    told = f"{LOSSES} workers were lost in it, the last one {how}"
                    self._end(trial, {"error": told, "traceback": f"{told}\n"})

    def _check_over(self) -> None:
        if self.over is None and self._failures_in_a_row >= FAILURES_IN_A_ROW:
            self.over = f"{FAILURES_IN_A_ROW} trials in a row have failed"
        size = self.job.size()
        done = self._exhausted or (size is not None and len(self.trials) >= size)
        if self.over is None and done and not self._with(RUNNING, WAITING):
            self.over = FINISHED

    def _time_left(self) -> float | None:
        """Seconds that the trials to come will take, as far as those that ended tell."""
        size = self.job.size()
        seconds = [t.seconds for t in self._with(COMPLETED) if t.seconds is not None]
        if size is None or not seconds:
            return None
        left = size - len(self._with(*ENDED))
        at_once = max(1, sum(not member.left for member in self._members.values()))
        return statistics.mean(seconds) * left / at_once

    def _save(self) -> None:
        trials = [dataclasses.asdict(trial) for trial in self.trials.values()]
        self._project.save({"trials": trials, "sampler": self._sampler.get_state()})


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")

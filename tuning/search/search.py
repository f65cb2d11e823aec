"""`Search`: chooses trials, hands them to an executor and records their results.

Every change is saved before an executor hears of it, so that a killed search can be resumed. A
trial whose process is lost runs again, as a new attempt that goes on from the last complete epoch.
"""

from __future__ import annotations

import dataclasses
import datetime
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...training.config import load_options
from ...training.run_folder import BACKUP
from ...utils.executor import Executor, WorkerLost
from ...utils.files import remove
from .attempt import run_trial
from .oracles import Sampler, Suggestion
from .summary import progress_line, write_best
from .trial import COMPLETED, ENDED, FAILED, RUNNING, WAITING, Trial

if TYPE_CHECKING:
    from ..job.job import Job
    from ..keras_tuner import HyperDeepRNN
    from .project import Project

# Consecutive trials failed by an exception that end a search; workers lost in a trial that fail it.
FAILURES_IN_A_ROW = 3
LOSSES = 3
# Seconds between two looks at the time limit and at the number of slots.
PAUSE = 1.0
# Why a complete search is over.
FINISHED = "finished"


class Search:
    """The search of a job, from where its saved state is.

    Args:
        job: Complete `Job`.
        hyper: Its `HyperDeepRNN`.
        project: `Project` that this process leads.
        log: Called with one log line at a time.
        clock: Returns the time in seconds.

    Attributes:
        trials: Dict from ids to `Trial`s.
        over: Why the search is over; None while it runs.
    """

    def __init__(
        self,
        job: Job,
        hyper: HyperDeepRNN,
        project: Project,
        *,
        log: Callable[[str], object] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job, self._hyper, self._project = job, hyper, project
        self._log, self._clock = log, clock
        self._sampler = Sampler(job, hyper.space)
        self._exhausted = False
        self._failures_in_a_row = 0
        self.trials: dict[str, Trial] = {}
        self.over: str | None = None
        state, note = project.load()
        if note:
            log(note)
        if state is not None:
            with project.version_errors():
                self._sampler.set_state(state["sampler"])
                self.trials = {trial["id"]: Trial(**trial) for trial in state["trials"]}
            self._exhausted = state.get("exhausted", False)
        for trial in self._with(RUNNING):
            trial.status = WAITING
        self._check_over()

    def run(self, executor: Executor) -> None:
        """Runs trials until the search is over.

        Raises:
            UserError: The project folder cannot be written, or is not the one that a worker sees.
        """
        began, running = self._clock(), dict[Any, Trial]()
        limit = None if self.job.max_minutes is None else 60 * self.job.max_minutes
        while self.over is None:
            slots = executor.slots()
            while len(running) < slots and (trial := self._next()) is not None:
                self._start(trial)
                config, project = self.job.get_config(), str(self._project.path)
                task = executor.submit(run_trial, config, dataclasses.asdict(trial), project)
                running[task] = trial
            for task, result in executor.ended(PAUSE if running or not slots else 0).items():
                self._end(running.pop(task), result, slots)
            if limit is not None and self._clock() - began > limit:
                self.over = f"stopped after {self.job.max_minutes:g} minutes"
            self._check_over()

    def tidy(self) -> None:
        """Deletes superseded attempts and training backups of a finished search."""
        if self.over != FINISHED:
            return
        for trial in self.trials.values():
            attempts = self._project.attempts(trial.id)
            # A trial that lost all its workers has no result that says which one counts.
            kept = [self._project / trial.folder] if trial.folder else attempts[-1:]
            for folder in attempts:
                remove(folder / BACKUP if folder in kept else folder)

    @property
    def failed(self) -> bool:
        """Whether failures have ended the search, or no trial was completed."""
        return not self._with(COMPLETED) or self._failures_in_a_row >= FAILURES_IN_A_ROW

    def _with(self, *statuses: str) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.status in statuses]

    def _next(self) -> Trial | None:
        """The next trial, or None if there is none before others have ended."""
        for trial in self._with(WAITING):
            return trial
        size = self.job.size()
        if self._exhausted or (size is not None and len(self.trials) >= size):
            return None
        suggestion = self._sampler.ask()
        if suggestion is None:
            self._exhausted = True
            self._save()
        return self._new_trial(suggestion) if isinstance(suggestion, Suggestion) else None

    def _new_trial(self, suggestion: Suggestion) -> Trial:
        id, values, until = suggestion.id, suggestion.values, suggestion.until
        trial = Trial(id, values, {}, 0, until=until)
        if suggestion.continues:
            # With its seed, which is another one after a retry: it is the same training.
            source = self.trials[suggestion.continues]
            trial.continues, trial.retries = source.folder, source.retries
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

    def _start(self, trial: Trial) -> None:
        trial.status, trial.started = RUNNING, _now()
        self._save()

    def _end(self, trial: Trial, result: Callable[[], dict[str, Any]], slots: int) -> None:
        try:
            outcome = result()
        except WorkerLost as loss:
            trial.losses += 1
            if trial.losses < LOSSES:
                self._log(f"the worker of trial {trial.id} {loss}; the trial runs again")
                trial.status = WAITING
                self._save()
                return
            error = f"{LOSSES} workers were lost in it, the last one {loss}"
            outcome = {"error": error, "traceback": f"{error}\n"}
        self._record(trial, outcome, slots)

    def _record(self, trial: Trial, outcome: dict[str, Any], slots: int) -> None:
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
        trials = list(self.trials.values())
        write_best(self._project.path, self.job, trials)
        self._log(progress_line(self.job, trial, trials, self._time_left(slots)))

    def _check_over(self) -> None:
        if self.over is None and self._failures_in_a_row >= FAILURES_IN_A_ROW:
            self.over = f"{FAILURES_IN_A_ROW} trials in a row have failed"
        size = self.job.size()
        done = self._exhausted or (size is not None and len(self.trials) >= size)
        if self.over is None and done and not self._with(RUNNING, WAITING):
            self.over = FINISHED

    def _time_left(self, slots: int) -> float | None:
        """The estimated seconds of the remaining trials, or None."""
        size = self.job.size()
        seconds = [t.seconds for t in self._with(COMPLETED) if t.seconds is not None]
        if size is None or not seconds:
            return None
        left = size - len(self._with(*ENDED))
        return statistics.mean(seconds) * left / max(1, slots)

    def _save(self) -> None:
        trials = [dataclasses.asdict(trial) for trial in self.trials.values()]
        state = {"sampler": self._sampler.get_state(), "exhausted": self._exhausted}
        self._project.save({"trials": trials, **state})


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")

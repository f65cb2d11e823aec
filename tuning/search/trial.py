"""`Trial`: one network of a search, from the moment its values are chosen to its result."""

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

# A trial waits for a worker, also again after its worker was lost; then it runs; then it has ended.
WAITING, RUNNING, COMPLETED, FAILED = "WAITING", "RUNNING", "COMPLETED", "FAILED"
ENDED = (COMPLETED, FAILED)


@dataclasses.dataclass
class Trial:
    """What is known of a trial; plain values only, so that JSON can hold it.

    Attributes:
        id: Its number in the search, such as "0007".
        values: Dict of the active hyperparameters.
        settings: Dict of everything that decides its training, as `deep-rnn train` takes it, the
            seed included.
        parameters: Number of parameters of its network.
        status: "WAITING", "RUNNING", "COMPLETED" or "FAILED".
        until: Number of epochs after which Hyperband looks at it; None for all of them.
        continues: Run folder of the trial whose training it goes on with, such as "trials/0003/1";
            None for a training of its own.
        retries: How often it was begun anew with another seed after it had failed.
        losses: How often its worker was lost in the middle of it.
        attempt: Number of the attempt that runs or gave the result; every begin is an attempt.
        worker: Id of the worker that has or had it.
        folder: Run folder of that attempt, relative to the project folder.
        started: When that attempt began, in ISO 8601.
        ended: When the trial ended.
        seconds: Time that the attempt took that gave the result.
        score: The objective on the validation set, None without a result.
        metrics: Dict of all validation numbers.
        epochs: Number of epochs that were trained.
        best_epoch: The epoch whose weights were kept.
        error: Why it failed, in a line.
        traceback: Where it failed, if it was an error of the program.
    """

    id: str
    values: dict[str, Any]
    settings: dict[str, Any]
    parameters: int
    status: str = WAITING
    until: int | None = None
    continues: str | None = None
    retries: int = 0
    losses: int = 0
    attempt: int = 0
    worker: str | None = None
    folder: str | None = None
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    score: float | None = None
    metrics: dict[str, float] | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    error: str | None = None
    traceback: str | None = None

    @property
    def seed(self) -> int:
        """Seed of its weights, dropout and order of the data."""
        return self.settings["seed"]


def score_of(trial: Trial) -> float:
    """The score of a trial that has one."""
    return cast(float, trial.score)


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The completed trial with the smallest score, the earliest of equals; None without one."""
    completed = [trial for trial in trials if trial.status == COMPLETED]
    return min(completed, key=lambda trial: (trial.score, trial.id), default=None)

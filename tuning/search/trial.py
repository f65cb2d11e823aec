"""`Trial`: one network of a search, with its values, status and result."""

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

# A trial is WAITING for a worker (again if its worker was lost), RUNNING, or finished.
WAITING, RUNNING, COMPLETED, FAILED = "WAITING", "RUNNING", "COMPLETED", "FAILED"
ENDED = (COMPLETED, FAILED)


@dataclasses.dataclass
class Trial:
    """A trial; its attributes are plain values, for JSON.

    Attributes:
        id: Number in the search, such as "0007".
        values: Dict of the active hyperparameters.
        settings: Dict of the settings of `deep-rnn train`, including the seed, that reproduce the
            training.
        parameters: Number of parameters of the network.
        status: "WAITING", "RUNNING", "COMPLETED" or "FAILED".
        until: Number of epochs of the trial's Hyperband round; None: all epochs.
        continues: Run folder of the trial whose training it continues, such as "trials/0003/1", or
            None.
        retries: Number of restarts with another seed after a failure.
        losses: Number of workers lost while they ran it.
        attempt: Number of the attempt that gave the result; every start is an attempt.
        worker: Machine and process id of that attempt.
        folder: Run folder of that attempt, relative to the project folder.
        started: Start of the last attempt, in ISO 8601.
        ended: End of the trial, in ISO 8601.
        seconds: Duration of the attempt that gave the result.
        score: Objective on the validation split, or None.
        metrics: Dict of all validation metrics.
        epochs: Number of epochs that were trained.
        best_epoch: Epoch of the restored best weights.
        error: Reason of a failure, in one line.
        traceback: Traceback of a failure that is not a diverged loss.
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
        """Seed of the initial weights, dropout and the order of the data."""
        return self.settings["seed"]


def score_of(trial: Trial) -> float:
    """The score of a completed trial."""
    return cast(float, trial.score)


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The completed trial with the lowest score (the first of ties), or None."""
    completed = [trial for trial in trials if trial.status == COMPLETED]
    return min(completed, key=lambda trial: (trial.score, trial.id), default=None)

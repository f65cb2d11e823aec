"""`Sampler`: which values a search tries next; Keras Tuner's oracles choose them.

Whatever touches private names of Keras Tuner is here. Its oracles are used as samplers only: files,
retries, failures and lost workers are the chief's.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...utils.errors import missing_extra
from ..job.job import MOST_TRIALS
from ..keras_tuner import seed_from

if TYPE_CHECKING:
    from ..job.job import Job
    from ..space.space import SearchSpace

try:
    import keras_tuner
    import sklearn.exceptions
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "tuning") from None

SCORE = "score"
# What `Sampler.ask` gives while a choice needs the result of a trial that runs.
WAIT = "wait"


@dataclasses.dataclass
class Choice:
    """What a trial is to be.

    Attributes:
        id: Id of the trial, such as "0007".
        values: Dict of the active hyperparameters.
        until: Number of epochs after which it is looked at; None for all of them.
        continues: Id of the trial whose training it goes on with, or None.
    """

    id: str
    values: dict[str, Any]
    until: int | None = None
    continues: str | None = None


class Sampler:
    """Chooses values, one trial after the other, by a job's tuner.

    The same seed gives the same values, as far as they do not depend on results.

    Args:
        job: Complete `Job`.
        space: `SearchSpace`.

    Example:

    >>> from types import SimpleNamespace
    >>> from keras_deep_rnn.tuning import Hyperparameter, SearchSpace
    >>> space = SearchSpace([Hyperparameter("units", "int", low=8, high=64)])
    >>> sampler = Sampler(SimpleNamespace(tuner="random", seed=1), space)
    >>> first, second = sampler.ask(), sampler.ask()
    >>> first.id, second.id, first.values != second.values
    ('0000', '0001', True)
    """

    def __init__(self, job: Job, space: SearchSpace) -> None:
        self._space = space
        hp = keras_tuner.HyperParameters()
        space.sample_keras_tuner(hp)
        self._oracle = _ORACLES[job.tuner](job, hp)
        self._oracle.verbose = 0
        self._oracle.max_trials = MOST_TRIALS

    def ask(self) -> Choice | str | None:
        """The next `Choice`, `WAIT`, or None where there is nothing left to try."""
        # To an oracle every trial is a tuner's of its own, so that none is given out twice.
        trial = self._oracle.create_trial(f"tuner of {len(self._oracle.trials)}")
        if trial.status == "STOPPED":
            return None
        if trial.status == "IDLE":
            return WAIT
        hp = trial.hyperparameters
        special = {name: hp.values.get(f"tuner/{name}") for name in ("epochs", "trial_id")}
        values = self._space.sample_keras_tuner(hp)
        return Choice(trial.trial_id, values, special["epochs"], special["trial_id"])

    def tell(self, id: str, score: float | None) -> None:
        """Says how a trial ended.

        Args:
            id: Id of the trial.
            score: What it reached, the less the better; None if it failed.
        """
        trial = self._oracle.get_trial(id)
        if score is not None:
            self._oracle.update_trial(id, {SCORE: score})
        trial.status = "FAILED" if score is None else "COMPLETED"
        self._oracle.end_trial(trial)

    def get_state(self) -> dict[str, Any]:
        """Everything that the next choice depends on, as JSON can hold it."""
        trials = {id: trial.get_state() for id, trial in self._oracle.trials.items()}
        return {"trials": trials, "oracle": self._oracle.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on where `get_state` was called."""
        from_state = keras_tuner.engine.trial.Trial.from_state
        self._oracle.trials = {id: from_state(trial) for id, trial in state["trials"].items()}
        self._oracle.set_state(state["oracle"])


class _Bare:
    """An oracle that writes nothing and does not end the search when trials fail."""

    def save(self) -> None:
        pass

    def _save_trial(self, trial: Any) -> None:
        pass

    def _check_consecutive_failures(self) -> None:
        pass


class _Random(_Bare, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Hyperband(_Bare, keras_tuner.oracles.HyperbandOracle):
    pass


class _Bayesian(_Bare, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian search whose choices follow from seed and results alone, also after a resume."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState(seed_from(self.seed, trial_id))
        with warnings.catch_warnings():
            # It fits a length scale that reaches its bound where few trials are known.
            warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
            self._fit_completed()
            found = super().populate_space(trial_id)
        # The optimum may be a corner that was tried before, which would give the same result again.
        if found["values"] is not None and self._duplicate(found["values"]):
            return self._random_populate_space()
        return found

    def _fit_completed(self) -> None:
        """Fits what the results of running trials are guessed from.

        An oracle that was not fitted yet guesses 0 for them, better than anything that is measured.
        """
        every = self.trials
        self.trials = {id: trial for id, trial in every.items() if trial.status == "COMPLETED"}
        if self.trials and self.ongoing_trials:
            self.gpr.fit(*self._vectorize_trials())
        self.trials = every


def _common(job: Job, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    return {
        "objective": keras_tuner.Objective(SCORE, "min"),
        "hyperparameters": hp,
        "seed": seed_from(job.seed),
    }


# Keras Tuner's own constructors, of which a type checker knows no argument.
_ORACLES: dict[str, Any] = {
    "random": lambda job, hp: _Random(**_common(job, hp)),
    "bayesian": lambda job, hp: cast(Any, _Bayesian)(
        **_common(job, hp), num_initial_points=job.initial_points
    ),
    "hyperband": lambda job, hp: cast(Any, _Hyperband)(
        **_common(job, hp), max_epochs=job.epochs, factor=job.factor
    ),
}

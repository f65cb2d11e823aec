"""`Sampler`: suggests the values of the next trial, with the oracles of Keras Tuner.

All uses of private names of Keras Tuner are in this module. Its oracles serve as samplers only: the
chief handles files, retries, failures and lost workers.
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
# Returned by `Sampler.ask` while the next suggestion depends on a running trial.
WAIT = "wait"


@dataclasses.dataclass
class Suggestion:
    """A suggested trial.

    Attributes:
        id: Id of the trial, such as "0007".
        values: Dict of the active hyperparameters.
        until: Number of epochs of the trial's Hyperband round; None: all epochs.
        continues: Id of the trial whose training it continues, or None.
    """

    id: str
    values: dict[str, Any]
    until: int | None = None
    continues: str | None = None


class Sampler:
    """Suggests the values of one trial after the other, with the algorithm of a job.

    The same seed and the same results give the same suggestions.

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

    def ask(self) -> Suggestion | str | None:
        """The next `Suggestion`, `WAIT`, or None if the space or the algorithm is exhausted."""
        # An oracle repeats the trial of a tuner that asks again: each trial has its own tuner id.
        trial = self._oracle.create_trial(f"tuner of {len(self._oracle.trials)}")
        if trial.status == "STOPPED":
            return None
        if trial.status == "IDLE":
            return WAIT
        hp = trial.hyperparameters
        special = {name: hp.values.get(f"tuner/{name}") for name in ("epochs", "trial_id")}
        values = self._space.sample_keras_tuner(hp)
        return Suggestion(trial.trial_id, values, special["epochs"], special["trial_id"])

    def tell(self, id: str, score: float | None) -> None:
        """Reports the result of a trial.

        Args:
            id: Id of the trial.
            score: Score, to be minimized; None if the trial failed.
        """
        trial = self._oracle.get_trial(id)
        if score is not None:
            self._oracle.update_trial(id, {SCORE: score})
        trial.status = "FAILED" if score is None else "COMPLETED"
        self._oracle.end_trial(trial)

    def get_state(self) -> dict[str, Any]:
        """The state of the sampler as a dict for JSON."""
        trials = {id: trial.get_state() for id, trial in self._oracle.trials.items()}
        return {"trials": trials, "oracle": self._oracle.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        from_state = keras_tuner.engine.trial.Trial.from_state
        self._oracle.trials = {id: from_state(trial) for id, trial in state["trials"].items()}
        self._oracle.set_state(state["oracle"])


class _InMemory:
    """An oracle that writes no files and does not end the search after failures."""

    def save(self) -> None:
        pass

    def _save_trial(self, trial: Any) -> None:
        pass

    def _check_consecutive_failures(self) -> None:
        pass


class _Random(_InMemory, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Hyperband(_InMemory, keras_tuner.oracles.HyperbandOracle):
    pass


class _Bayesian(_InMemory, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimization that depends on the seed and the results only, also when resumed."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState(seed_from(self.seed, trial_id))
        with warnings.catch_warnings():
            # With few trials the fitted length scale reaches its bound.
            warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
            self._fit_completed()
            found = super().populate_space(trial_id)
        # The optimum may be a corner of the space that was tried before.
        if found["values"] is not None and self._duplicate(found["values"]):
            return self._random_populate_space()
        return found

    def _fit_completed(self) -> None:
        """Fits the Gaussian process that predicts the scores of running trials.

        Without it the oracle assumes a score of 0 for them, which is better than any real one.
        """
        trials = self.trials
        self.trials = {id: trial for id, trial in trials.items() if trial.status == "COMPLETED"}
        if self.trials and self.ongoing_trials:
            self.gpr.fit(*self._vectorize_trials())
        self.trials = trials


def _common(job: Job, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    return {
        "objective": keras_tuner.Objective(SCORE, "min"),
        "hyperparameters": hp,
        "seed": seed_from(job.seed),
    }


# Keras Tuner's constructors have no types: hence the casts.
_ORACLES: dict[str, Any] = {
    "random": lambda job, hp: _Random(**_common(job, hp)),
    "bayesian": lambda job, hp: cast(Any, _Bayesian)(
        **_common(job, hp), num_initial_points=job.initial_points
    ),
    "hyperband": lambda job, hp: cast(Any, _Hyperband)(
        **_common(job, hp), max_epochs=job.epochs, factor=job.factor
    ),
}

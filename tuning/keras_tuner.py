"""`HyperDeepRNN`: the networks of a search space as a `HyperModel` of Keras Tuner."""

from __future__ import annotations

import hashlib
import json
import math
import os
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import keras

from ..training.callbacks import EpochState
from ..training.config import Settings
from ..training.networks import UNITS
from ..utils.errors import ArgumentError, UserError, Words, missing_extra, nearest
from ..utils.validation import seed as checked_seed
from .space.budget import check_budget, count_parameters, units_for_budget
from .space.paper_space import SIZES, paper_space, settings_of
from .space.space import SearchSpace

if TYPE_CHECKING:
    from ..data import Dataset

try:
    import keras_tuner
except ModuleNotFoundError:
    raise missing_extra("keras-tuner", "tuning") from None

from .problem import DatasetProblem, OwnProblem


def seed_from(*parts: Any) -> int:
    """A seed of 31 bits, never 0, that any change of the parts changes altogether.

    Neighbouring seeds of Keras Tuner choose nearly the same configurations, and 0 stands for a
    random one: give its tuners `seed_from(seed)`.

    Example:

    >>> seed_from(1) == seed_from(1), seed_from(1) == seed_from(2)
    (True, False)
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1


class HyperDeepRNN(keras_tuner.HyperModel):
    """The networks of a search space, for any tuner of Keras Tuner.

    On a data set of the package, networks are trained and measured as `deep-rnn train` does it, on
    its bucketed batches, and the search needs no data. On the user's own, `input_shape`, `output`
    and `loss` say what the problem is, and `tuner.search` is given the data as `Model.fit` is, with
    `validation_data`; the optimizer is AdamW at a constant rate then.

    Training stops early on the validation result. A loss that is not a number ends it, and the
    trial fails with that as its reason.

    Weights, dropout and the order of the data follow from `seed` and the trial's values, so the
    same trial has the same result in any order and in any process, and, on a data set of the
    package, `deep-rnn train` with the settings of `settings_of` and the seed of `seed_of` has it.

    Args:
        data: Name of a data set, path of the user's own music or text, or a `Dataset`. None where
            the problem is given by the arguments from `input_shape` on.
        space: `SearchSpace` whose names are settings of `deep-rnn train`, the depths of
            `paper_space`, or `deep_units`. None for `paper_space()`, with a budget without `units`.
        budget: Number of parameters that every network has within 2 %; see `units_for_budget`.
        seed: Seed of every trial.
        settings: Dict of settings that are not searched, such as `{"epochs": 20}`. What is neither
            here nor in the space has the data set's default. The learning rate falls to zero over
            `epochs`: give the number here, not to `tuner.search`.
        data_path: Folder of files that were downloaded by hand.
        data_dir: Folder of prepared data.
        input_shape: (T, D) of one sequence; T may be None.
        output: Keras layer on top of the recurrent one; each network gets a copy.
        loss: As `Model.compile` takes it.
        metric: Name of a metric or a Keras metric to search for; None searches for the loss.
        direction: "min" or "max": which results of the metric are better.
        return_sequences: Whether the output layer gets every time step, or the last one.

    Attributes:
        space: The `SearchSpace`.
        objective: The validation result that the search is for, a `keras_tuner.Objective`.
        dataset: The `Dataset`; None for data of the user's own, which the tuner is given.
        trial: What else than the values decides a trial's seed, None or a text: whoever runs a
            trial again on purpose, to see it with other weights, sets it.

    Raises:
        UserError: The data is not there, a name of the space or the settings is unknown, or some
            network of the space cannot meet the budget.

    Example:

    >>> hyper = HyperDeepRNN(
    ...     input_shape=(None, 3), output=keras.layers.Dense(2), loss="mse", budget=5_000
    ... )
    >>> model = hyper.build(keras_tuner.HyperParameters())
    >>> model.name, model.count_params()
    ('rnn', 5034)
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | Dataset | None = None,
        space: SearchSpace | None = None,
        *,
        budget: int | None = None,
        seed: int = 1,
        settings: Mapping[str, Any] | None = None,
        data_path: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        input_shape: Sequence[int | None] | None = None,
        output: keras.layers.Layer | None = None,
        loss: Any = None,
        metric: str | keras.metrics.Metric | None = None,
        direction: str = "min",
        return_sequences: bool = True,
    ) -> None:
        super().__init__(name="deep_rnn")
        own = (input_shape, output, loss, metric)
        if (data is None) == all(part is None for part in own):
            raise UserError(
                "give either `data`, or `input_shape`, `output` and `loss` for data of your own; "
                f"got data={data!r}, input_shape={input_shape!r}."
            )
        if data is not None:
            self._problem = DatasetProblem(data, data_path, data_dir)
        else:
            self._problem = OwnProblem(*own, direction, return_sequences)
        if space is None:
            space = paper_space() if budget is None else paper_space(units=None)
        if not isinstance(space, SearchSpace):
            raise ArgumentError("space", "a SearchSpace", space)
        self.space = space
        self.budget = budget
        if seed is None:
            raise ArgumentError("seed", "a non-negative integer", Words("None"))
        self.seed = checked_seed("seed", seed)
        self.trial: str | None = None
        self._fixed = dict(settings or {})
        self._check_names()
        if budget is not None:
            fixed = {"network": Settings.network, **self._fixed}
            check_budget(space, budget, **self._sizes(), fixed=fixed)
        self._settings(space.defaults())  # an impossible fixed value is told before the first trial
        problem = self._problem
        self.objective = keras_tuner.Objective(problem.objective, problem.direction)
        self.dataset: Dataset | None = getattr(problem, "dataset", None)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Declares every hyperparameter and builds the network of their values, compiled.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        return self.network(self.space.sample_keras_tuner(hp))

    def network(self, values: Mapping[str, Any]) -> keras.Model:
        """The compiled network of a dict of values, with its first weights."""
        model = self._problem.build(self._settings(self.space.active(values)))
        # A tuner loads checkpoints with the state of the optimizer, for which it must be there.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains the network of `build` until its validation result gets no better.

        Args:
            hp: `keras_tuner.HyperParameters` that `build` has seen.
            model: The network.
            *args: Data of the user's own, as `Model.fit` takes it.
            **kwargs: Other arguments of `Model.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            keras_tuner.errors.FailedTrialError: The loss was not a finite number, or no validation
                result was.
            keras_tuner.errors.FatalValueError: The arguments do not fit the problem.
        """
        settings = self._settings(self.space.active(hp.values))
        callbacks, initial_epoch = kwargs.pop("callbacks", []), kwargs.get("initial_epoch", 0)
        epochs = kwargs.pop("epochs", settings.epochs)
        try:
            args, more, batches = self._problem.fit_arguments(settings, args, kwargs)
        except UserError as error:  # every other trial would fail as this one does
            raise keras_tuner.errors.FatalValueError(str(error)) from None
        if initial_epoch and batches is not None:
            # A trial of Hyperband that goes on does so where it was in the schedule.
            model.optimizer.iterations.assign(initial_epoch * len(batches))
        stopping = keras.callbacks.EarlyStopping(
            self.objective.name,
            patience=cast(int, settings.patience),
            mode=self.objective.direction,
            restore_best_weights=True,
        )
        own = [
            EpochState(settings.seed, batches or cast(Any, types.SimpleNamespace())),
            keras.callbacks.TerminateOnNaN(),
            stopping,
        ]
        history = model.fit(*args, **kwargs, **more, epochs=epochs, callbacks=[*own, *callbacks])
        _check_finite(history, stopping, settings)
        return history

    def seed_of(self, values: Mapping[str, Any]) -> int:
        """The seed of the trial that has these values."""
        values = self.space.active(values)
        return seed_from(self.seed, values if self.trial is None else [values, self.trial])

    def parameters(self, values: Mapping[str, Any]) -> int:
        """The number of parameters of the network that has these values."""
        settings = self.settings_of(values)
        return count_parameters(settings, **self._sizes())

    def settings_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that decides the trial of these values, as settings of `deep-rnn train`.

        Args:
            values: Dict that holds at least the active values.

        Returns:
            Dict of keyword arguments of `Settings`.
        """
        chosen = {**self._fixed, **self.space.active(values)}
        values = {"network": Settings.network, "units": UNITS, **chosen}
        if self.budget is not None:
            values.update(units_for_budget(values, self.budget, **self._sizes()))
        return settings_of(values)

    def _settings(self, values: Mapping[str, Any]) -> Settings:
        return self._problem.complete({**self.settings_of(values), "seed": self.seed_of(values)})

    def _sizes(self) -> dict[str, Any]:
        return {"features": self._problem.features, "outputs": self._problem.outputs}

    def _check_names(self) -> None:
        known = (*self._problem.known, *SIZES, "deep_units")
        for name in (*self.space.names, *self._fixed):
            if name not in known:
                hint = nearest(name, known)
                raise ArgumentError(name, "the name of a setting that can vary here", hint=hint)
            if name in self.space and name in self._fixed:
                raise ArgumentError(name, "either searched or fixed", Words("both"))


def _check_finite(
    history: keras.callbacks.History, stopping: keras.callbacks.EarlyStopping, settings: Settings
) -> None:
    """Fails the trial whose training diverged."""
    losses = history.history["loss"]
    what = None
    if not math.isfinite(losses[-1]):
        what = f"loss is {losses[-1]} in epoch {history.epoch[-1] + 1}"
    elif stopping.best is None or not math.isfinite(stopping.best):
        what = f"best {stopping.monitor} is {stopping.best}"
    if what is not None:
        raise keras_tuner.errors.FailedTrialError(
            f"The {what}, with learning rate {settings.learning_rate:g} and clipnorm "
            f"{settings.clipnorm:g}."
        )

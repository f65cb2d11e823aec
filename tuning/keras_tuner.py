"""`HyperDeepRNN`: the `HyperModel` of a search space, for the tuners of Keras Tuner."""

from __future__ import annotations

import hashlib
import json
import math
import os
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import keras

from ..training.callbacks import EpochState, rate_callbacks
from ..training.config import Settings
from ..training.networks import UNITS
from ..utils.errors import ArgumentError, UserError, Words, missing_extra, nearest
from ..utils.former_names import former_names
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

from .input_layers import Given
from .problem import DatasetProblem, OwnProblem
from .targets import first_batch, input_of, shape_of


def seed_from(*parts: Any) -> int:
    """Hashes JSON values to a 31-bit seed that is never 0.

    Pass `seed_from(seed)` to the tuners of Keras Tuner: they sample nearly the same values for
    neighbouring seeds, and 0 is a random seed to them.

    Example:

    >>> seed_from(1) == seed_from(1), seed_from(1) == seed_from(2)
    (True, False)
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1


class HyperDeepRNN(keras_tuner.HyperModel):
    """The hypermodel of a search space, for any tuner of Keras Tuner.

    On a data set of the package, training and evaluation are those of `deep-rnn train`, and
    `tuner.search` takes no data. For your own data, `input_shape`, `output` and `loss` define the
    problem, and `tuner.search` takes the data like `Model.fit`, with `validation_data`; the
    optimizer is AdamW with a constant learning rate.

    Training uses early stopping on the objective. A loss that is not finite ends it and fails the
    trial.

    Initial weights, dropout and the order of the data depend on `seed` and the trial's values
    only: a trial has the same result in any order and in any process. On a data set of the
    package, so does `deep-rnn train` with the settings of `settings_of` and the seed of `seed_of`.

    `for_arrays` takes the shapes from your data.

    Args:
        data: Name of a data set, path of your own music or text, or a `Dataset`. None if the
            arguments from `input_shape` on define the problem.
        space: `SearchSpace` over settings of `deep-rnn train`, the depths of `paper_space` and
            `deep_units`. None: `paper_space()`, without `units` if there is a budget.
        budget: Number of parameters of every network, within 2 %; see `units_for_budget`.
        seed: Seed of every trial.
        settings: Dict of settings that are not searched, such as `{"epochs": 20}`; all others have
            the defaults of the data set. The learning rate decays to zero over `epochs`: set the
            number here, not in `tuner.search`.
        manual_dir: Folder of manually downloaded files.
        data_dir: Folder of prepared data sets.
        input_shape: (T, D) of one sequence; T may be None. With `input_layers` the shape that the
            first of them takes, without the batch.
        output: Keras layer on top of the recurrent one; each network gets a copy.
        loss: Loss of `Model.compile`.
        metric: Metric, or name of one, that is the objective; None: the loss.
        direction: Whether to minimize ("min") or maximize ("max") the objective.
        return_sequences: Whether the output layer receives all time steps, (B, T, H), or only the
            last one, (B, H), as for one target per sequence.
        input_layers: Layers before the recurrent one, whose output is (B, T, D), such as an
            `Embedding` or an adapted `Normalization`: a Keras layer, a list of them, or a function
            without arguments that makes them. Each network gets copies; those of a layer that has
            weights or has been adapted begin with its state.
        input_dtype: Dtype of the input, such as "int32" or "string"; None: Keras's default.
        bidirectional: Whether a second recurrent layer of the same sizes reads the sequence
            backwards; the outputs of both are concatenated, (B, T, 2H).

    Attributes:
        space: The `SearchSpace`.
        objective: The `keras_tuner.Objective`.
        dataset: The `Dataset`; None for your own data.
        trial: None, or a string that changes the seed of every trial, to repeat trials with other
            initial weights.

    Raises:
        UserError: The data does not exist, the space or the settings have an unknown name, or a
            network of the space cannot meet the budget.

    Example:

    >>> hyper = HyperDeepRNN(
    ...     input_shape=(None, 3), output=keras.layers.Dense(2), loss="mse", budget=5_000
    ... )
    >>> model = hyper.build(keras_tuner.HyperParameters())
    >>> model.name, model.count_params()
    ('rnn', 5034)
    """

    @former_names(data_path="manual_dir")
    def __init__(
        self,
        data: str | os.PathLike[str] | Dataset | None = None,
        space: SearchSpace | None = None,
        *,
        budget: int | None = None,
        seed: int = 1,
        settings: Mapping[str, Any] | None = None,
        manual_dir: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        input_shape: Sequence[int | None] | None = None,
        output: keras.layers.Layer | None = None,
        loss: Any = None,
        metric: str | keras.metrics.Metric | None = None,
        direction: str = "min",
        return_sequences: bool = True,
        input_layers: Given = None,
        input_dtype: str | None = None,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(name="deep_rnn")
        own = (input_shape, output, loss, metric)
        if (data is None) == all(part is None for part in own):
            raise UserError(
                "Pass either `data`, or `input_shape`, `output` and `loss` for your own data; "
                f"got data={data!r}, input_shape={input_shape!r}."
            )
        if data is not None:
            given = {"input_layers": input_layers, "bidirectional": bidirectional or None}
            for name, value in given.items():
                if value is not None:
                    raise ArgumentError(name, "left out for a data set of the package", value)
            self._problem = DatasetProblem(data, manual_dir, data_dir)
        else:
            self._problem = OwnProblem(
                *own, direction, return_sequences, input_layers, input_dtype, bidirectional
            )
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
            check_budget(space, budget, **self._problem.sizes, fixed=fixed)
        self._settings(space.defaults())  # checks the fixed settings before the first trial
        problem = self._problem
        self.objective = keras_tuner.Objective(problem.objective, problem.direction)
        self.dataset: Dataset | None = getattr(problem, "dataset", None)

    @classmethod
    def for_arrays(
        cls,
        x: Any,
        y: Any = None,
        space: SearchSpace | None = None,
        *,
        output: keras.layers.Layer,
        loss: Any,
        return_sequences: bool | None = None,
        **options: Any,
    ) -> HyperDeepRNN:
        """The hypermodel for your own data, whose shapes it takes from the data.

        The data is looked at and not kept: pass it to `tuner.search`, too.

        Args:
            x: Inputs: an array (N, T, D), or with `input_layers` any array. Or a
                `tf.data.Dataset` or a `PyDataset` of batches (x, y).
            y: Targets: an array (N, ...) for one target per sequence, or (N, T, ...) for one per
                time step. None if `x` makes the batches.
            space: See `HyperDeepRNN`.
            output: See `HyperDeepRNN`.
            loss: See `HyperDeepRNN`.
            return_sequences: See `HyperDeepRNN`. None: True if `y` fits one target per time step,
                False if it fits one per sequence.
            **options: Further arguments of `HyperDeepRNN`, except for `data` and `input_shape`.

        Raises:
            ArgumentError: The data does not fit the output layer and the loss, or both values of
                `return_sequences` fit it.

        Example:

        >>> import numpy as np
        >>> x, y = np.zeros((8, 10, 3)), np.zeros((8, 1))
        >>> hyper = HyperDeepRNN.for_arrays(x, y, output=keras.layers.Dense(1), loss="mse")
        >>> hyper.build(keras_tuner.HyperParameters()).output_shape
        (None, 1)
        """
        with_layers = options.get("input_layers") is not None
        first = (x, y) if y is not None else first_batch(x)
        shape, dtype = input_of(first[0], with_layers)
        options.setdefault("input_dtype", dtype)

        if return_sequences is None:
            names = ("input_layers", "input_dtype", "bidirectional")
            given = {name: options[name] for name in names if name in options}
            problem = OwnProblem(shape, output, loss, **given)
            return_sequences = problem.returns_sequences(cast(tuple, shape_of(first[0])), first[1])
        options.update(output=output, loss=loss, return_sequences=return_sequences)
        hyper = cls(None, space, input_shape=shape, **options)
        cast(OwnProblem, hyper._problem).check(*first)
        return hyper

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Declares the hyperparameters and builds the compiled network of their values.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        return self.network(self.space.sample_keras_tuner(hp))

    def network(self, values: Mapping[str, Any]) -> keras.Model:
        """Builds the compiled network of a dict of values, with its initial weights."""
        model = self._problem.build(self._settings(self.space.active(values)))
        # A tuner loads checkpoints, which hold the variables of the optimizer.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains the network of `build` with early stopping on the objective.

        Args:
            hp: `keras_tuner.HyperParameters` of `build`.
            model: The network.
            *args: Your own data, in the form of `Model.fit`.
            **kwargs: Further arguments of `Model.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            keras_tuner.errors.FailedTrialError: The loss, or the objective in every epoch, was not
                finite.
            keras_tuner.errors.FatalValueError: The arguments do not fit the problem; it ends the
                search.
        """
        settings = self._settings(self.space.active(hp.values))
        callbacks, initial_epoch = kwargs.pop("callbacks", []), kwargs.get("initial_epoch", 0)
        epochs = kwargs.pop("epochs", settings.epochs)
        try:
            args, more, batches = self._problem.fit_arguments(model, settings, args, kwargs)
        except UserError as error:  # every other trial would fail, too
            raise keras_tuner.errors.FatalValueError(str(error)) from None
        if initial_epoch and batches is not None:
            # Hyperband resumes a trial: so does its learning rate schedule.
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
            *rate_callbacks(settings, stopping),
        ]
        history = model.fit(*args, **kwargs, **more, epochs=epochs, callbacks=[*own, *callbacks])
        _check_finite(history, stopping, settings)
        return history

    def seed_of(self, values: Mapping[str, Any]) -> int:
        """The seed of the trial with these values."""
        values = self.space.active(values)
        return seed_from(self.seed, values if self.trial is None else [values, self.trial])

    def parameters(self, values: Mapping[str, Any]) -> int:
        """The number of parameters of the network with these values."""
        settings = self.settings_of(values)
        return count_parameters(settings, **self._problem.sizes)

    def settings_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of `deep-rnn train` that reproduce the trial with these values.

        Args:
            values: Dict that holds at least the active values.

        Returns:
            Dict of keyword arguments of `Settings`.
        """
        chosen = {**self._fixed, **self.space.active(values)}
        values = {"network": Settings.network, "units": UNITS, **chosen}
        if self.budget is not None:
            values.update(units_for_budget(values, self.budget, **self._problem.sizes))
        return settings_of(values)

    def _settings(self, values: Mapping[str, Any]) -> Settings:
        return self._problem.complete({**self.settings_of(values), "seed": self.seed_of(values)})

    def _check_names(self) -> None:
        known = (*self._problem.known, *SIZES, "deep_units")
        for name in (*self.space.names, *self._fixed):
            if name not in known:
                hint = nearest(name, known)
                raise ArgumentError(name, "the name of a setting that a search can vary", hint=hint)
            if name in self.space and name in self._fixed:
                raise ArgumentError(name, "either searched or fixed", Words("both"))


def _check_finite(
    history: keras.callbacks.History, stopping: keras.callbacks.EarlyStopping, settings: Settings
) -> None:
    """Fails a trial whose training diverged."""
    losses = history.history["loss"]
    reason = None
    if not math.isfinite(losses[-1]):
        reason = f"loss is {losses[-1]} in epoch {history.epoch[-1] + 1}"
    elif stopping.best is None or not math.isfinite(stopping.best):
        reason = f"best {stopping.monitor} is {stopping.best}"
    if reason is not None:
        raise keras_tuner.errors.FailedTrialError(
            f"The {reason}, with learning rate {settings.learning_rate:g} and clipnorm "
            f"{settings.clipnorm:g}."
        )

"""What a search trains on: a data set of the package, or data of the user's own."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras

from .. import data
from ..training.config import NETWORK_ARGUMENTS, Settings, network_arguments
from ..training.models import recurrent_layer
from ..training.results import PRIMARY
from ..training.setup import batches, check_lengths, prepare
from ..utils.errors import ArgumentError, Words, argument_is
from ..utils.fields import fields_of
from ..utils.validation import flag, keras_layer, one_of

# Settings that only the data sets of the package have a use for.
_OF_DATA_SETS = (
    "weight_noise", "output_bias", "output_stddev", "bptt_steps", "optimizer", "momentum",
    "decay_after", "decay_beta", "warmup",
)  # fmt: skip
SETTINGS = tuple(name for name, field in fields_of(Settings).items() if field.extra["searched"])


class DatasetProblem:
    """A data set of the package, trained and measured as `deep-rnn train` does it.

    Args:
        name: A `Dataset`, or what `data.load` takes.
        data_path: As for `data.load`.
        data_dir: As for `data.load`.

    Attributes:
        features: D, the width of x.
        outputs: What comes after the recurrent layer, as `count_parameters` takes it.
        objective: Name in the logs of what is searched for.
        direction: "min" or "max".
        known: Names of the settings that a space may have.
    """

    known = SETTINGS
    outputs = None
    direction = "min"

    def __init__(
        self,
        name: str | os.PathLike[str] | data.Dataset,
        data_path: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.dataset: data.Dataset
        if isinstance(name, data.Dataset):
            self.dataset = name
        else:
            with argument_is("name", "data"):
                self.dataset = data.load(name, data_path=data_path, data_dir=data_dir)
        check_lengths(self.dataset)
        self.features = self.dataset.features
        self.objective = f"val_{PRIMARY[self.dataset.kind]}"

    def complete(self, settings: Mapping[str, Any]) -> Settings:
        """A dict of settings as complete `Settings`."""
        return Settings(self.dataset.name, **settings).complete(self.dataset)

    def build(self, settings: Settings) -> keras.Model:
        """The compiled network of complete `Settings`."""
        return prepare(settings, self.dataset, network_arguments(settings, self.dataset))[0]

    def fit_arguments(
        self, settings: Settings, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """What `Model.fit` takes for the data, and the batches whose order follows the epoch.

        Args:
            settings: Complete `Settings`.
            args: What the search was given by position.
            kwargs: What the search was given by name.

        Returns:
            Arguments by position, arguments by name beside `kwargs`, and the batches or None.
        """
        names = ("x", "y", "validation_data", "validation_split", "batch_size", "shuffle")
        given = ["x"] if args else [name for name in names if name in kwargs]
        if given:
            raise ArgumentError(given[0], f"left out: it is that of {self.dataset.name}")
        training = batches(settings, self.dataset, "train")
        validation = batches(settings, self.dataset, "validation")
        return (training,), {"validation_data": validation, "shuffle": False}, training


class OwnProblem:
    """Data that the user gives to the search, with an output layer, a loss and a metric.

    Args:
        input_shape: (T, D) of one sequence; T may be None.
        output: Keras layer on top of the recurrent one; each network gets a copy.
        loss: As `Model.compile` takes it.
        metric: As `Model.compile` takes one; None searches for the loss.
        direction: "min" or "max": which results are better.
        return_sequences: Whether the output layer gets every time step, or the last one.

    Attributes are those of `DatasetProblem`.
    """

    defaults = {
        "epochs": 50,
        "batch_size": 32,
        "learning_rate": 0.001,
        "recurrent_dropout": 0.0,
        "output_dropout": 0.0,
        "patience": 10,
    }
    known = tuple(name for name in SETTINGS if name not in _OF_DATA_SETS)

    def __init__(
        self,
        input_shape: Sequence[int | None] | None,
        output: keras.layers.Layer | None,
        loss: Any,
        metric: str | keras.metrics.Metric | None,
        direction: str,
        return_sequences: bool,
    ) -> None:
        shape = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else ()
        if len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 1:
            raise ArgumentError("input_shape", "(T, D), T or None", input_shape)
        if loss is None:
            raise ArgumentError("loss", "what Keras takes as a loss", Words("None"))
        self.input_shape, self.features = shape, shape[1]
        self.output = keras_layer("output", output)
        self.loss, self.metric = loss, metric
        self.direction = one_of(("min", "max"))("direction", direction)
        self.return_sequences = flag("return_sequences", return_sequences)
        name = metric if isinstance(metric, str) else getattr(metric, "name", None)
        if metric is not None and name is None:
            raise ArgumentError("metric", "a name or a Keras metric", metric)
        self.objective = f"val_{name or 'loss'}"
        self._outputs: dict[int, int] = {}

    def outputs(self, width: int) -> int:
        """The number of parameters of the output layer upon a recurrent layer of this width."""
        if width not in self._outputs:
            layer = _copy(self.output)
            time = (self.input_shape[0],) if self.return_sequences else ()
            layer(keras.KerasTensor((None, *time, width)))
            self._outputs[width] = layer.count_params()
        return self._outputs[width]

    def complete(self, settings: Mapping[str, Any]) -> Settings:
        """A dict of settings as complete `Settings`."""
        return Settings("the user's own", **{**self.defaults, "bptt_steps": 0, **settings})

    def build(self, settings: Settings) -> keras.Model:
        """The compiled network of complete `Settings`."""
        arguments = {
            name: getattr(settings, name)
            for name in NETWORK_ARGUMENTS
            if name not in _OF_DATA_SETS and getattr(settings, name) is not None
        }
        keras.utils.set_random_seed(settings.seed)
        x = keras.Input(self.input_shape, name="x")
        y = recurrent_layer(
            settings.network,
            **arguments,
            return_sequences=self.return_sequences,
            name="recurrent",
        )(x)
        if settings.output_dropout:
            y = keras.layers.Dropout(settings.output_dropout, seed=settings.seed)(y)
        model = keras.Model(x, _copy(self.output)(y), name=settings.network)
        optimizer = keras.optimizers.AdamW(
            cast(float, settings.learning_rate),
            weight_decay=settings.weight_decay,
            global_clipnorm=settings.clipnorm,
        )
        metrics = [] if self.metric is None else [_copy(self.metric)]
        model.compile(optimizer, _copy(self.loss), metrics=metrics)
        return model

    def fit_arguments(
        self, settings: Settings, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], None]:
        """See `DatasetProblem.fit_arguments`; the data is what the search was given."""
        if not {"validation_data", "validation_split"} & set(kwargs):
            raise ArgumentError("validation_data", "given to the search", Words("none"))
        if "batch_size" in kwargs:
            raise ArgumentError("batch_size", "left to the search space and the settings")
        # What gives out batches by itself comes without `y`.
        arrays = len(args) > 1 or kwargs.get("y") is not None
        return args, {"batch_size": settings.batch_size} if arrays else {}, None


def _copy(part: Any) -> Any:
    """A new layer, metric or loss like `part`: what has been used by one network stays with it."""
    return type(part).from_config(part.get_config()) if hasattr(part, "get_config") else part

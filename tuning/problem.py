"""The learning problem of a search: a data set of the package, or your own data."""

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras

from .. import data
from ..training.config import NETWORK_ARGUMENTS, Settings, network_arguments
from ..training.models import recurrent_layer, seeded
from ..training.results import PRIMARY
from ..training.setup import batches, check_lengths, prepare
from ..utils.errors import NOTHING, ArgumentError, Words, argument_is
from ..utils.fields import fields_of
from ..utils.validation import flag, keras_layer, one_of

# Settings that apply to data sets of the package only.
_OF_DATA_SETS = (
    "weight_noise", "output_bias", "output_stddev", "bptt_steps", "optimizer", "momentum",
    "decay_after", "decay_beta", "warmup", "tied", "word_dropout", "halve_above",
)  # fmt: skip
SETTINGS = tuple(name for name, field in fields_of(Settings).items() if field.extra["searched"])


class DatasetProblem:
    """A data set of the package, with the training and evaluation of `deep-rnn train`.

    Args:
        name: A `Dataset`, or the name or path of one; see `data.load`.
        manual_dir: See `data.load`.
        data_dir: See `data.load`.

    Attributes:
        features: D, the number of input features.
        outputs: Size of the output layer; see `count_parameters`.
        objective: Name of the objective in the training logs.
        direction: "min" or "max".
        known: Names of the settings that a space may vary.
    """

    known = SETTINGS
    outputs = None
    direction = "min"

    def __init__(
        self,
        name: str | os.PathLike[str] | data.Dataset,
        manual_dir: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.dataset: data.Dataset
        if isinstance(name, data.Dataset):
            self.dataset = name
        else:
            with argument_is("name", "data"):
                self.dataset = data.load(name, manual_dir=manual_dir, data_dir=data_dir)
        check_lengths(self.dataset)
        self.features = self.dataset.features
        self.objective = f"val_{PRIMARY[self.dataset.kind]}"

    def complete(self, settings: Mapping[str, Any]) -> Settings:
        """Completes a dict of settings with the defaults."""
        return Settings(self.dataset.name, **settings).complete(self.dataset)

    def build(self, settings: Settings) -> keras.Model:
        """Builds and compiles the network of complete `Settings`."""
        return prepare(settings, self.dataset, network_arguments(settings, self.dataset))[0]

    def fit_arguments(
        self, model: keras.Model, settings: Settings, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """The data arguments of `Model.fit`.

        Args:
            model: The network.
            settings: Complete `Settings`.
            args: Positional arguments of `tuner.search`.
            kwargs: Keyword arguments of `tuner.search`.

        Returns:
            Positional arguments, keyword arguments to add to `kwargs`, and the training batches
            if their order depends on the epoch, or None.

        Raises:
            ArgumentError: The arguments of `tuner.search` do not fit the problem.
        """
        names = ("x", "y", "validation_data", "validation_split", "batch_size", "shuffle")
        given = ["x"] if args else [name for name in names if name in kwargs]
        if given:
            raise ArgumentError(given[0], f"left out: the data set is {self.dataset.name}")
        training = batches(settings, self.dataset, "train")
        validation = batches(settings, self.dataset, "validation")
        return (training,), {"validation_data": validation, "shuffle": False}, training


class OwnProblem:
    """Your own data, which `tuner.search` is given, with an output layer, a loss and a metric.

    Args:
        input_shape: (T, D) of one sequence; T may be None.
        output: Keras layer on top of the recurrent one; each network gets a copy.
        loss: Loss of `Model.compile`.
        metric: Metric of `Model.compile` that is the objective; None: the loss.
        direction: Whether to minimize ("min") or maximize ("max") the objective.
        return_sequences: Whether the output layer receives all time steps, or only the last one.

    Attributes: see `DatasetProblem`.
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
            raise ArgumentError("loss", "a loss of Keras", Words("None"))
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
        """The number of parameters of the output layer on top of `width` recurrent units."""
        if width not in self._outputs:
            layer = _clone(self.output)
            time = (self.input_shape[0],) if self.return_sequences else ()
            layer(keras.KerasTensor((None, *time, width)))
            self._outputs[width] = layer.count_params()
        return self._outputs[width]

    def complete(self, settings: Mapping[str, Any]) -> Settings:
        """Completes a dict of settings with the defaults."""
        return Settings("your own data", **{**self.defaults, "bptt_steps": 0, **settings})

    def build(self, settings: Settings) -> keras.Model:
        """Builds and compiles the network of complete `Settings`."""
        arguments = {
            name: getattr(settings, name)
            for name in NETWORK_ARGUMENTS
            if name not in _OF_DATA_SETS and getattr(settings, name) is not None
        }
        output_dropout = arguments.pop("logits_dropout", settings.output_dropout)
        keras.utils.set_random_seed(settings.seed)  # for code of the output layer's own
        seeds = random.Random(settings.seed)
        x = keras.Input(self.input_shape, name="x")
        recurrent = recurrent_layer(
            settings.network,
            **arguments,
            return_sequences=self.return_sequences,
            name="recurrent",
        )
        y = seeded(recurrent, seeds)(x)
        if output_dropout:
            y = keras.layers.Dropout(output_dropout, seed=settings.seed)(y)
        model = keras.Model(x, seeded(self.output, seeds)(y), name=settings.network)
        optimizer = keras.optimizers.AdamW(
            cast(float, settings.learning_rate),
            weight_decay=settings.weight_decay,
            global_clipnorm=settings.clipnorm,
        )
        metrics = [] if self.metric is None else [_clone(self.metric)]
        model.compile(optimizer, _clone(self.loss), metrics=metrics)
        return model

    def fit_arguments(
        self, model: keras.Model, settings: Settings, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], None]:
        """See `DatasetProblem.fit_arguments`; the data is that of `tuner.search`."""
        if not {"validation_data", "validation_split"} & set(kwargs):
            raise ArgumentError("validation_data", "given to `tuner.search`", NOTHING)
        if "batch_size" in kwargs:
            raise ArgumentError("batch_size", "left out: it is a setting or a hyperparameter")
        x, y, *_ = *args, *(kwargs.get(name) for name in ("x", "y")[len(args) :])
        if _is_elementwise(self.loss):
            self._check_rank(model, x, y)
        # A data set that makes its own batches comes without `y`.
        return args, {} if y is None else {"batch_size": settings.batch_size}, None

    def _check_rank(self, model: keras.Model, x: Any, y: Any) -> None:
        """Refuses targets that a loss of Keras would broadcast against the model's output."""
        if y is None:
            x, y = _first_batch(x)
        x_shape, y_shape = _shape(x), _shape(y)
        if x_shape is None or y_shape is None:
            return
        output_shape = model.compute_output_shape(x_shape)
        # Keras adds the last axis to class indices, and to the targets of a single output.
        if len(y_shape) == len(output_shape) or y_shape[1:] == output_shape[1:-1]:
            return
        hint = ""
        if self.return_sequences and len(y_shape) < len(output_shape):
            hint = "; for one target per sequence set return_sequences=False."
        elif not self.return_sequences and len(y_shape) > len(output_shape):
            hint = "; for one target per time step set return_sequences=True."
        expected = f"the rank of the model's output, whose shape is {output_shape}"
        raise ArgumentError("y", expected, Words(f"shape {y_shape}"), hint, verb="have")


def _is_elementwise(loss: Any) -> bool:
    """Whether a loss is known to compare targets and outputs element by element."""
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    if loss is keras.losses.ctc or isinstance(loss, keras.losses.CTC):
        return False
    return (getattr(loss, "__module__", None) or "").startswith("keras.")  # not a custom loss


def _first_batch(data: Any) -> tuple[Any, Any]:
    """x and y of a batch, or their specifications; None for those not known before training."""
    batch = getattr(data, "element_spec", None)  # of a tf.data.Dataset
    if isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    return batch[:2] if isinstance(batch, tuple) and len(batch) > 1 else (None, None)


def _shape(tensor: Any) -> tuple[int | None, ...] | None:
    """The shape of a tensor or its specification; None if the rank is unknown."""
    shape = getattr(tensor, "shape", None)
    return None if shape is None or getattr(shape, "rank", 0) is None else tuple(shape)


def _clone(part: Any) -> Any:
    """A new layer, metric or loss with the config of `part`: networks must not share them."""
    return type(part).from_config(part.get_config()) if hasattr(part, "get_config") else part

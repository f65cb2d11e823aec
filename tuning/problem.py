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
from .input_layers import Given, InputLayers
from .targets import (
    check_output,
    check_targets,
    first_batch,
    fits,
    is_ctc,
    is_elementwise,
    shape_of,
)

# Settings that apply to data sets of the package only.
_OF_DATA_SETS = (
    "weight_noise", "output_bias", "output_stddev", "bptt_steps", "optimizer", "momentum",
    "decay_after", "decay_beta", "warmup", "tied", "word_dropout", "halve_above",
    "output", "nade_units", "frequency_bias",
)  # fmt: skip
SETTINGS = tuple(name for name, field in fields_of(Settings).items() if field.extra["searched"])


class DatasetProblem:
    """A data set of the package, with the training and evaluation of `deep-rnn train`.

    Args:
        name: A `Dataset`, or the name or path of one; see `data.load`.
        manual_dir: See `data.load`.
        data_dir: See `data.load`.

    Attributes:
        sizes: Arguments of `count_parameters` beside the settings.
        objective: Name of the objective in the training logs.
        direction: "min" or "max".
        known: Names of the settings that a space may vary.
    """

    known = SETTINGS
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
        self.sizes: dict[str, Any] = {"features": self.dataset.features, "outputs": None}
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
        input_shape: (T, D) of one sequence; T may be None. With `input_layers` any shape.
        output: Keras layer on top of the recurrent one; each network gets a copy.
        loss: Loss of `Model.compile`.
        metric: Metric of `Model.compile` that is the objective; None: the loss.
        direction: Whether to minimize ("min") or maximize ("max") the objective.
        return_sequences: Whether the output layer receives all time steps, or only the last one.
        input_layers: Layers before the recurrent one; see `InputLayers`.
        input_dtype: Dtype of the input, such as "string"; None: Keras's default.
        bidirectional: Whether a second recurrent layer reads the sequence backwards.

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
        metric: str | keras.metrics.Metric | None = None,
        direction: str = "min",
        return_sequences: bool = True,
        input_layers: Given = None,
        input_dtype: str | None = None,
        bidirectional: bool = False,
    ) -> None:
        self.input_layers, self.input_dtype = InputLayers(input_layers), input_dtype
        self.input_shape, features = self._checked_input(input_shape)
        if loss is None:
            raise ArgumentError("loss", "a loss of Keras", Words("None"))
        self.output = keras_layer("output", output)
        self.loss, self.metric = loss, metric
        check_output(self.output, loss)
        self.direction = one_of(("min", "max"))("direction", direction)
        self.return_sequences = flag("return_sequences", return_sequences)
        self.bidirectional = flag("bidirectional", bidirectional)
        name = metric if isinstance(metric, str) else getattr(metric, "name", None)
        if metric is not None and name is None:
            raise ArgumentError("metric", "a name or a Keras metric", metric)
        self.objective = f"val_{name or 'loss'}"
        self._outputs: dict[int, int] = {}
        self.sizes: dict[str, Any] = {
            "features": features,
            "outputs": self.outputs,
            "before": 0 if self._front is None else self._front.count_params(),
            "bidirectional": self.bidirectional,
        }

    def _checked_input(self, input_shape: Any) -> tuple[tuple[int | None, ...], int]:
        """The input shape, and D, the number of features of the recurrent layer."""
        self._front: keras.Model | None = None
        shape = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else None
        if self.input_layers and shape is not None:
            x = keras.Input(shape, dtype=self.input_dtype, name="x")
            front = keras.Model(x, _stacked(self.input_layers.make(random.Random(0)), x))
            self._front, read = front, front.output_shape
            if len(read) != 3 or read[-1] is None:
                hint = "; end them in an Embedding." if len(read) == 2 else ""
                expected = "layers whose output has shape (B, T, D)"
                raise ArgumentError("input_layers", expected, Words(f"{read}"), hint)
            return shape, read[-1]
        if shape is None or len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 1:
            expected = "(T, D), T or None"
            if self.input_layers:
                expected = "the shape of one sequence, such as (None,)"
            raise ArgumentError("input_shape", expected, input_shape)
        return shape, shape[1]

    def outputs(self, width: int) -> int:
        """The number of parameters of the output layer on top of `width` recurrent units."""
        if width not in self._outputs:
            layer = _clone(self.output)
            read = self.input_shape if self._front is None else self._front.output_shape[1:]
            time = (read[0],) if self.return_sequences else ()
            layer(keras.KerasTensor((None, *time, width)))
            self._outputs[width] = layer.count_params()
        return self._outputs[width]

    def output_shape(
        self, x_shape: Sequence[int | None], return_sequences: bool
    ) -> tuple[int | None, ...] | None:
        """The shape of the output for inputs of a shape; None if the output layer takes none."""
        read = x_shape
        if self._front is not None:
            read = self._front.compute_output_shape(tuple(x_shape))
        time = (read[1],) if return_sequences else ()
        try:
            layer = _clone(self.output)
            return tuple(layer(keras.KerasTensor((None, *time, 2))).shape)
        except ValueError:
            return None

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
        keras.utils.set_random_seed(settings.seed)  # for code of the layers' own
        seeds = random.Random(settings.seed)
        x = keras.Input(self.input_shape, dtype=self.input_dtype, name="x")

        def recurrent(name: str, **more: Any) -> keras.layers.Layer:
            more["return_sequences"] = self.return_sequences
            return seeded(recurrent_layer(settings.network, name=name, **arguments, **more), seeds)

        middle, output = recurrent("recurrent"), seeded(self.output, seeds)
        if self.bidirectional:
            # By default Keras copies a layer with its seeds, so that both have the same weights.
            backward = recurrent("recurrent_backward", go_backwards=True)
            middle = keras.layers.Bidirectional(
                middle, backward_layer=backward, name="bidirectional"
            )
        y: Any = middle(_stacked(self.input_layers.make(seeds), x))
        if output_dropout:
            y = keras.layers.Dropout(output_dropout, seed=settings.seed)(y)
        model = keras.Model(x, output(y), name=settings.network)
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
        self.check(x, y)
        validation = kwargs.get("validation_data")
        if isinstance(validation, (list, tuple)) and len(validation) > 1:
            self.check(*validation[:2], of="validation_data")
        elif validation is not None:
            self.check(validation, None, of="validation_data")
        # A data set that makes its own batches comes without `y`.
        return args, {} if y is None else {"batch_size": settings.batch_size}, None

    def check(self, x: Any, y: Any = None, *, of: str | None = None) -> None:
        """Refuses data that does not fit the networks.

        Args:
            x: Inputs (B, ...), or a data set that makes batches.
            y: Targets (B, ...).
            of: Name of the argument that has both; None: they are `x` and `y`.

        Raises:
            ArgumentError: The inputs have another shape, or Keras would broadcast, cut or clip the
                targets in its loss.
        """
        if y is None:
            x, y = first_batch(x)
        x_shape, y_shape = shape_of(x), shape_of(y)
        if x_shape is None:
            return
        self._check_input(x_shape, "x" if of is None else f"{of}[0]")
        output_shape = self.output_shape(x_shape, self.return_sequences)
        if y_shape is None or output_shape is None or not is_elementwise(self.loss):
            return
        hint = ""
        if self.return_sequences and len(y_shape) < len(output_shape):
            hint = "; for one target per sequence set return_sequences=False."
        elif not self.return_sequences and len(y_shape) > len(output_shape):
            hint = "; for one target per time step set return_sequences=True."
        name = "y" if of is None else f"{of}[1]"
        check_targets(y, output_shape, self.loss, argument=name, hint=hint)

    def _check_input(self, x_shape: tuple[int | None, ...], name: str) -> None:
        expected = (None, *self.input_shape)
        if len(x_shape) == len(expected):
            sizes = zip(x_shape[1:], expected[1:])
            if all(size is None or other in (None, size) for size, other in sizes):
                return
        elif abs(len(x_shape) - len(expected)) == 1 and 1 in (x_shape[-1], expected[-1]):
            return  # Keras adds or removes a last axis of one
        shape = ", ".join(["N", *map(str, self.input_shape)])
        raise ArgumentError(name, f"shape ({shape})", Words(f"{x_shape}"), verb="have")

    def returns_sequences(self, x_shape: tuple[int | None, ...], y: Any) -> bool:
        """Whether targets are one per time step, by their shape.

        Args:
            x_shape: Shape of the inputs.
            y: Targets, or their specification.

        Raises:
            ArgumentError: The targets fit neither one per time step nor one per sequence, or both.
        """
        y_shape = shape_of(y)
        if is_ctc(self.loss):
            return True
        shapes = {flag: self.output_shape(x_shape, flag) for flag in (True, False)}
        if y_shape is None:
            raise ArgumentError("return_sequences", "given: the shape of `y` is not known")
        if is_elementwise(self.loss):
            found = [
                flag for flag, shape in shapes.items() if shape and fits(y_shape, shape, self.loss)
            ]
        else:
            steps = (shapes[True] or (None, None))[1]
            of_steps = len(y_shape) > 1 and y_shape[1] == steps
            found = [True, False] if of_steps and len(y_shape) == 2 else [of_steps]
        if len(found) == 1:
            return found[0]
        if found:
            got = Words(f"`y` of shape {y_shape}, which can be one target per time step or more "
                        "per sequence")  # fmt: skip
            raise ArgumentError("return_sequences", "given", got)
        return len(y_shape) > 2  # `check` explains what does not fit


def _stacked(layers: Sequence[keras.layers.Layer], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def _clone(part: Any) -> Any:
    """A new layer, metric or loss with the config of `part`: networks must not share them."""
    return type(part).from_config(part.get_config()) if hasattr(part, "get_config") else part

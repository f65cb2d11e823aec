"""Builds the Keras models of the networks in `networks.py`."""

import math
import random
from collections.abc import Sequence
from typing import Any, TypeVar

import keras

from .. import layers
from ..data.dataset import KINDS
from ..layers import (
    NADE,
    FastDropoutDense,
    LpUnit,
    Maxout,
    SparseInitializer,
    TiedEmbedding,
    WeightNoise,
)
from ..utils.errors import ArgumentError
from ..utils.validation import CHECKS, flag, number, one_of, positive_integer, rate
from .networks import NADE_UNITS, sizes_of

Layer = TypeVar("Layer", bound=keras.layers.Layer)

# Layer class of each network, and the arguments that its name fixes.
LAYERS: dict[str, tuple[type[layers.DeepRNN], dict[str, Any]]] = {
    "rnn": (layers.DeepTransitionRNN, {}),
    "deep_input_rnn": (layers.DeepInputRNN, {}),
    "dt_rnn": (layers.DeepTransitionRNN, {}),
    "dts_rnn": (layers.DeepTransitionRNN, {"shortcut": True}),
    "do_rnn": (layers.DeepOutputRNN, {}),
    "dot_rnn": (layers.DeepOutputTransitionRNN, {}),
    "dots_rnn": (layers.DeepOutputTransitionRNN, {"shortcut": True}),
    "srnn": (layers.StackedRNN, {}),
    "fast_dropout_rnn": (layers.FastDropoutRNN, {}),
    "rhn": (layers.RecurrentHighway, {}),
    "dt_gru": (layers.DeepTransitionGRU, {}),
    "dt_lstm": (layers.DeepTransitionLSTM, {}),
    "gru": (layers.DeepTransitionGRU, {"depth": 1}),
    "lstm": (layers.DeepTransitionLSTM, {"depth": 1}),
}
# Whether the keys of a frame are independent, or have a joint distribution.
OUTPUTS = ("independent", "nade")
# Activations of this package by name, beside those of Keras.
ACTIVATIONS = {"maxout": Maxout, "lp_unit": LpUnit}
# Settings that are arguments of `build_network`, but not of its recurrent layer.
OF_MODEL = (
    "output", "nade_units", "tied", "word_dropout", "logits_dropout", "output_bias",
    "output_stddev", "weight_noise",
)  # fmt: skip
# Initializers of the transition's kernels by name, as functions of their largest singular value.
INITIALIZERS = {
    "orthogonal": keras.initializers.Orthogonal,
    "sparse": lambda gain: SparseInitializer(nonzeros=20, singular_value=gain),
}


def recurrent_layer(
    network: str,
    *,
    units: int,
    input_units: Sequence[int] | None = None,
    transition_units: Sequence[int] | None = None,
    output_units: Sequence[int] | None = None,
    levels: int | None = None,
    depth: int | None = None,
    input_to: str | None = None,
    skip: str | None = None,
    level_dropout: float | None = None,
    output_dropout: float = 0.0,
    activation: Any = "tanh",
    intermediate_activation: Any = None,
    output_activation: Any = None,
    recurrent_initializer: Any = None,
    gain: float | None = None,
    input_stddev: float | None = None,
    kernel_stddev: float | None = None,
    **options: Any,
) -> layers.DeepRNN:
    """Builds the recurrent layer of a network; see `build_network` for the arguments.

    Sizes that the network does not have must be None. Those that it has default to one layer of
    `units`, two levels, or a depth of two.

    Example:

    >>> recurrent_layer("dts_rnn", units=8).transition_units
    (8,)
    """
    units = positive_integer("units", units)
    sizes = {
        "input_units": input_units,
        "transition_units": transition_units,
        "output_units": output_units,
        "levels": levels,
        "depth": depth,
        "input_to": input_to,
    }
    arguments = sizes_of(network, units, sizes)
    layer, fixed = LAYERS[network]
    arguments |= fixed
    options["activation"] = _activation(activation)
    if "transition_units" in arguments:
        arguments["intermediate_activation"] = _activation(intermediate_activation)
    elif intermediate_activation is not None:
        expected = f"left out for {network!r}, which has no intermediate layers"
        raise ArgumentError("intermediate_activation", expected, intermediate_activation)
    output_activation = _activation(output_activation)
    CHECKS["output_activation"]("output_activation", output_activation)
    if "output_units" in arguments:
        arguments |= {"output_dropout": output_dropout, "output_activation": output_activation}
    initializer = _recurrent_initializer(recurrent_initializer, gain)
    if initializer is not None:
        options["recurrent_initializer"] = initializer
    if input_stddev is not None:
        # Fast dropout has no kernels besides, and calls their initializer `kernel_initializer`.
        name = "kernel_initializer" if network == "fast_dropout_rnn" else "input_initializer"
        options.setdefault(name, _normal("input_stddev", input_stddev))
    if kernel_stddev is not None:
        options.setdefault("kernel_initializer", _normal("kernel_stddev", kernel_stddev))
    if network == "srnn":
        widths = (units,) * arguments.pop("levels")
        return layers.StackedRNN(units=widths, skip=skip, level_dropout=level_dropout, **options)
    for name, value in {"skip": skip, "level_dropout": level_dropout}.items():
        if value is not None:
            raise ArgumentError(name, f"left out for {network!r}, which has no levels", value)
    return layer(units, **arguments, **options)


def build_network(
    network: str,
    *,
    kind: str,
    features: int,
    units: int,
    output: str = "independent",
    nade_units: int = NADE_UNITS,
    tied: bool = False,
    word_dropout: float | None = None,
    output_dropout: float = 0.0,
    logits_dropout: float | None = None,
    output_bias: float | None = None,
    output_stddev: float | None = None,
    weight_noise: float = 0.0,
    stateful: bool = False,
    batch_size: int | None = None,
    seed: int | None = None,
    dtype: Any = None,
    **options: Any,
) -> keras.Model:
    """Builds the model of a network: its recurrent layer and the output layer, which gives logits.

    Args:
        network: One of `NETWORKS`.
        kind: `"piano_roll"`: x is the previous frames, float (B, T, features); `"characters"` or
            `"words"`: x is the previous tokens, int (B, T).
        features: Keys of the piano-roll, or size of the vocabulary.
        units: H, the width of h (of each level of an sRNN).
        output: `"independent"`, or for music `"nade"`: the keys of a frame have a joint
            distribution, see `NADE`. The model then has a third input `target`, the frames (B, T,
            features) whose probability is asked for, and gives the logits of their keys.
        nade_units: Hidden units of this output.
        tied: Whether x(t) is the embedding of a token and the logits use the transpose of the same
            weights, for text; see `TiedEmbedding`.
        word_dropout: Dropout rate of whole tokens; one mask of the vocabulary per sequence. None
            for `dropout`, or 0 with `tied`: there `dropout` is that of the units of x.
        output_dropout: Dropout rate before the deep output.
        logits_dropout: Dropout rate before the output layer; None for `output_dropout`.
        output_bias: Initial value of the output bias; None for 0.
        output_stddev: Standard deviation of the output kernel's normal initializer; None for
            Glorot's uniform initializer, or 0.1 with `tied`.
        weight_noise: Standard deviation of the Gaussian noise on all kernels in training.
        stateful: Whether to carry the states from batch to batch. The model then has a second input
            `reset`, (B, 1), which is 1 for each row that starts a new sequence.
        batch_size: B, required for `stateful`.
        seed: Seed of the weights, of dropout and of noise. None: those of the weights are drawn,
            which `keras.utils.set_random_seed` fixes.
        dtype: Dtype policy of the layers.
        **options: `input_units`, `transition_units`, `output_units` (default: one layer of
            `units`), `levels` (2), `depth` of rhn, dt_gru and dt_lstm (2), `input_to`, `skip`,
            `activation`, `intermediate_activation` (of a deep transition) and `output_activation`
            (of a deep output; each a name of Keras or of `ACTIVATIONS`, of Keras alone for gated
            networks), `dropout`, `level_dropout` (between the levels of srnn; `dropout`),
            `recurrent_dropout`, `recurrent_initializer` (one of `INITIALIZERS`; orthogonal),
            `gain` (1), `input_stddev` and `kernel_stddev` (standard deviations of normal
            initializers in place of `input_initializer` and `kernel_initializer`; the former is 1
            for characters that are not tied), and further arguments of the layer.

    Returns:
        A `keras.Model` from `{"x": ...}`, with "reset" if it is stateful, to the logits
        (B, T, features).

    Raises:
        UserError: An argument is unknown or out of range.

    Example:

    >>> model = build_network("dots_rnn", kind="piano_roll", features=88, units=8)
    >>> model.output_shape
    (None, None, 88)
    """
    one_of(KINDS)("kind", kind)
    features = positive_integer("features", features)
    output_dropout = rate("output_dropout", output_dropout)
    if logits_dropout is None:
        logits_dropout = output_dropout
    logits_dropout = rate("logits_dropout", logits_dropout)
    if stateful:
        batch_size = positive_integer("batch_size", batch_size)
    fast_dropout = network == "fast_dropout_rnn"
    check_output(network, kind, output)
    joint = output == "nade"
    takes_tokens = kind != "piano_roll" and not fast_dropout
    check_words(network, kind, flag("tied", tied), word_dropout, options.get("dropout"))
    if takes_tokens and not tied:
        options["num_tokens"] = features
        if word_dropout is not None:  # x is the unit vector of the word
            options["dropout"] = rate("word_dropout", word_dropout)
            if network == "srnn" and options.get("level_dropout") is None:
                options["level_dropout"] = 0.0
    if kind == "characters" and not tied and options.get("input_stddev") is None:
        options["input_stddev"] = 1.0  # see `Plus`
    recurrent = recurrent_layer(
        network,
        units=units,
        output_dropout=output_dropout,
        return_sequences=True,
        return_state_sequences=fast_dropout,
        stateful=stateful,
        seed=seed,
        dtype=dtype,
        name="recurrent",
        **options,
    )
    output_layer: Any = keras.layers.Dense
    rate_of_layer: dict[str, Any] = {}
    if fast_dropout:  # the layer computes the average over a dropout layer before it
        output_layer, rate_of_layer, logits_dropout = (
            FastDropoutDense,
            {"rate": logits_dropout},
            0.0,
        )
    if joint:
        output_layer, rate_of_layer = NADE, {"hidden_units": nade_units}
    initializer = None if output_stddev is None else _normal("output_stddev", output_stddev)
    bias = number("output_bias", output_bias or 0.0)
    start: dict[str, Any] = {"bias_initializer": keras.initializers.Constant(bias)}
    if tied:
        last = TiedEmbedding(
            features,
            recurrent.cell.output_size,
            dropout=rate("word_dropout", word_dropout or 0.0),
            embeddings_initializer=initializer,
            dtype=dtype,
            name="embedding",
            **start,
        )
    else:
        last = output_layer(
            features,
            kernel_initializer=initializer or "glorot_uniform",
            dtype=dtype,
            name="output",
            **start,
            **rate_of_layer,
        )
    if weight_noise:
        recurrent = WeightNoise(recurrent, weight_noise, seed=seed, name="noisy_recurrent")
        last = WeightNoise(last, weight_noise, seed=_next_seed(seed), name="noisy_output")
    if seed is not None:
        seeds = random.Random(seed)
        recurrent, last = seeded(recurrent, seeds), seeded(last, seeds)

    inputs = {}
    if kind == "piano_roll":
        x = inputs["x"] = keras.Input((None, features), batch_size=batch_size, name="x")
    else:
        tokens = inputs["x"] = keras.Input((None,), batch_size=batch_size, dtype="int32", name="x")
        if tied:
            x = last(tokens)
        elif takes_tokens:
            x = keras.ops.expand_dims(tokens, -1)
        else:  # fast dropout averages over dropped units of x
            x = OneHot(features, dtype=dtype, name="one_hot")(tokens)
    reset = {}
    if stateful:
        inputs["reset"] = reset["reset"] = keras.Input((1,), batch_size=batch_size, name="reset")
    y = recurrent(x, **reset)
    if fast_dropout:
        y = list(y[1:])  # means and variances
    if logits_dropout:
        y = keras.layers.Dropout(logits_dropout, seed=_next_seed(_next_seed(seed)), name="dropout")(
            y
        )
    if joint:
        inputs["target"] = keras.Input((None, features), batch_size=batch_size, name="target")
        y = [y, inputs["target"]]
    y = last(y, reverse=True) if tied else last(y)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(y)
    return keras.Model(inputs, logits, name=network)


def seeded(layer: Layer, seeds: random.Random) -> Layer:
    """A copy of a layer that is not built, in which everything random has a seed.

    Keras draws seeds that are not given from the random numbers of Python, which other threads of
    a process use too.

    Args:
        layer: Layer with a `get_config`.
        seeds: Where its seeds come from.

    Example:

    >>> layer = seeded(keras.layers.Dense(2), random.Random(1))
    >>> layer.kernel_initializer.seed is None
    False
    """

    def filled(config: Any) -> Any:
        if isinstance(config, (list, tuple)):
            return type(config)(map(filled, config))
        if not isinstance(config, dict):
            return config
        config = {name: filled(value) for name, value in config.items()}
        if "seed" in config and config["seed"] is None:
            config["seed"] = seeds.randint(1, 10**9)
        return config

    return type(layer).from_config(filled(layer.get_config()))


def check_output(network: str, kind: str, output: str) -> None:
    """Refuses a joint output where there are no keys, or where the layer averages over dropout."""
    one_of(OUTPUTS)("output", output)
    fast_dropout = network == "fast_dropout_rnn"
    if output != "independent" and (kind != "piano_roll" or fast_dropout):
        what = network if fast_dropout else kind
        raise ArgumentError("output", f"'independent' for {what!r}", output)


def check_words(
    network: str,
    kind: str,
    tied: bool = False,
    word_dropout: float | None = None,
    dropout: float | None = None,
) -> None:
    """Refuses what is for words where x(t) is none, and two rates for the same units.

    Args: see `build_network`.

    Raises:
        ArgumentError: The network does not take one of them.
    """
    for name, value in {"tied": tied or None, "word_dropout": word_dropout}.items():
        if value is not None and kind == "piano_roll":
            raise ArgumentError(name, "left out for music, which has no words", value)
        if value is not None and network == "fast_dropout_rnn":
            raise ArgumentError(name, f"left out for {network!r}", value)
    if word_dropout is not None and dropout and not tied:
        expected = "0 with `word_dropout`: without `tied`, x(t) is the word itself"
        raise ArgumentError("dropout", expected, dropout)


def _activation(activation: Any) -> Any:
    """Resolves the names of `ACTIVATIONS`; the layers resolve those of Keras."""
    found = ACTIVATIONS.get(activation) if isinstance(activation, str) else None
    return activation if found is None else found()


def _recurrent_initializer(initializer: Any, gain: float | None) -> Any:
    """Resolves the names of `INITIALIZERS`, with a gain; the layers resolve those of Keras."""
    if gain is None and not (isinstance(initializer, str) and initializer in INITIALIZERS):
        return initializer
    known = one_of(tuple(INITIALIZERS))("recurrent_initializer", initializer or "orthogonal")
    return INITIALIZERS[known](number("gain", 1 if gain is None else gain, above=0))


def _normal(name: str, stddev: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=number(name, stddev, above=0))


def _next_seed(seed: int | None) -> int | None:
    return None if seed is None else seed + 1


def before_joint_output(model: keras.Model) -> tuple[keras.Model, NADE] | None:
    """The network before its joint output, and that output; None for independent keys.

    Example:

    >>> sizes = {"kind": "piano_roll", "features": 88, "units": 8}
    >>> before, nade = before_joint_output(build_network("rnn", output="nade", **sizes))
    >>> before.output_shape, nade.units
    ((None, None, 8), 88)
    """
    for last in model.layers:
        nade = last.layer if isinstance(last, WeightNoise) else last
        if isinstance(nade, NADE):
            y, target = last.input
            inputs = [x for x in model.inputs if x is not target]
            if isinstance(model.input, dict):
                inputs = {name: x for name, x in model.input.items() if x is not target}
            return keras.Model(inputs, y, name=model.name), nade
    return None


def table_1_size(model: keras.Model) -> int:
    """Counts the parameters as Table 1 does: kernels without biases.

    Example:

    >>> from keras_deep_rnn import preset
    >>> sizes = preset("jsb_chorales", "rnn")
    >>> table_1_size(build_network("rnn", kind="piano_roll", features=88, **sizes))
    75200
    """
    return sum(math.prod(w.shape) for w in model.trainable_weights if len(w.shape) > 1)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class OneHot(keras.layers.Layer):
    """Encodes tokens (B, T) as the one-hot vectors x(t) of the paper's equations, (B, T, size)."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.built = True

    def call(self, tokens: Any) -> Any:
        return keras.ops.one_hot(tokens, self.size, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape, self.size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}

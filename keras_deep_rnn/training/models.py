"""Keras models of the networks that have a name, see `networks.py`."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from .. import layers
from ..data.dataset import KINDS
from ..layers import FastDropoutDense, LpUnit, Maxout, SparseInitializer, WeightNoise
from ..utils.errors import ArgumentError
from ..utils.validation import CHECKS, number, one_of, positive_integer, rate
from .networks import sizes_of

# The layer of each network, and the arguments that its name decides.
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
# Activations of this package by name, beside those of Keras.
UNITS = {"maxout": Maxout, "lp_unit": LpUnit}
# How the kernels of the transition may start, by name: a function of their largest singular value.
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
    output_dropout: float = 0.0,
    activation: Any = "tanh",
    output_activation: Any = None,
    recurrent_initializer: Any = None,
    gain: float | None = None,
    input_stddev: float | None = None,
    kernel_stddev: float | None = None,
    **options: Any,
) -> layers.DeepRNN:
    """The recurrent layer of a named network; see `build_network` for the arguments.

    Sizes that the network does not have must be None; those that it has and that are not given are
    one layer of `units`, two levels, or a depth of two.

    Example:

    >>> recurrent_layer("dts_rnn", units=8).transition_units
    (8,)
    """
    units = positive_integer("units", units)
    given = {
        "input_units": input_units,
        "transition_units": transition_units,
        "output_units": output_units,
        "levels": levels,
        "depth": depth,
        "input_to": input_to,
    }
    arguments = sizes_of(network, units, given)
    layer, decided = LAYERS[network]
    arguments |= decided
    options["activation"] = _with_pieces(activation)
    output_activation = _with_pieces(output_activation)
    CHECKS["output_activation"]("output_activation", output_activation)
    if "output_units" in arguments:
        arguments |= {"output_dropout": output_dropout, "output_activation": output_activation}
    initializer = _recurrent_initializer(recurrent_initializer, gain)
    if initializer is not None:
        options["recurrent_initializer"] = initializer
    if input_stddev is not None:
        # Fast dropout has no other kernels, and no name of its own for these.
        of_inputs = "kernel_initializer" if network == "fast_dropout_rnn" else "input_initializer"
        options.setdefault(of_inputs, _normal("input_stddev", input_stddev))
    if kernel_stddev is not None:
        options.setdefault("kernel_initializer", _normal("kernel_stddev", kernel_stddev))
    if network == "srnn":
        return layers.StackedRNN(units=(units,) * arguments.pop("levels"), skip=skip, **options)
    if skip is not None:
        raise ArgumentError("skip", f"left out for {network!r}, which has no levels", skip)
    return layer(units, **arguments, **options)


def build_network(
    network: str,
    *,
    kind: str,
    features: int,
    units: int,
    output_dropout: float = 0.0,
    output_bias: float | None = None,
    output_stddev: float | None = None,
    weight_noise: float = 0.0,
    stateful: bool = False,
    batch_size: int | None = None,
    seed: int | None = None,
    dtype: Any = None,
    **options: Any,
) -> keras.Model:
    """A whole model for one of the paper's tasks: recurrent layer and the layer to the classes.

    Args:
        network: One of `NETWORKS`.
        kind: `"piano_roll"`: x is the frames before, float (B, T, features); `"characters"` or
            `"words"`: x is the tokens before, int (B, T).
        features: Keys of the piano-roll, or size of the vocabulary.
        units: H, the width of h (of each level of an sRNN).
        output_dropout: Share of units to drop before the deep output and before the classes.
        output_bias: Where the bias of the classes starts; None for 0.
        output_stddev: Deviation of the Gaussian that the kernel of the classes starts from;
            None for Glorot's uniform distribution.
        weight_noise: Deviation of the Gaussian noise on all kernels in training.
        stateful: Whether states are carried from batch to batch. The model has a second input
            `reset`, (B, 1), then: 1 for each row that starts a new sequence.
        batch_size: B, needed where `stateful`.
        seed: Int, makes dropout and noise reproducible. The weights follow
            `keras.utils.set_random_seed`.
        dtype: Dtype policy of the layers.
        **options: `input_units`, `transition_units`, `output_units` (None: one layer of `units`),
            `levels` (None: 2), `depth` (of rhn, dt_gru and dt_lstm; None: 2), `input_to`, `skip`,
            `activation` and `output_activation` (names of Keras or of `UNITS`, of gated networks
            names of Keras; the latter of no effect without a deep output), `dropout`,
            `recurrent_dropout`, `recurrent_initializer` (one of `INITIALIZERS`; None: orthogonal),
            `gain` (None: 1), `input_stddev` and `kernel_stddev` (of the Gaussian
            that `input_initializer` and `kernel_initializer` are then; for characters the former
            is 1 where it is None), initializers and the like.

    Returns:
        A `keras.Model`: `{"x": ...}`, for a stateful one `{"x": ..., "reset": ...}`, to `logits` of
        shape (B, T, features).

    Raises:
        UserError: An argument is unknown or out of its range.

    Example:

    >>> model = build_network("dots_rnn", kind="piano_roll", features=88, units=8)
    >>> model.output_shape
    (None, None, 88)
    """
    one_of(KINDS)("kind", kind)
    features = positive_integer("features", features)
    output_dropout = rate("output_dropout", output_dropout)
    if stateful:
        batch_size = positive_integer("batch_size", batch_size)
    fast_dropout = network == "fast_dropout_rnn"
    looked_up = kind != "piano_roll" and not fast_dropout
    if looked_up:
        options["num_tokens"] = features
    if kind == "characters" and options.get("input_stddev") is None:
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
    # Fast dropout computes what a dropout layer before the classes would draw.
    kind_of_classes: Any = keras.layers.Dense
    own: dict[str, Any] = {}
    if fast_dropout:
        kind_of_classes, own, output_dropout = FastDropoutDense, {"rate": output_dropout}, 0.0
    classes = kind_of_classes(
        features,
        kernel_initializer=(
            "glorot_uniform" if output_stddev is None else _normal("output_stddev", output_stddev)
        ),
        bias_initializer=keras.initializers.Constant(output_bias or 0.0),
        dtype=dtype,
        name="classes",
        **own,
    )
    if weight_noise:
        recurrent = WeightNoise(recurrent, weight_noise, seed=seed, name="noisy_recurrent")
        classes = WeightNoise(classes, weight_noise, seed=_next(seed), name="noisy_classes")

    inputs = {}
    if kind == "piano_roll":
        x = inputs["x"] = keras.Input((None, features), batch_size=batch_size, name="x")
    else:
        tokens = inputs["x"] = keras.Input((None,), batch_size=batch_size, dtype="int32", name="x")
        if looked_up:
            x = keras.ops.expand_dims(tokens, -1)
        else:  # what averages over dropping units of x has to see them
            x = OneHot(features, dtype=dtype, name="one_hot")(tokens)
    carried = {}
    if stateful:
        inputs["reset"] = carried["reset"] = keras.Input((1,), batch_size=batch_size, name="reset")
    y = recurrent(x, **carried)
    if fast_dropout:
        y = list(y[1:])  # means and variances
    if output_dropout:
        y = keras.layers.Dropout(output_dropout, seed=_next(_next(seed)), name="dropout")(y)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(classes(y))
    return keras.Model(inputs, logits, name=network)


def _with_pieces(activation: Any) -> Any:
    """An activation; one of this package's for its name."""
    own = UNITS.get(activation) if isinstance(activation, str) else None
    return activation if own is None else own()


def _recurrent_initializer(initializer: Any, gain: float | None) -> Any:
    """One of `INITIALIZERS` by its name, with a gain; any other as it is."""
    if gain is None and not (isinstance(initializer, str) and initializer in INITIALIZERS):
        return initializer
    known = one_of(tuple(INITIALIZERS))("recurrent_initializer", initializer or "orthogonal")
    return INITIALIZERS[known](number("gain", 1 if gain is None else gain, above=0))


def _normal(name: str, stddev: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=number(name, stddev, above=0))


def _next(seed: int | None) -> int | None:
    return None if seed is None else seed + 1


def table_1_size(model: keras.Model) -> int:
    """Number of weights as Table 1 counts them: kernels without biases.

    Example:

    >>> from keras_deep_rnn import preset
    >>> sizes = preset("jsb_chorales", "rnn")
    >>> table_1_size(build_network("rnn", kind="piano_roll", features=88, **sizes))
    75200
    """
    return sum(math.prod(w.shape) for w in model.trainable_weights if len(w.shape) > 1)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class OneHot(keras.layers.Layer):
    """Tokens (B, T) as the unit vectors (B, T, size) that the paper's equations take as x(t)."""

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

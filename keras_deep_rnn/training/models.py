"""Networks by name: those of arXiv:1312.6026, with the sizes of its Table 1, and gated ones."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from .. import layers
from ..data.dataset import KINDS
from ..layers import FastDropoutDense, LpUnit, Maxout, SparseInitializer, WeightNoise
from ..utils.errors import UserError, nearest
from ..utils.validation import CHECKS, number, one_of, optional, positive_integer, rate
from .networks import DEFAULT_DEPTH, NETWORKS

# What each network has beside `units`: its layer, the sizes it takes, and what the name decides.
_FAMILY = {
    "rnn": (layers.DeepTransitionRNN, (), {}),
    "deep_input_rnn": (layers.DeepInputRNN, ("input_units",), {}),
    "dt_rnn": (layers.DeepTransitionRNN, ("transition_units",), {}),
    "dts_rnn": (layers.DeepTransitionRNN, ("transition_units",), {"shortcut": True}),
    "do_rnn": (layers.DeepOutputRNN, ("output_units",), {}),
    "dot_rnn": (layers.DeepOutputTransitionRNN, ("transition_units", "output_units"), {}),
    "dots_rnn": (
        layers.DeepOutputTransitionRNN,
        ("transition_units", "output_units"),
        {"shortcut": True},
    ),
    "srnn": (layers.StackedRNN, ("levels",), {}),
    "fast_dropout_rnn": (layers.FastDropoutRNN, (), {}),
    "rhn": (layers.RecurrentHighway, ("depth", "input_to"), {}),
    "dt_gru": (layers.DeepTransitionGRU, ("depth",), {}),
    "dt_lstm": (layers.DeepTransitionLSTM, ("depth",), {}),
    "gru": (layers.DeepTransitionGRU, (), {"depth": 1}),
    "lstm": (layers.DeepTransitionLSTM, (), {"depth": 1}),
}
# Activations of this package by name, beside those of Keras.
UNITS = {"maxout": Maxout, "lp_unit": LpUnit}
# How the kernels of the transition may start, by name: a function of their largest singular value.
STARTS = {
    "orthogonal": keras.initializers.Orthogonal,
    "sparse": lambda gain: SparseInitializer(nonzeros=20, singular_value=gain),
}

_MUSIC = {
    "dts_rnn": {"units": 400, "transition_units": (400,)},
    "dots_rnn": {"units": 400, "transition_units": (400,), "output_units": (400,)},
}
# Sizes of the paper's Table 1, for each task and network.
TABLE_1 = {
    ("nottingham", "rnn"): {"units": 600},
    ("nottingham", "dts_rnn"): _MUSIC["dts_rnn"],
    ("nottingham", "dots_rnn"): _MUSIC["dots_rnn"],
    ("nottingham", "srnn"): {"units": 400, "levels": 2},
    ("jsb_chorales", "rnn"): {"units": 200},
    ("jsb_chorales", "dts_rnn"): _MUSIC["dts_rnn"],
    ("jsb_chorales", "dots_rnn"): _MUSIC["dots_rnn"],
    ("jsb_chorales", "srnn"): {"units": 400, "levels": 2},
    ("musedata", "rnn"): {"units": 600},
    ("musedata", "dts_rnn"): _MUSIC["dts_rnn"],
    ("musedata", "dots_rnn"): _MUSIC["dots_rnn"],
    ("musedata", "srnn"): {"units": 600, "levels": 2},
    ("ptb_char", "rnn"): {"units": 600},
    ("ptb_char", "dts_rnn"): {"units": 400, "transition_units": (400,)},
    ("ptb_char", "dots_rnn"): {"units": 400, "transition_units": (400,), "output_units": (600,)},
    ("ptb_char", "srnn"): {"units": 400, "levels": 2},
    ("ptb_word", "rnn"): {"units": 200},
    ("ptb_word", "dts_rnn"): {"units": 200, "transition_units": (200,)},
    ("ptb_word", "dots_rnn"): {"units": 200, "transition_units": (200,), "output_units": (200,)},
    ("ptb_word", "srnn"): {"units": 400, "levels": 2},
}


def preset(task: str, network: str) -> dict[str, Any]:
    """The sizes of a network in the paper's Table 1.

    Args:
        task: `"nottingham"`, `"jsb_chorales"`, `"musedata"`, `"ptb_char"` or `"ptb_word"`.
        network: `"rnn"`, `"dts_rnn"`, `"dots_rnn"` or `"srnn"`.

    Returns:
        The arguments of `build_network` that give these sizes. The input feeds every layer of a
        deep transition: only so do the paper's numbers of parameters come out.

    Raises:
        UserError: The table has no such row.

    Example:

    >>> preset("ptb_char", "rnn")
    {'units': 600}
    """
    if (task, network) not in TABLE_1:
        rows = [" ".join(row) for row in TABLE_1]
        hint = nearest(f"{task} {network}", rows)
        raise UserError(f"Table 1 has no network {network!r} for the task {task!r}{hint or '.'}")
    sizes = TABLE_1[task, network]
    return {**sizes, "input_to": "all"} if "transition_units" in sizes else sizes


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
    recurrent_start: str | None = None,
    recurrent_gain: float | None = None,
    input_deviation: float | None = None,
    kernel_deviation: float | None = None,
    **options: Any,
) -> layers.DeepRNN:
    """The recurrent layer of a named network; see `build_network` for the arguments.

    Sizes that the network does not have must be None; those that it has and that are not given are
    one layer of `units`, two levels, or a depth of two.

    Example:

    >>> recurrent_layer("dts_rnn", units=8).transition_units
    (8,)
    """
    one_of(NETWORKS)("network", network)
    layer, takes, decided = _FAMILY[network]
    units = positive_integer("units", units)
    sizes = {
        "input_units": CHECKS["input_units"]("input_units", input_units),
        "transition_units": CHECKS["transition_units"]("transition_units", transition_units),
        "output_units": CHECKS["output_units"]("output_units", output_units),
        "levels": optional(positive_integer)("levels", levels),
        "depth": optional(positive_integer)("depth", depth),
    }
    extra = {"input_units"} if layer is layers.DeepOutputTransitionRNN else set()
    for name, value in sizes.items():
        if value is not None and name not in takes and name not in extra:
            raise UserError(f"`{name}` is no size of {network!r}, got {value!r}.")
    arguments = {name: sizes[name] or (units,) for name in takes if name.endswith("_units")}
    arguments.update({name: sizes[name] for name in extra if sizes[name]})
    if "depth" in takes:
        arguments["depth"] = sizes["depth"] or DEFAULT_DEPTH
    if "transition_units" in takes or "input_to" in takes:
        decided = {**decided, "input_to": input_to or "first"}
    elif input_to is not None:
        raise UserError(f"`input_to` is no option of {network!r}, got {input_to!r}.")
    options["activation"] = _with_pieces(activation)
    output_activation = _with_pieces(output_activation)
    CHECKS["output_activation"]("output_activation", output_activation)
    if recurrent_start is not None or recurrent_gain is not None:
        start = one_of(tuple(STARTS))("recurrent_start", recurrent_start or "orthogonal")
        gain = number("recurrent_gain", 1 if recurrent_gain is None else recurrent_gain, above=0)
        options.setdefault("recurrent_initializer", STARTS[start](gain))
    if input_deviation is not None:
        # Fast dropout has no other kernels, and no name of its own for these.
        of_inputs = "kernel_initializer" if network == "fast_dropout_rnn" else "input_initializer"
        options.setdefault(of_inputs, _gaussian("input_deviation", input_deviation))
    if kernel_deviation is not None:
        options.setdefault("kernel_initializer", _gaussian("kernel_deviation", kernel_deviation))
    if "output_units" in takes:
        decided = {
            **decided,
            "output_dropout": output_dropout,
            "output_activation": output_activation,
        }
    if network == "srnn":
        widths = (units,) * (sizes["levels"] or DEFAULT_DEPTH)
        return layers.StackedRNN(units=widths, skip=skip, **options)
    if skip is not None:
        raise UserError(f"`skip` is no option of {network!r}, got {skip!r}.")
    return layer(units, **arguments, **decided, **options)


def build_network(
    network: str,
    *,
    kind: str,
    features: int,
    units: int,
    output_dropout: float = 0.0,
    output_bias: float | None = None,
    classes_deviation: float | None = None,
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
        classes_deviation: Deviation of the Gaussian that the kernel of the classes starts from;
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
            `recurrent_dropout`, `recurrent_start` (one of `STARTS`; None: orthogonal),
            `recurrent_gain` (None: 1), `input_deviation` and `kernel_deviation` (of the Gaussian
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
    if kind == "characters" and options.get("input_deviation") is None:
        options["input_deviation"] = 1.0  # see `Plus`
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
            "glorot_uniform"
            if classes_deviation is None
            else _gaussian("classes_deviation", classes_deviation)
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


def _gaussian(name: str, deviation: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=number(name, deviation, above=0))


def _next(seed: int | None) -> int | None:
    return None if seed is None else seed + 1


def table_1_size(model: keras.Model) -> int:
    """Number of weights as Table 1 counts them: kernels without biases.

    Example:

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

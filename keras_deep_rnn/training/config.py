"""`Settings` of a training run: each with its type, help text, group and defaults.

Command line, config.json, job files, their schema and their checks come from the fields of
`Settings`: a new setting is one field here, and the code that uses it.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..utils.errors import ArgumentError, Words
from ..utils.fields import (
    CONFIG,
    AtLeastOne,
    Count,
    Flag,
    NonNegative,
    Number,
    Positive,
    PositiveInt,
    Rate,
    Seed,
    Text,
    Widths,
    fields_of,
    with_argument_errors,
)
from .networks import ALL_SIZES, NADE_UNITS, NETWORKS, default_sizes, sizes_of

if TYPE_CHECKING:
    from ..data import Dataset

# Defaults for each kind of data, and for single data sets, chosen on their validation splits.
# `bptt_steps` 0 trains on whole pieces; for music without an entry of its own see `_recipe`.
_MUSIC = {
    "epochs": 200,
    "batch_size": 16,
    "bptt_steps": 0,
    "learning_rate": 0.001,
    "recurrent_dropout": 0.3,
    "output_dropout": 0.5,
    "output_activation": "relu",
    "output_bias": -3.0,
    "patience": 30,
}
_TEXT = {
    "epochs": 20,
    "batch_size": 32,
    "bptt_steps": 100,
    "learning_rate": 0.001,
    "recurrent_dropout": 0.0,
    "output_dropout": 0.0,
    "output_bias": None,
    "patience": 3,
}
RECIPES = {
    "piano_roll": _MUSIC,
    "characters": _TEXT,
    "words": {**_TEXT, "bptt_steps": 50, "recurrent_dropout": 0.3, "output_dropout": 0.5},
    "bach_chorales": {**_MUSIC, "epochs": 120, "patience": 25},
    "jsb_chorales": _MUSIC,
    "nottingham": {
        **_MUSIC,
        "epochs": 60,
        "patience": 10,
        "bptt_steps": 200,
        "recurrent_dropout": 0.1,
        "output_dropout": 0.3,
    },
    "musedata": {**_MUSIC, "epochs": 60, "patience": 10, "bptt_steps": 200},
    "piano_midi": {**_MUSIC, "bptt_steps": 200},
}

# Music with a training piece of more frames is trained in chunks of `LONG_PIECE_STEPS`, as are the
# data sets above with such pieces: whole, it would give few updates an epoch and take gigabytes.
LONG_PIECE, LONG_PIECE_STEPS = 500, 200

# Groups of settings, as the help shows them.
RUN, NETWORK, REGULARIZATION, OPTIMIZATION = "Run", "Network", "Regularization", "Optimization"
# Former names of settings, in older files and commands.
RENAMED = {
    "data_path": "manual_dir",
    "truncate": "bptt_steps",
    "decay_start": "decay_after",
    "input_deviation": "input_stddev",
    "kernel_deviation": "kernel_stddev",
    "classes_deviation": "output_stddev",
    "recurrent_start": "recurrent_initializer",
    "recurrent_gain": "gain",
}

# Settings that are arguments of `data.load`.
LOAD_OPTIONS = ("manual_dir", "data_dir", "skip_unreadable", "sustain_pedal")

Network: TypeAlias = Literal[NETWORKS]  # pyright: ignore[reportInvalidTypeForm] -- a tuple of names


def _setting(
    default: Any,
    group: str,
    help: str,
    *,
    searched: bool = True,
    argument: bool | None = None,
) -> Any:
    """A field of `Settings`.

    Args:
        default: Default; None if it depends on the data set or the network.
        group: Group in the help.
        help: Help text, one line.
        searched: Whether a search may vary it.
        argument: Whether it is an argument of `build_network`; None: if its group is of the
            network.
    """
    of_network = group in (NETWORK, REGULARIZATION) if argument is None else argument
    extra = {"group": group, "searched": searched, "argument": of_network}
    return Field(default=default, description=help, json_schema_extra=extra)


@with_argument_errors
@dataclass(frozen=True, config=CONFIG)
class Settings:
    """Configuration of a training run.

    None stands for the default of the data set or of the network, which `complete` fills in.

    Raises:
        ArgumentError: A setting is unknown, or its value is not valid.

    Example:

    >>> Settings("bach_chorales", units=64).learning_rate is None
    True
    >>> Settings("bach_chorales", units=0)
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.ArgumentError: `units` must be a positive integer, got 0.
    """

    data: str = Field(
        description="Name of a data set, or path of your own.",
        json_schema_extra={"group": RUN, "searched": False, "argument": False},
    )
    manual_dir: Text | None = _setting(
        None, RUN, "Folder of manually downloaded files.", searched=False
    )
    data_dir: Text | None = _setting(
        None,
        RUN,
        "Folder of prepared data; that of TensorFlow Datasets if left out.",
        searched=False,
    )
    skip_unreadable: Flag = _setting(
        False, RUN, "Go on without MIDI files that cannot be read.", searched=False
    )
    sustain_pedal: Flag = _setting(
        False, RUN, "Hold notes of MIDI files while the sustain pedal is down.", searched=False
    )
    seed: Seed = _setting(
        1, RUN, "Seed of weights, dropout and order of the data.", searched=False, argument=True
    )
    tensorboard: Flag = _setting(False, RUN, "Write logs for TensorBoard too.", searched=False)

    network: Network = _setting("dots_rnn", NETWORK, ", ".join(NETWORKS) + ".", argument=False)
    units: PositiveInt | None = _setting(
        None, NETWORK, "Units of h; the sizes of the paper's Table 1 if left out."
    )
    input_units: Widths | None = _setting(
        None, NETWORK, "Units of the layers before the recurrence."
    )
    transition_units: Widths | None = _setting(
        None, NETWORK, "Units of the intermediate layers of the transition."
    )
    output_units: Widths | None = _setting(None, NETWORK, "Units of the layers of the deep output.")
    levels: PositiveInt | None = _setting(None, NETWORK, "Levels of srnn.")
    depth: PositiveInt | None = _setting(
        None, NETWORK, "Gated layers in the transition of rhn, dt_gru and dt_lstm."
    )
    input_to: Literal["first", "all"] | None = _setting(
        None, NETWORK, "Whether the input feeds the first transition layer or all."
    )
    skip: Literal["residual", "all_to_output"] | None = _setting(
        None, NETWORK, "Shortcuts between the levels of srnn: residual or all_to_output."
    )
    activation: Text = _setting(
        "tanh", NETWORK, "Activation of the recurrent layers: a name of Keras, maxout or lp_unit."
    )
    intermediate_activation: Text | None = _setting(
        None, NETWORK, "Activation of the intermediate layers; that of the recurrence if left out."
    )
    output_activation: Text | None = _setting(
        None, NETWORK, "Activation of the deep output; relu for music, else that of the recurrence."
    )
    output: Literal["independent", "nade"] = _setting(
        "independent", NETWORK, "Distribution of the keys of a frame: independent, or nade, joint."
    )
    nade_units: PositiveInt = _setting(NADE_UNITS, NETWORK, "Hidden units of the output nade.")
    tied: Flag = _setting(
        False, NETWORK, "Logits by the transpose of the embedding of x, for text."
    )
    output_bias: Number | None = _setting(None, NETWORK, "Initial value of the output bias.")
    frequency_bias: Flag = _setting(
        False,
        NETWORK,
        "Start the output bias at the frequencies of the keys or tokens in the training split, not "
        "at `output_bias`.",
        argument=False,
    )
    recurrent_initializer: Literal["orthogonal", "sparse"] | None = _setting(
        None, NETWORK, "Initializer of the transition's kernels: orthogonal or sparse."
    )
    gain: Positive | None = _setting(
        None, NETWORK, "Largest singular value of these kernels; 1 if left out."
    )
    input_stddev: Positive | None = _setting(
        None, NETWORK, "Standard deviation of the input kernels' normal initializer."
    )
    kernel_stddev: Positive | None = _setting(
        None, NETWORK, "The same for the kernels between levels and of the deep output."
    )
    output_stddev: Positive | None = _setting(
        None, NETWORK, "The same for the kernel of the logits."
    )

    dropout: Rate = _setting(
        0.0, REGULARIZATION, "Dropout rate of the inputs: of x(t), and of each level of srnn."
    )
    word_dropout: Rate | None = _setting(
        None, REGULARIZATION, "Dropout rate of whole words or characters: one mask per sequence."
    )
    level_dropout: Rate | None = _setting(
        None, REGULARIZATION, "Dropout rate between the levels of srnn; that of x if left out."
    )
    recurrent_dropout: Rate | None = _setting(
        None, REGULARIZATION, "Recurrent dropout rate: one mask of h(t-1) per sequence."
    )
    zoneout: Rate | None = _setting(
        None, REGULARIZATION, "Zoneout rate of h(t-1), arXiv:1606.01305."
    )
    output_dropout: Rate | None = _setting(
        None, REGULARIZATION, "Dropout rate before the deep output and before the logits."
    )
    logits_dropout: Rate | None = _setting(
        None, REGULARIZATION, "Dropout rate before the logits; output_dropout if left out."
    )
    weight_noise: NonNegative = _setting(
        0.0, REGULARIZATION, "Standard deviation of the noise on weights."
    )
    weight_decay: NonNegative = _setting(
        0.01, REGULARIZATION, "Weight decay of adamw, times the learning rate.", argument=False
    )

    optimizer: Literal["adamw", "sgd", "clipped_momentum"] = _setting(
        "adamw",
        OPTIMIZATION,
        "adamw with a cosine schedule, sgd with the paper's, clipped_momentum with its authors'.",
    )
    learning_rate: Positive | None = _setting(
        None, OPTIMIZATION, "Initial learning rate, after the warmup."
    )
    warmup: Count = _setting(
        0, OPTIMIZATION, "Updates over which adamw's learning rate rises from 0."
    )
    hold: Rate | None = _setting(
        None, OPTIMIZATION, "Share of the updates before adamw's learning rate falls."
    )
    ema: Rate | None = _setting(
        None, OPTIMIZATION, "Momentum of the weights' moving average, the result; 0 for none."
    )
    momentum: Rate = _setting(
        0.0, OPTIMIZATION, "Momentum of sgd and clipped_momentum; the authors' code has 0.995."
    )
    decay_after: NonNegative = _setting(
        0, OPTIMIZATION, "Update after which sgd's learning rate falls."
    )
    decay_beta: Positive = _setting(
        1000.0, OPTIMIZATION, "Further updates that halve sgd's learning rate."
    )
    halve_above: AtLeastOne = _setting(
        1.0002,
        OPTIMIZATION,
        "Validation result over the best one at which clipped_momentum's learning rate is halved.",
    )
    clipnorm: Positive = _setting(
        1.0, OPTIMIZATION, "Largest norm of the whole gradient, or of clipped_momentum's velocity."
    )
    epochs: PositiveInt | None = _setting(None, OPTIMIZATION, "Largest number of epochs.")
    batch_size: PositiveInt | None = _setting(
        None, OPTIMIZATION, "Sequences, or rows of a text, in a batch."
    )
    bptt_steps: Count | None = _setting(
        None,
        OPTIMIZATION,
        "Truncated BPTT length in steps; 0 disables truncation, the default for short pieces.",
    )
    patience: PositiveInt | None = _setting(
        None, OPTIMIZATION, "Early stopping: epochs without a better validation result."
    )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Makes settings from those of a JSON file, which may have former names."""
        return cls(**renamed(stored))

    def to_json(self) -> dict[str, Any]:
        """Settings that are not None, for a JSON file."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def complete(self, dataset: "Dataset") -> Self:
        """Completes the settings with the defaults of a data set and the sizes of the network.

        Raises:
            ArgumentError: The network does not have one of the sizes, or `bptt_steps` is 0 for a
                text.
        """
        recipe = _recipe(dataset)
        if self.units is None:
            recipe = {**recipe, **default_sizes(dataset.name, dataset.kind, self.network)}
        defaults = {name: value for name, value in recipe.items() if getattr(self, name) is None}
        complete = dataclasses.replace(self, **defaults)
        units = cast(int, complete.units)
        sizes = sizes_of(complete.network, units, vars(complete))
        complete = dataclasses.replace(complete, **sizes)
        if dataset.kind != "piano_roll" and complete.bptt_steps == 0:
            expected = "a positive integer for text, which is one long sequence"
            raise ArgumentError("bptt_steps", expected, Words("0"))
        return complete


# Settings that depend on the data set and the network where they are left out.
COMPLETED = {*ALL_SIZES, "units", "input_to"}.union(*RECIPES.values())

# Settings that are arguments of `build_network`.
NETWORK_ARGUMENTS = tuple(
    name for name, field in fields_of(Settings).items() if field.extra["argument"]
)


def load_options(settings: object) -> dict[str, Any]:
    """The `LOAD_OPTIONS` of a `Settings`, or of what has the same."""
    return {name: getattr(settings, name) for name in LOAD_OPTIONS}


def _recipe(dataset: "Dataset") -> dict[str, Any]:
    """Defaults for a data set: its own, or those of its kind."""
    if dataset.name in RECIPES:
        return RECIPES[dataset.name]
    recipe = RECIPES[dataset.kind]
    if dataset.kind == "piano_roll" and max(map(len, dataset.splits["train"])) > LONG_PIECE:
        return {**recipe, "bptt_steps": LONG_PIECE_STEPS}
    return recipe


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces former names of settings.

    Example:

    >>> renamed({"truncate": 50, "units": 8})
    {'bptt_steps': 50, 'units': 8}
    """
    return {RENAMED.get(name, name): value for name, value in settings.items()}


def network_arguments(settings: Settings, dataset: "Dataset") -> dict[str, Any]:
    """Arguments of `build_network` for the network of a run.

    Args:
        settings: Complete `Settings`.
        dataset: The `Dataset`.

    Returns:
        Dict of keyword arguments, without `network`.
    """
    stored = settings.to_json()
    chosen = {name: stored[name] for name in NETWORK_ARGUMENTS if name in stored}
    return {"kind": dataset.kind, "features": dataset.features, **chosen}

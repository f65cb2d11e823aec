"""What a training run can be told, its defaults per data set, and the checks of both."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ..utils.errors import UserError
from ..utils.validation import number, one_of, positive_integer
from ..utils.validation import rate as share
from ..utils.validation import seed as checked_seed

if TYPE_CHECKING:
    from ..data import Dataset

# Raises an error that names the argument, where the value is not allowed.
Check: TypeAlias = Callable[[str, Any], object]

# Defaults for each kind of data, and what single data sets do differently. Chosen on validation
# sets. `truncate` 0 trains on whole pieces.
_MUSIC = {
    "epochs": 200,
    "batch_size": 16,
    "truncate": 0,
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
    "truncate": 100,
    "learning_rate": 0.001,
    "recurrent_dropout": 0.0,
    "output_dropout": 0.0,
    "output_bias": None,
    "patience": 3,
}
RECIPES = {
    "piano_roll": _MUSIC,
    "characters": _TEXT,
    "words": {**_TEXT, "truncate": 50, "recurrent_dropout": 0.3, "output_dropout": 0.5},
    "bach_chorales": {**_MUSIC, "epochs": 120, "patience": 25},
    "nottingham": {
        **_MUSIC,
        "epochs": 60,
        "patience": 10,
        "truncate": 200,
        "recurrent_dropout": 0.1,
        "output_dropout": 0.3,
    },
    "musedata": {**_MUSIC, "epochs": 60, "patience": 10, "truncate": 200},
    "piano_midi": {**_MUSIC, "truncate": 200},
}

# Whose sizes in the paper's Table 1 stand in for data that the table does not have.
SIZES_OF = {
    "piano_roll": "jsb_chorales",
    "characters": "ptb_char",
    "words": "ptb_word",
}

# The width of networks that the table does not have.
UNITS = 400

NETWORK_ARGUMENTS = (
    "units", "input_units", "transition_units", "output_units", "levels", "depth", "input_to",
    "skip", "activation", "output_activation", "dropout", "recurrent_dropout", "output_dropout",
    "weight_noise", "output_bias", "recurrent_start", "recurrent_gain", "input_deviation",
    "kernel_deviation", "classes_deviation", "seed",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what a training run does. None means the data set's default.

    Attributes:
        data: Name of a data set, or path of the user's own data.
        data_path: Folder of files that were downloaded by hand, or None.
        data_dir: Folder of prepared data, or None.
        network: One of `keras_deep_rnn.training.models.NETWORKS`.
        units: Width of h. Without it, sizes are those of the paper's Table 1.
        input_units: Widths of the layers before the recurrence.
        transition_units: Widths of the intermediate layers of the transition.
        output_units: Widths of the layers of the deep output.
        levels: Number of levels of a stacked network.
        depth: Number of gated layers in the transition of rhn, dt_gru and dt_lstm.
        input_to: Whether the input feeds the "first" transition layer or "all".
        skip: Shortcuts between levels: None, "residual" or "all_to_output".
        activation: Activation of the recurrent layers: a name of Keras, "maxout" or "lp_unit".
        output_activation: Activation of the deep output; None takes "relu" for music and
            `activation` for text.
        dropout: Share of the inputs to drop.
        recurrent_dropout: Share of h(t-1) to drop, one mask a sequence.
        output_dropout: Share to drop before and in the output.
        weight_noise: Standard deviation of the noise on weights.
        output_bias: Where the biases of the logits start.
        recurrent_start: How the kernels of the transition start: "orthogonal" (None) or "sparse".
        recurrent_gain: Their largest singular value (divided by the square root of 2 where two
            of them lead into one layer); None for 1.
        input_deviation: Standard deviation of the Gaussian that the kernels of x start from; None
            for 1 where x is characters, else for Glorot's uniform distribution.
        kernel_deviation: The same of the kernels between levels and of the deep output; None for
            Glorot's uniform distribution.
        classes_deviation: The same of the kernel to the logits.
        optimizer: "adamw" (with `weight_decay`, and the rate falling along a cosine) or "sgd" (with
            `momentum` and the paper's schedule).
        learning_rate: Rate at the start, or after `warmup`.
        warmup: Updates over which AdamW's rate rises from 0 to it, before it falls.
        weight_decay: Share by which AdamW shrinks weights in a step, times the rate.
        momentum: Momentum of SGD.
        decay_start: Update after which SGD's rate falls, n0.
        decay_beta: Updates until SGD's rate is halved, beta.
        clipnorm: Largest norm of the whole gradient.
        epochs: Largest number of epochs.
        batch_size: Sequences (or rows of a text) in a batch.
        truncate: Time steps after which backpropagation is cut and the state carried on; 0 trains
            music on whole pieces.
        patience: Epochs without a better validation result before training stops.
        seed: Seed of weights, dropout and the order of the data.
        tensorboard: Whether to write logs for TensorBoard.
    """

    data: str
    data_path: str | None = None
    data_dir: str | None = None
    network: str = "dots_rnn"
    units: int | None = None
    input_units: tuple[int, ...] | None = None
    transition_units: tuple[int, ...] | None = None
    output_units: tuple[int, ...] | None = None
    levels: int | None = None
    depth: int | None = None
    input_to: str | None = None
    skip: str | None = None
    activation: str = "tanh"
    output_activation: str | None = None
    dropout: float = 0.0
    recurrent_dropout: float | None = None
    output_dropout: float | None = None
    weight_noise: float = 0.0
    output_bias: float | None = None
    recurrent_start: str | None = None
    recurrent_gain: float | None = None
    input_deviation: float | None = None
    kernel_deviation: float | None = None
    classes_deviation: float | None = None
    optimizer: str = "adamw"
    learning_rate: float | None = None
    warmup: int = 0
    weight_decay: float = 0.01
    momentum: float = 0.0
    decay_start: int = 0
    decay_beta: float = 1000.0
    clipnorm: float = 1.0
    epochs: int | None = None
    batch_size: int | None = None
    truncate: int | None = None
    patience: int | None = None
    seed: int = 1
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                check(name, value)
        if self.seed is None:
            raise UserError("`seed` must be a non-negative integer, got None.")

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Settings":
        """The settings that a JSON file holds, which has lists for tuples."""
        lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
        return cls(**{**stored, **lists})

    def complete(self, dataset: "Dataset") -> "Settings":
        """These settings with the defaults of a data set in place of None.

        Raises:
            UserError: A text is to be trained without truncation.
        """
        recipe = RECIPES.get(dataset.name, RECIPES[dataset.kind])
        missing = {name: value for name, value in recipe.items() if getattr(self, name) is None}
        complete = dataclasses.replace(self, **missing)
        if dataset.kind != "piano_roll" and complete.truncate == 0:
            raise UserError(
                "`truncate` must be a positive integer for text, which is one long sequence, got 0."
            )
        return complete


def network_arguments(settings: Settings, dataset: "Dataset") -> dict[str, Any]:
    """The arguments with which `build_network` makes the network of a run.

    Without `units` the sizes that are not given come from the paper's Table 1.

    Args:
        settings: Complete `Settings`.
        dataset: The `Dataset` that the network is for.

    Returns:
        Dict of keyword arguments, without `network`.
    """
    from .models import TABLE_1, preset

    chosen = {
        name: getattr(settings, name)
        for name in NETWORK_ARGUMENTS
        if getattr(settings, name) is not None
    }
    if settings.units is None:
        tasks = {task for task, _ in TABLE_1}
        task = dataset.name if dataset.name in tasks else SIZES_OF[dataset.kind]
        known = (task, settings.network) in TABLE_1
        chosen = {**(preset(task, settings.network) if known else {"units": UNITS}), **chosen}
    return {"kind": dataset.kind, "features": dataset.features, **chosen}


def _least(lowest: float) -> Check:
    return lambda name, value: number(name, value, least=lowest)


def _above(lowest: float) -> Check:
    return lambda name, value: number(name, value, above=lowest)


def _count(name: str, value: Any) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 0:
        raise UserError(f"`{name}` must be an integer of at least 0, got {value!r}.")


def _network(name: str, value: Any) -> None:
    from .models import NETWORKS

    one_of(NETWORKS)(name, value)


# The network checks its own arguments when it is built; these are the run's.
_CHECKS = {
    "network": _network,
    "optimizer": one_of(("adamw", "sgd")),
    "weight_noise": _least(0),
    "recurrent_start": one_of(("orthogonal", "sparse")),
    "recurrent_gain": _above(0),
    "input_deviation": _above(0),
    "kernel_deviation": _above(0),
    "classes_deviation": _above(0),
    "dropout": share,
    "recurrent_dropout": share,
    "output_dropout": share,
    "learning_rate": _above(0),
    "weight_decay": _least(0),
    "momentum": share,
    "warmup": _count,
    "decay_start": _least(0),
    "decay_beta": _above(0),
    "clipnorm": _above(0),
    "epochs": positive_integer,
    "batch_size": positive_integer,
    "patience": positive_integer,
    "truncate": _count,
    "seed": checked_seed,
}

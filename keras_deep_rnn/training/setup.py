"""Prepares the arguments of `fit`: batches, and the network with its loss and optimizer."""

from typing import TYPE_CHECKING, Any, TypeAlias

import keras

from ..data.batching import Batch, CarriedBatches, PieceBatches
from ..layers import ClippedMomentum, HoldCosineDecay, InverseDecay
from ..utils.errors import ArgumentError, Words
from ..utils.validation import number
from .metrics import TEXT_METRICS, FrameLoss, FrameNLL, TokenLoss
from .models import build_network

if TYPE_CHECKING:
    from ..data import Dataset
    from .config import Settings

# The compiled network, the batches for training and for validation.
Prepared: TypeAlias = tuple[keras.Model, PieceBatches | CarriedBatches, keras.utils.PyDataset]


def check_lengths(dataset: "Dataset") -> None:
    """Refuses music without a second frame: results are over frames 2 to T of each piece."""
    for split, sequences in dataset.splits.items():
        if dataset.kind == "piano_roll" and all(len(piece) < 2 for piece in sequences):
            raise ArgumentError(
                "data",
                "a piece of at least two frames in each split",
                Words(f"none in {split}"),
                verb="have",
            )


def prepare(settings: "Settings", dataset: "Dataset", network: dict[str, Any]) -> Prepared:
    """Prepares the arguments of `fit`.

    Args:
        settings: Complete `Settings`.
        dataset: The `Dataset`.
        network: Result of `config.network_arguments`.

    Returns:
        The compiled network with initial weights, the training batches and the validation batches.

    Raises:
        UserError: The network does not take these arguments, or the warmup is too long.
    """
    training, validation = (batches(settings, dataset, s) for s in ("train", "validation"))
    assert not isinstance(training, WithoutFirstFrames)  # which are for validation
    assert settings.epochs is not None  # as the settings are complete
    model = network_to_train(settings, network)
    compile_network(model, settings, dataset.kind, len(training) * settings.epochs)
    return model, training, validation


def batches(
    settings: "Settings", dataset: "Dataset", split: str
) -> "PieceBatches | CarriedBatches | WithoutFirstFrames":
    """Makes the batches of a split, shuffled for training.

    Frame 1 of a piece, which is predicted from silence, is trained but does not count in the
    validation result.
    """
    kind, shuffle = dataset.kind, split == "train"
    options = {"kind": kind, "shuffle": shuffle, "seed": settings.seed, "start": dataset.start}
    options["targets"] = settings.output == "nade"
    sequences = dataset.splits[split]
    assert settings.batch_size is not None  # as the settings are complete
    if not settings.bptt_steps:
        return PieceBatches(sequences, settings.batch_size, **options)
    carried = CarriedBatches(sequences, settings.batch_size, settings.bptt_steps, **options)
    return carried if shuffle or kind != "piano_roll" else WithoutFirstFrames(carried)


class WithoutFirstFrames(keras.utils.PyDataset):
    """Carried batches of music in which the first frame of each piece has weight 0."""

    def __init__(self, carried: CarriedBatches) -> None:
        super().__init__()
        self.carried = carried

    def __len__(self) -> int:
        return len(self.carried)

    def __getitem__(self, index: int) -> Batch:
        inputs, y, sample_weight = self.carried[index]
        sample_weight[:, :1] *= 1 - inputs["reset"]
        return inputs, y, sample_weight


def network_to_train(settings: "Settings", network: dict[str, Any]) -> keras.Model:
    """Builds the network to train, a stateful one for truncated backpropagation through time."""
    if settings.output_bias is not None:
        number("output_bias", settings.output_bias)
    options = {"stateful": True, "batch_size": settings.batch_size} if settings.bptt_steps else {}
    return build_network(settings.network, **network, **options)


def compile_network(model: keras.Model, settings: "Settings", kind: str, updates: int) -> None:
    """Compiles a network with its loss, its exact validation metric and its optimizer.

    Args:
        model: The network.
        settings: Complete `Settings`.
        kind: Kind of the data.
        updates: Number of updates in all epochs.
    """
    if kind == "piano_roll":
        loss = FrameLoss()
        # In carried batches first frames have weight 0.
        metric = FrameNLL(first_frame=bool(settings.bptt_steps), name="frame_nll")
    else:
        loss = TokenLoss()
        metric = TEXT_METRICS[kind]()
    model.compile(optimizer(settings, updates), loss, weighted_metrics=[metric])
    # TensorFlow traces a step twice if the first trace makes variables.
    model.optimizer.build(model.trainable_variables)


def optimizer(settings: "Settings", updates: int) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a run.

    Args:
        settings: Complete `Settings`.
        updates: Number of updates in all epochs.

    Raises:
        UserError: The warmup is not shorter than the training.
    """
    assert settings.learning_rate is not None  # as the settings are complete
    averaging: dict[str, Any] = {}
    if settings.ema:
        averaging = {"use_ema": True, "ema_momentum": settings.ema}
    options: dict[str, Any] = {"global_clipnorm": settings.clipnorm, **averaging}
    if settings.optimizer == "sgd":
        rate = InverseDecay(settings.learning_rate, settings.decay_after, settings.decay_beta)
        return keras.optimizers.SGD(rate, momentum=settings.momentum, **options)
    if settings.optimizer == "clipped_momentum":
        rate, momentum = settings.learning_rate, settings.momentum
        return ClippedMomentum(rate, momentum, settings.clipnorm, **averaging)
    if settings.warmup >= updates:
        raise ArgumentError(
            "warmup", f"below {updates}, the number of updates", Words(settings.warmup)
        )
    rate = HoldCosineDecay(settings.learning_rate, updates, settings.hold or 0, settings.warmup)
    return keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, **options)

"""Prepares the arguments of `fit`: batches, and the network with its loss and optimizer."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np

from ..data.batching import Batch, CarriedBatches, PieceBatches
from ..layers import ClippedMomentum, HoldCosineDecay, InverseDecay
from ..utils.errors import ArgumentError, Words
from .baselines import frequency_logits
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
    # Truncated backpropagation through time carries the state.
    options = {"stateful": True, "batch_size": settings.batch_size} if settings.bptt_steps else {}
    model = build_network(settings.network, **network, **options)
    if settings.frequency_bias:
        logits = frequency_logits(dataset.splits["train"], dataset.features)
        output_bias(model).assign(logits)
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


def stream(batches: keras.utils.PyDataset) -> Any:
    """What `fit` reads batches from: on TensorFlow a `tf.data.Dataset` without autotuning.

    The one that Keras makes of a `PyDataset` is tuned by a thread that sleeps 10 ms, then 20, 40
    and so on, and that often is not woken: the end of an epoch waits for it, for up to as long as
    the epoch took.

    Args:
        batches: Batches; `fit` must not shuffle them.

    Returns:
        On TensorFlow a `tf.data.Dataset`, otherwise the batches themselves.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    def read() -> Iterator[Batch]:
        return (batches[i] for i in range(len(batches)))

    def spec(*arrays: np.ndarray) -> tf.TensorSpec:
        # As of a `PyDataset`: fixed is what the first two batches have in common.
        sizes = [
            found[0] if len({*found}) == 1 else None for found in zip(*(a.shape for a in arrays))
        ]
        return tf.TensorSpec(sizes, arrays[0].dtype)

    signature = keras.tree.map_structure(spec, *itertools.islice(read(), 2))
    dataset = tf.data.Dataset.from_generator(read, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(1).with_options(options)


def output_bias(model: keras.Model) -> keras.Variable:
    """The bias of a network's logits.

    Args:
        model: Result of `build_network`.
    """
    ends = ("output/bias", "embedding/bias")  # the latter of tied embeddings
    (bias,) = (weight for weight in model.weights if weight.path.endswith(ends))
    return bias


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

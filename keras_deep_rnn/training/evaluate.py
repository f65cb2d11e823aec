"""Evaluates a trained network and the baselines on a split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from ..data.batching import CarriedBatches, PieceBatches
from ..utils.types import ShowProgress, no_progress
from .baselines import music_baselines, text_baselines
from .metrics import TEXT_METRICS, FrameNLL
from .results import PRIMARY

if TYPE_CHECKING:
    from ..data import Dataset

# Time steps of a batch when a text is evaluated; the state is carried to the next.
CHUNK = 500
# Frames of a batch when music is evaluated, padding included, unless one piece has more.
FRAMES = 20_000


def evaluate(
    model: "keras.Model | StepwiseModel | Ensemble",
    dataset: "Dataset",
    split: str,
    *,
    batch_size: int = 16,
    progress: ShowProgress = no_progress,
) -> dict[str, float]:
    """Evaluates a network on one split of its data set.

    Args:
        model: The network; for text a stateful one with a batch size of 1.
        dataset: The `Dataset`.
        split: "train", "validation" or "test".
        batch_size: Largest number of pieces of music in a batch, which has fewer of long pieces;
            it does not change the results.
        progress: Wraps the numbers of the batches, for example to show a progress bar.

    Returns:
        {metric: number}, for the metrics of `COLUMNS` that fit the kind of data, and "count", the
        number of predicted tokens or frames, with the first frame of each piece.
    """
    kind, sequences = dataset.kind, dataset.splits[split]
    if kind == "piano_roll":
        rows = max(1, FRAMES // max(map(len, sequences)))
        joint = isinstance(model.input, dict) and "target" in model.input
        batches = PieceBatches(sequences, min(batch_size, rows), kind=kind, targets=joint)
        metrics = [
            FrameNLL("frame", name="frame_nll"),
            FrameNLL("sequence", name="sequence_nll"),
            FrameNLL("frame", first_frame=True, name="frame_nll_from_1"),
            FrameNLL("sequence", first_frame=True, name="sequence_nll_from_1"),
        ]
    else:
        batches = CarriedBatches(sequences, 1, CHUNK, kind=kind, start=dataset.start)
        metrics = [TEXT_METRICS[kind]()]
    for i in progress(range(len(batches)), f"{split} split"):
        inputs, y, sample_weight = batches[i]
        logits = model.predict_on_batch(inputs)
        for metric in metrics:
            metric.update_state(y, logits, sample_weight)
    results = {
        metric.name: float(keras.ops.convert_to_numpy(metric.result())) for metric in metrics
    }
    return {**results, "count": batches.frames}


class Ensemble:
    """Predicts the mean of the probabilities that several networks give.

    Args:
        models: Networks of the same data.
        kind: Kind of the data: of music each key has its mean, of a text each token.
    """

    def __init__(self, models: Sequence[keras.Model], kind: str) -> None:
        self.models = models
        self.input = {name: x for model in models for name, x in model.input.items()}
        self.kind = kind

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Predicts the logits of the mean probabilities, (B, T, V)."""
        # Only a joint output takes `target`; Keras would give it to another network as x.
        every = [
            model.predict_on_batch({name: inputs[name] for name in model.input})
            for model in self.models
        ]
        logits = np.stack([keras.ops.convert_to_numpy(y) for y in every]).astype("float64")
        if self.kind == "piano_roll":  # log p - log(1 - p)
            mean = _mean_log(-np.logaddexp(0, -logits)) - _mean_log(-np.logaddexp(0, logits))
        else:
            mean = _mean_log(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))
        return mean.astype("float32")


def _mean_log(logs: np.ndarray) -> np.ndarray:
    """The logarithm of the mean of exp(logs), over the first axis."""
    return np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))


class StepwiseModel:
    """Runs a network one time step at a time and carries its state, as a client of a server does.

    Args:
        model: Stateful network with a batch size of 1, inputs "x" and "reset".
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.input = model.input
        self.reset = np.ones((1, 1), "float32")

    def step(self, x: np.ndarray, **target: np.ndarray) -> np.ndarray:
        """Predicts the logits (V,) after the next frame (V,) or token ().

        Args:
            x: The frame or token.
            **target: Of a joint output `target`, the frame (V,) after it.
        """
        inputs = {name: value[None, None] for name, value in {"x": x, **target}.items()}
        y = self.model.predict_on_batch({**inputs, "reset": self.reset})
        self.reset = np.zeros((1, 1), "float32")
        return keras.ops.convert_to_numpy(y)[0, 0]

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Predicts the logits (1, T, V); "reset" starts a new sequence, and so does its absence."""
        self.reset = inputs.get("reset", np.ones((1, 1), "float32"))
        names = [name for name in inputs if name != "reset"]
        steps = zip(*(inputs[name][0] for name in names))
        return np.stack([self.step(**dict(zip(names, step))) for step in steps])[None]


def baselines(dataset: "Dataset", split: str) -> dict[str, dict[str, float]]:
    """Results of the baselines on a split: {predictor: {metric: number}}."""
    train, sequences = dataset.splits["train"], dataset.splits[split]
    if dataset.kind == "piano_roll":
        found = music_baselines(train, sequences)
        return {
            name: {"frame_nll": numbers["frame"], "sequence_nll": numbers["sequence"]}
            for name, numbers in found.items()
        }
    found = text_baselines(train[0], sequences[0], dataset.features, dataset.kind)
    return {name: {PRIMARY[dataset.kind]: number} for name, number in found.items()}

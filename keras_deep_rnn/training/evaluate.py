"""Measures a trained network and its baselines on a split."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from ..data.batching import CarriedBatches, PieceBatches
from ..utils.types import ShowProgress, no_progress
from .baselines import music_floors, text_floors
from .metrics import TEXT_METRICS, FrameNLL
from .results import PRIMARY
from .results import definitions as definitions

if TYPE_CHECKING:
    from ..data import Dataset

# Time steps in which a whole text is read when it is measured; the state is carried between them.
CHUNK = 500


def evaluate(
    model: "keras.Model | StepByStep",
    dataset: "Dataset",
    split: str,
    *,
    batch_size: int = 16,
    progress: ShowProgress = no_progress,
) -> dict[str, float]:
    """Measures a network on one split of its data set.

    Args:
        model: The network. For text it must be stateful with a batch of 1.
        dataset: The `Dataset`.
        split: "train", "validation" or "test".
        batch_size: Pieces of music in a batch; it does not change the numbers.
        progress: Wraps the numbers of the batches, for example to show a progress bar.

    Returns:
        Dict from the names of `COLUMNS` that fit the kind of data to numbers, and "count", the
        number of frames (each piece's first one included) or of tokens that were predicted.
    """
    kind, sequences = dataset.kind, dataset.splits[split]
    if kind == "piano_roll":
        batches = PieceBatches(sequences, batch_size, kind=kind)
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


class StepByStep:
    """A network that reads one time step at a time and carries its state, as a service does.

    Args:
        model: Stateful network with a batch of 1, inputs "x" and "reset".
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The outputs at all steps of "x", (1, T, V), which begins anew where "reset" says so."""
        x, reset = inputs["x"], inputs.get("reset", np.ones((1, 1), "float32"))
        outputs = []
        for t in range(x.shape[1]):
            y = self.model.predict_on_batch({"x": x[:, t : t + 1], "reset": reset})
            outputs.append(keras.ops.convert_to_numpy(y))
            reset = np.zeros_like(reset)
        return np.concatenate(outputs, axis=1)


def floors(dataset: "Dataset", split: str) -> dict[str, dict[str, float]]:
    """What predictors without a network reach on a split: {predictor: {definition: number}}."""
    train, sequences = dataset.splits["train"], dataset.splits[split]
    if dataset.kind == "piano_roll":
        found = music_floors(train, sequences)
        return {
            name: {"frame_nll": numbers["frame"], "sequence_nll": numbers["sequence"]}
            for name, numbers in found.items()
        }
    found = text_floors(train[0], sequences[0], dataset.features, dataset.kind)
    return {name: {PRIMARY[dataset.kind]: number} for name, number in found.items()}

"""Evaluates a trained network and the baselines on a split: exact metrics with definitions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..data.batching import CarriedBatches, PieceBatches
from ..utils.types import ShowProgress
from .baselines import music_baselines, text_baselines
from .metrics import TEXT_METRICS, FrameNLL

if TYPE_CHECKING:
    from ..data import Dataset

# Column title and definition of each metric.
COLUMNS = {
    "frame_nll": ("frames 2..T", "total over frames 2 to T of all pieces, divided by their count"),
    "sequence_nll": ("pieces 2..T", "mean over pieces of each piece's mean over frames 2 to T"),
    "frame_nll_from_1": ("frames 1..T", "as frames 2..T, with frame 1 predicted from silence"),
    "sequence_nll_from_1": ("pieces 1..T", "as pieces 2..T, with frame 1 predicted from silence"),
    "bits_per_character": ("bits/character", "total nats / (count x ln 2) over all characters"),
    "perplexity": ("perplexity", "exp(total nats / count) over all words, <eos> included"),
}
# Common definition of the metrics of each kind of data.
COMMON = {
    "piano_roll": "Nats per frame: the sum of the 88 keys' Bernoulli cross-entropies, each frame "
    "predicted from those before it. No source says which of the four the paper of 2013 prints.",
    "characters": "State carried through the whole split, nothing dropped.",
    "words": "State carried through the whole split, nothing dropped.",
}
# Metric for early stopping, and the first one in tables.
PRIMARY = {
    "piano_roll": "frame_nll",
    "characters": "bits_per_character",
    "words": "perplexity",
}
# Time steps of a batch when a text is evaluated; the state is carried to the next.
CHUNK = 500


def evaluate(
    model: "keras.Model | StepwiseModel",
    dataset: "Dataset",
    split: str,
    *,
    batch_size: int = 16,
    progress: ShowProgress = iter,
) -> dict[str, float]:
    """Evaluates a network on one split of its data set.

    Args:
        model: The network; for text a stateful one with a batch size of 1.
        dataset: The `Dataset`.
        split: "train", "validation" or "test".
        batch_size: Pieces of music in a batch; it does not change the results.
        progress: Function that gets the list of batch numbers and gives them out one by one.

    Returns:
        {metric: number}, for the metrics of `COLUMNS` that fit the kind of data, and "count", the
        number of predicted tokens or frames, with the first frame of each piece.
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
    for i in progress(range(len(batches))):
        inputs, y, sample_weight = batches[i]
        logits = model.predict_on_batch(inputs)
        for metric in metrics:
            metric.update_state(y, logits, sample_weight)
    results = {
        metric.name: float(keras.ops.convert_to_numpy(metric.result())) for metric in metrics
    }
    return {**results, "count": batches.frames}


class StepwiseModel:
    """Runs a network one time step at a time and carries its state, as a client of a server does.

    Args:
        model: Stateful network with a batch size of 1, inputs "x" and "reset".
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.reset = np.ones((1, 1), "float32")

    def step(self, x: np.ndarray) -> np.ndarray:
        """Predicts the logits (V,) after the next frame (V,) or token ()."""
        logits = self.model.predict_on_batch({"x": x[None, None], "reset": self.reset})
        self.reset = np.zeros((1, 1), "float32")
        return keras.ops.convert_to_numpy(logits)[0, 0]

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Predicts the logits (1, T, V); "reset" starts a new sequence, and so does its absence."""
        self.reset = inputs.get("reset", np.ones((1, 1), "float32"))
        return np.stack([self.step(x) for x in inputs["x"][0]])[None]


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


def definitions(kind: str) -> dict[str, str]:
    """Definitions of the metrics of a kind of data: {metric: definition}."""
    music = kind == "piano_roll"
    names = [name for name in COLUMNS if name.endswith(("_nll", "_from_1")) == music]
    names = names if music else [PRIMARY[kind]]
    return {name: f"{COLUMNS[name][1]}. {COMMON[kind]}" for name in names}


def table(metrics: dict[str, Any], split: str) -> tuple[str, list[str], list[list[str]], list[str]]:
    """Makes the table of a run's results, baselines first.

    Args:
        metrics: Content of a run's metrics.json.
        split: Split to show.

    Returns:
        Title, column titles, rows of strings, and lines with the definitions of the columns.
    """
    result = metrics["splits"][split]
    names, more = [name for name in result if name != "count"], []
    predictors = {**metrics["baselines"][split], metrics["network"]: result}
    if split in metrics.get("dynamic", {}):
        learning = metrics["dynamic"][split]
        how = f"dynamic, learning rate {learning['rate']:g}, {learning['steps']} steps"
        predictors[f"{metrics['network']}, {how}"] = learning
    if split in metrics.get("streaming", {}):
        stepped = metrics["streaming"][split]
        predictors[f"{metrics['network']}, step by step"] = stepped
        most = max(abs(stepped[name] - result[name]) for name in names)
        more.append(f"step by step: carried state, one step at a time; off by at most {most:.1e}")
    rows = [
        [predictor, *(f"{numbers[name]:.3f}" if name in numbers else "" for name in names)]
        for predictor, numbers in predictors.items()
    ]
    name = Path(metrics["data"]["name"]).name  # of the user's own data: no folders
    # Of a piece's T frames the columns 2..T leave one out, so the title counts no predictions.
    counted = "frames" if metrics["data"]["kind"] == "piano_roll" else "predictions"
    title = f"{name}, {split} split, {result['count']:,} {counted}"
    titles = [COLUMNS[name][0] for name in names]
    notes = [f"{COLUMNS[name][0]}: {COLUMNS[name][1]}" for name in names]
    return title, ["", *titles], rows, [COMMON[metrics["data"]["kind"]], *notes, *more]

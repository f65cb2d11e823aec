"""How a trained network is measured: every number with its definition, nothing dropped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..data.batching import CarriedBatches, PieceBatches
from ..utils.types import ShowProgress
from .baselines import music_floors, text_floors
from .metrics import TEXT_METRICS, FrameNLL

if TYPE_CHECKING:
    from ..data import Dataset

# Title of each number's column, and its definition.
COLUMNS = {
    "frame_nll": ("frames 2..T", "total over frames 2 to T of all pieces, divided by their count"),
    "sequence_nll": ("pieces 2..T", "mean over pieces of each piece's mean over frames 2 to T"),
    "frame_nll_from_1": ("frames 1..T", "as frames 2..T, with frame 1 predicted from silence"),
    "sequence_nll_from_1": ("pieces 1..T", "as pieces 2..T, with frame 1 predicted from silence"),
    "bits_per_character": ("bits/character", "total nats / (count x ln 2) over all characters"),
    "perplexity": ("perplexity", "exp(total nats / count) over all words, <eos> included"),
}
# What all numbers of a kind of data have in common.
COMMON = {
    "piano_roll": "Nats per frame: the sum of the 88 keys' Bernoulli cross-entropies, each frame "
    "predicted from those before it. No source says which of the four the paper of 2013 prints.",
    "characters": "State carried through the whole split, nothing dropped.",
    "words": "State carried through the whole split, nothing dropped.",
}
# The number that decides: training stops on it, tables lead with it.
PRIMARY = {
    "piano_roll": "frame_nll",
    "characters": "bits_per_character",
    "words": "perplexity",
}
# Time steps in which a whole text is read when it is measured; the state is carried between them.
CHUNK = 500


def evaluate(
    model: "keras.Model | StepByStep",
    dataset: "Dataset",
    split: str,
    *,
    batch_size: int = 16,
    progress: ShowProgress = iter,
) -> dict[str, float]:
    """Measures a network on one split of its data set.

    Args:
        model: The network. For text it must be stateful with a batch of 1.
        dataset: The `Dataset`.
        split: "train", "validation" or "test".
        batch_size: Pieces of music in a batch; it does not change the numbers.
        progress: Function that gets the list of batch numbers and gives them out one by one.

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
    for i in progress(range(len(batches))):
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


def definitions(kind: str) -> dict[str, str]:
    """What the numbers of a kind of data are: {name: definition}."""
    music = kind == "piano_roll"
    names = [name for name in COLUMNS if name.endswith(("_nll", "_from_1")) == music]
    names = names if music else [PRIMARY[kind]]
    return {name: f"{COLUMNS[name][1]}. {COMMON[kind]}" for name in names}


def table(metrics: dict[str, Any], split: str) -> tuple[str, list[str], list[list[str]], list[str]]:
    """The results of a run as a table, floors first.

    Args:
        metrics: Content of a run's metrics.json.
        split: The split to show.

    Returns:
        Title, titles of the columns, rows of strings, and lines that define the columns.
    """
    result = metrics["splits"][split]
    names, more = [name for name in result if name != "count"], []
    predictors = {**metrics["floors"][split], metrics["network"]: result}
    if split in metrics.get("dynamic", {}):
        learning = metrics["dynamic"][split]
        how = f"dynamic, rate {learning['rate']:g}, {learning['steps']} steps"
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

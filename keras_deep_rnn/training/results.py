"""The metrics of an evaluation, their definitions, and the table that shows them.

Needs no Keras, so that results are shown at once.
"""

from pathlib import Path
from typing import Any

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

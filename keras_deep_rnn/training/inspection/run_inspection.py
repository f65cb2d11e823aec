"""The inspection of a trained network on a batch of its data."""

from typing import Any

import keras
import numpy as np

from ...data import Dataset
from ...data.batching import Batch, input_target_pairs
from ...data.dataset import SPLITS
from ...utils.errors import ArgumentError
from ...utils.types import PathLike
from ...utils.validation import one_of, positive_integer
from ..metrics import FrameLoss, TokenLoss
from ..run_folder import Run
from ..train import data_of_run
from .inspection import Inspection, inspect

ROWS, STEPS = 8, 100


def inspect_run(
    path: PathLike,
    split: str = "validation",
    *,
    rows: int = ROWS,
    steps: int = STEPS,
    data: PathLike | None = None,
    manual_dir: PathLike | None = None,
    data_dir: PathLike | None = None,
) -> tuple[keras.Model, Inspection]:
    """Inspects the network of a finished run with the loss of its training.

    Args:
        path: Folder of the run.
        split: "train", "validation" or "test".
        rows: The most rows of the batch.
        steps: The most steps.
        data: Where the data is now, if it has moved; None: as in the training.
        manual_dir: As for `data.load`; None: as in the training.
        data_dir: As for `data.load`; None: as in the training.

    Returns:
        The network and its `Inspection`.

    Raises:
        UserError: The run is not finished, its data is missing or has changed, or the split is
            unknown.
    """
    one_of(SPLITS)("split", split)
    run = Run(path)
    dataset = data_of_run(run, data=data, manual_dir=manual_dir, data_dir=data_dir)
    model = run.model()
    loss = FrameLoss() if dataset.kind == "piano_roll" else TokenLoss()
    batch = batch_of(dataset, split, rows, steps, joint=_is_joint(model))
    return model, inspect(model, batch, loss=loss)


def inspect_on(
    model: keras.Model, dataset: Dataset, split: str, *, rows: int = ROWS, steps: int = STEPS
) -> Inspection:
    """Inspects any model that takes x of a data set, by half the mean square of its outputs.

    Args:
        model: The model.
        dataset: The data set.
        split: "train", "validation" or "test".
        rows: The most rows of the batch.
        steps: The most steps.

    Raises:
        UserError: The model does not take the data, or has no recurrent layer of this package.
    """
    inputs, _, _ = batch_of(dataset, split, rows, steps, joint=_is_joint(model))
    x: Any = inputs if isinstance(model.input, dict) else inputs["x"]
    shape = None if isinstance(model.input, (dict, list)) else model.input.shape
    if shape is not None and len(shape) == 3 and inputs["x"].ndim == 2:
        x = x[..., None]  # a layer with `num_tokens` takes (B, T, 1)
    shapes = {tuple(k.shape)[2:] for k in keras.tree.flatten(model.input)}
    if keras.tree.flatten(x)[0].shape[2:] not in shapes:
        expected = f"data of the model's shape, {keras.tree.flatten(model.input)[0].shape}"
        raise ArgumentError("data", expected, dataset.name)
    return inspect(model, x)


def batch_of(dataset: Dataset, split: str, rows: int, steps: int, joint: bool = False) -> Batch:
    """A batch without padding: the beginnings of the longest pieces, or parts of a text.

    Args:
        dataset: The data set.
        split: "train", "validation" or "test".
        rows: The most rows.
        steps: The most steps; there are fewer where a piece or the text is shorter.
        joint: Whether the inputs have the targets too, for a joint output.

    Returns:
        {"x": (B, T, ...)}, y (B, T, ...), and weights (B, T), which are 1.

    Example:

    >>> text = {"validation": [np.arange(10) % 3]}
    >>> facts = {"step": "character", "version": "1", "checksum": "", "description": ""}
    >>> data = Dataset("abc", "characters", text, vocabulary=("a", "b", "c"), **facts)
    >>> inputs, y, _ = batch_of(data, "validation", 2, 4)
    >>> inputs["x"].tolist(), y.tolist()
    ([[0, 1, 2, 0], [1, 2, 0, 1]], [[1, 2, 0, 1], [2, 0, 1, 2]])
    """
    one_of(SPLITS)("split", split)
    rows, steps = positive_integer("rows", rows), positive_integer("steps", steps)
    pairs = input_target_pairs(dataset.splits[split], dataset.kind, dataset.start)
    if dataset.kind != "piano_roll":
        ((x, y),) = pairs
        steps = min(steps, len(x))
        starts = range(0, len(x) - steps + 1, steps)[:rows]
        pairs = [(x[start : start + steps], y[start : start + steps]) for start in starts]
    else:
        pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)[:rows]
        steps = min(steps, len(pairs[-1][0]))
    x, y = (
        np.stack([pair[i][:steps] for pair in pairs]).astype(
            "float32" if dataset.kind == "piano_roll" else "int32"
        )
        for i in (0, 1)
    )
    return {"x": x, **({"target": y} if joint else {})}, y, np.ones(y.shape[:2], "float32")


def _is_joint(model: keras.Model) -> bool:
    return isinstance(model.input, dict) and "target" in model.input

"""Dynamic evaluation: the weights are updated on the text that the network is evaluated on.

The text is read once, in order, in segments of some tokens. Each segment is predicted, which is
what counts, and then one SGD update is made on its loss; weights and states are carried to the
next. No token is predicted by weights that were trained on it. Source: Mikolov et al., "Recurrent
neural network based language model" (2010); Graves, arXiv:1308.0850.
"""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..data.batching import CarriedBatches
from ..utils.errors import ArgumentError
from ..utils.types import Log, ShowProgress, no_progress
from .metrics import TokenLoss
from .results import PRIMARY

if TYPE_CHECKING:
    from ..data import Dataset
    from .run_folder import Run

# Grid that is searched on the validation split: learning rates of SGD, and tokens of a segment.
LEARNING_RATES = (0.03, 0.1, 0.3)
STEPS = (20, 50)
# Largest norm of the gradient of a segment.
CLIPNORM = 1.0
# Metric of each kind of text, from its nats per token.
FROM_NATS = {"characters": lambda nats: nats / math.log(2), "words": math.exp}


def evaluate(
    run: "Run",
    dataset: "Dataset",
    split: str,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    steps: Sequence[int] = STEPS,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Evaluates a finished run of text dynamically.

    The learning rate and the length of the segments are those with the best validation result.

    Args:
        run: Folder of the run.
        dataset: Data set of the run.
        split: Split to evaluate.
        learning_rates: Learning rates to choose from.
        steps: Numbers of tokens of a segment to choose from.
        log: Called with one line at a time.
        progress: Wraps an iterable, for example to show a progress bar.

    Returns:
        {"validation": result, split: result, "tried": [result, ...]}: see `evaluate_split`; "tried"
        has the validation results of the whole grid.

    Raises:
        UserError: The run is one of music, or not finished.
    """
    if dataset.kind == "piano_roll":
        raise ArgumentError("dynamic", "left out for music: dynamic evaluation is for text")
    name, weights = PRIMARY[dataset.kind], run.model().get_weights()
    tried = []
    for rate, length in itertools.product(learning_rates, steps):
        result = evaluate_split(run, weights, dataset, "validation", rate, length, progress)
        tried.append(result)
        log(f"learning rate {rate:g}, {length} steps: {name} {result[name]:.4f} on validation")
    best = min(tried, key=lambda result: result[name])
    results = {"tried": tried, "validation": best}
    if split != "validation":
        chosen = (best["rate"], best["steps"])
        results[split] = evaluate_split(run, weights, dataset, split, *chosen, progress)
    return results


def evaluate_split(
    run: "Run",
    weights: list[np.ndarray],
    dataset: "Dataset",
    split: str,
    learning_rate: float,
    steps: int,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Evaluates a network dynamically on one split.

    Args:
        run: Folder of the run.
        weights: Trained weights of its network.
        dataset: Data set of the run.
        split: Split to evaluate.
        learning_rate: Learning rate of SGD.
        steps: Tokens of a segment.
        progress: Wraps an iterable, for example to show a progress bar.

    Returns:
        {metric: number, "count": predicted tokens, "rate": learning rate, "steps": steps}.
    """
    network = run.network(stateful=True, batch_size=1)
    network.set_weights(weights)
    model = InferenceMode(network)
    model.compile(keras.optimizers.SGD(learning_rate, global_clipnorm=CLIPNORM), TokenLoss())
    sequences, kind = dataset.splits[split], dataset.kind
    batches = CarriedBatches(sequences, 1, steps, kind=kind, start=dataset.start)
    nats = 0.0
    for i in progress(range(len(batches)), f"{split} split, dynamic"):
        inputs, y, sample_weight = batches[i]
        model.reset_metrics()
        # The loss is the segment's mean, of the logits before the update.
        loss = model.train_on_batch(inputs, y, sample_weight, return_dict=True)["loss"]
        nats += float(loss) * float(sample_weight.sum())
    return {
        PRIMARY[kind]: FROM_NATS[kind](nats / batches.frames),
        "count": batches.frames,
        "rate": learning_rate,
        "steps": steps,
    }


class InferenceMode(keras.Model):
    """Runs a network without dropout, zoneout and noise, also in training."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, inputs: dict[str, Any]) -> Any:
        return self.network(inputs, training=False)

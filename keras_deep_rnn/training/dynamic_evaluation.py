"""Dynamic evaluation: a network of text that goes on learning from the text it is measured on.

The text is read once, in order, some tokens at a time. Each part is first predicted, which is what
counts, and then takes one step of gradient descent on the loss of that same part; the weights, and
the state, go on to the next part. No token is predicted by weights that have seen it. Source:
Mikolov et al., "Recurrent neural network based language model" (2010); Graves, arXiv:1308.0850.
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
from .models import build_network
from .results import PRIMARY

if TYPE_CHECKING:
    from ..data import Dataset
    from .run_folder import Run

# What is tried on the validation split: rates of gradient descent, and tokens of a part.
RATES = (0.03, 0.1, 0.3)
STEPS = (20, 50)
# Largest norm of the gradient of a part.
CLIPNORM = 1.0
# The number of a text from its nats per token.
NUMBER = {"characters": lambda nats: nats / math.log(2), "words": math.exp}
# What is drawn at random in training; none of it when a text is read.
DRAWN = ("dropout", "recurrent_dropout", "output_dropout")


def measure(
    run: "Run",
    dataset: "Dataset",
    split: str,
    *,
    rates: Sequence[float] = RATES,
    steps: Sequence[int] = STEPS,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Measures a finished run of text by dynamic evaluation.

    Rate and length of the parts are chosen on the validation split, of all pairs that are given.

    Args:
        run: `Run`.
        dataset: The `Dataset` of the run.
        split: The split to measure.
        rates: Rates to choose from.
        steps: Numbers of tokens to choose from.
        log: Called with one line at a time.
        progress: As for `training.train`.

    Returns:
        Dict from "validation" and the split to their numbers, each with "rate", "steps" and
        "count"; under "tried" every pair with its result on validation.

    Raises:
        UserError: The run is one of music, or not finished.
    """
    if dataset.kind == "piano_roll":
        raise ArgumentError("dynamic", "left out for music: only a text is read so")
    name, weights = PRIMARY[dataset.kind], run.model().get_weights()
    tried = []
    for rate, length in itertools.product(rates, steps):
        result = read(run, weights, dataset, "validation", rate, length, progress)
        tried.append(result)
        log(f"rate {rate:g}, {length} steps: {name} {result[name]:.4f} on validation")
    best = min(tried, key=lambda result: result[name])
    found = {"tried": tried, "validation": best}
    if split != "validation":
        chosen = (best["rate"], best["steps"])
        found[split] = read(run, weights, dataset, split, *chosen, progress)
    return found


def read(
    run: "Run",
    weights: list[np.ndarray],
    dataset: "Dataset",
    split: str,
    rate: float,
    steps: int,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Reads a split once, learning from it.

    Args:
        run: `Run`, whose network is built anew.
        weights: Its trained weights.
        dataset: The `Dataset`.
        split: The split to read.
        rate: Rate of gradient descent; 0 reads without learning.
        steps: Tokens of a part.
        progress: As for `training.train`.

    Returns:
        Dict of the number that the kind of text is measured by, "count", "rate" and "steps".
    """
    network = {**run.config["network"], "weight_noise": 0.0}
    if network["network"] != "fast_dropout_rnn":  # draws nothing: its rates belong to it
        network.update(dict.fromkeys(DRAWN, 0.0))
    model = build_network(**network, stateful=True, batch_size=1)
    model.set_weights(weights)
    model.compile(
        keras.optimizers.SGD(rate, global_clipnorm=CLIPNORM),
        TokenLoss(),
    )
    sequences, kind = dataset.splits[split], dataset.kind
    batches = CarriedBatches(sequences, 1, steps, kind=kind, start=dataset.start)
    nats = 0.0
    for i in progress(range(len(batches)), f"{split} split, dynamic"):
        inputs, y, sample_weight = batches[i]
        model.reset_metrics()
        # The loss is that of the logits from before the step, its mean over the part.
        loss = model.train_on_batch(inputs, y, sample_weight, return_dict=True)["loss"]
        nats += float(loss) * float(sample_weight.sum())
    return {
        PRIMARY[kind]: NUMBER[kind](nats / batches.frames),
        "count": batches.frames,
        "rate": rate,
        "steps": steps,
    }

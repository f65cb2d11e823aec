"""Learning-rate schedules: that of the paper's recipe, and that of the modern one."""

import math
from typing import Any

import keras
from keras import ops

from ..utils.errors import ArgumentError
from ..utils.validation import number


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class InverseDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Holds the learning rate, then decays it as 1 / n.

        rate(n) = initial_learning_rate / (1 + max(0, n - start) / beta)

    n counts updates (batches), from 0.

    Args:
        initial_learning_rate: Learning rate up to update `start`, above 0.
        start: Update after which the decay begins, at least 0.
        beta: Number of updates after `start` that halves the rate, above 0.

    Raises:
        UserError: An argument is not a number in its range.

    Example:

    >>> rate = InverseDecay(initial_learning_rate=1.0, start=100, beta=50)
    >>> [float(rate(n)) for n in (0, 100, 150)]
    [1.0, 1.0, 0.5]

    Source: Pascanu et al., arXiv:1312.6026, section 5.
    """

    def __init__(
        self, initial_learning_rate: float = 1.0, start: float = 0, beta: float = 1000.0
    ) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, above=0)
        self.start = number("start", start, least=0)
        self.beta = number("beta", beta, above=0)

    def __call__(self, step: Any) -> Any:
        decayed = ops.maximum(0.0, ops.cast(step, "float32") - self.start)
        return self.initial_learning_rate / (1.0 + decayed / self.beta)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "start": self.start,
            "beta": self.beta,
        }


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class HoldCosineDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate over a warmup, holds it, then decays it to 0 along a cosine.

        rate(n) = initial_learning_rate
                  * n / warmup_steps                                  n < warmup_steps
                  * (1 + cos(pi (n - start) / (steps - start))) / 2   n > start

    n counts updates (batches), from 0; start = warmup_steps + hold (steps - warmup_steps). With
    `hold=0` it is `keras.optimizers.schedules.CosineDecay`. A held rate suits averaged weights
    (`use_ema=True` of an optimizer), which then have no need of the decay.

    Args:
        initial_learning_rate: Learning rate after the warmup, above 0.
        steps: Number of updates in all, above `warmup_steps`.
        hold: Share of the updates after the warmup over which the rate is held, in [0, 1].
        warmup_steps: Updates over which the rate rises from 0.

    Raises:
        ArgumentError: An argument is not a number in its range.

    Example:

    >>> rate = HoldCosineDecay(0.1, steps=100, hold=0.5, warmup_steps=20)
    >>> [round(float(rate(n)), 3) for n in (0, 10, 20, 60, 80, 100)]
    [0.0, 0.05, 0.1, 0.1, 0.05, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        steps: float,
        hold: float = 0.0,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, above=0)
        self.steps = number("steps", steps, above=0)
        self.hold = number("hold", hold, least=0)
        self.warmup_steps = number("warmup_steps", warmup_steps, least=0)
        if self.hold > 1:
            raise ArgumentError("hold", "a share, at most 1", hold)
        if self.warmup_steps >= self.steps:
            raise ArgumentError("warmup_steps", f"below `steps`, {steps}", warmup_steps)

    def __call__(self, step: Any) -> Any:
        step = ops.minimum(ops.cast(step, "float32"), self.steps)
        start = self.warmup_steps + self.hold * (self.steps - self.warmup_steps)
        decayed = ops.maximum(0.0, step - start) / max(1.0, self.steps - start)
        risen = ops.minimum(1.0, step / max(1.0, self.warmup_steps)) if self.warmup_steps else 1.0
        return self.initial_learning_rate * risen * (1.0 + ops.cos(math.pi * decayed)) / 2.0

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "steps": self.steps,
            "hold": self.hold,
            "warmup_steps": self.warmup_steps,
        }

"""The learning-rate schedule of the paper's recipe."""

from typing import Any

import keras
from keras import ops

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

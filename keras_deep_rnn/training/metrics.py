"""Losses, and metrics that are exact sums and counts over batches.

Keras averages over the averages of batches, so its losses depend on the batches and their padding.
The metrics here sum nats and predictions, weighted by `sample_weight`, and divide once, in
`result`. Compensated summation in two float32 numbers (JAX has no float64 by default) keeps all
digits over millions of predictions.

Definitions, for music and for language:

    frame NLL            sum over the 88 keys of the Bernoulli cross-entropy, in nats
    bits per character   total nats / (count x ln 2)
    perplexity           exp(total nats / count)
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..recurrence import DEFAULT_LOOP
from ..utils.types import Tensor
from ..utils.validation import flag, one_of


def frame_nll(y_true: Tensor, logits: Tensor) -> Tensor:
    """Negative log-likelihood of each frame: sum of the Bernoulli cross-entropies of its keys.

    Args:
        y_true: (B, T, keys), 1 where a key sounds, else 0.
        logits: (B, T, keys), log-odds that a key sounds.

    Returns:
        (B, T) in nats.

    Example:

    >>> import numpy as np
    >>> nll = frame_nll(np.ones((1, 1, 88)), np.zeros((1, 1, 88)))
    >>> round(float(nll[0, 0] / np.log(2)), 4)
    88.0
    """
    logits = ops.cast(logits, "float32")
    y_true = ops.cast(y_true, "float32")
    return ops.sum(ops.softplus(logits) - y_true * logits, axis=-1)


def token_nll(y_true: Tensor, logits: Tensor) -> Tensor:
    """Negative log-likelihood of each token.

    Args:
        y_true: (B, T), indices of tokens.
        logits: (B, T, V), unnormalized log-probabilities.

    Returns:
        (B, T) in nats.
    """
    on_tensorflow = keras.backend.backend() == "tensorflow" and DEFAULT_LOOP.compiled()
    return (_by_xla() if on_tensorflow else _token_nll)(y_true, logits)


def _token_nll(y_true: Tensor, logits: Tensor) -> Tensor:
    logits = ops.cast(logits, "float32")
    y_true = ops.expand_dims(ops.cast(y_true, "int32"), -1)
    of_targets = ops.take_along_axis(logits, y_true, axis=-1)
    return ops.logsumexp(logits, axis=-1) - ops.squeeze(of_targets, -1)


@functools.cache
def _by_xla() -> Callable[[Tensor, Tensor], Tensor]:
    """`_token_nll` compiled: for words TensorFlow's operations take as long as the logits."""
    import tensorflow as tf

    return tf.function(_token_nll, jit_compile=True, autograph=False)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FrameLoss(keras.losses.Loss):
    """Mean frame NLL of a batch in nats, weighted by `sample_weight` (B, T).

    Example:

    >>> import numpy as np
    >>> y, weight = np.ones((1, 2, 88)), np.array([[1.0, 0.0]])
    >>> round(float(FrameLoss()(y, np.zeros((1, 2, 88)), weight) / np.log(2)), 4)
    88.0
    """

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str = "frame_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return frame_nll(y_true, y_pred)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class TokenLoss(keras.losses.Loss):
    """Mean token NLL of a batch in nats, weighted by `sample_weight` (B, T).

    Example:

    >>> import numpy as np
    >>> y, weight = np.zeros((1, 2), "int32"), np.array([[1.0, 0.0]])
    >>> round(float(TokenLoss()(y, np.zeros((1, 2, 8)), weight) / np.log(2)), 4)
    3.0
    """

    def __init__(
        self,
        reduction: str = "mean_with_sample_weight",
        name: str = "token_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return token_nll(y_true, y_pred)


class ExactMean(keras.metrics.Metric):
    """A weighted total divided by the total of the weights, exact over batches.

    Each of the two totals is a pair of float32 numbers: a sum, and the rounding errors that the sum
    has made so far (Neumaier 1974). A subclass says with `nats` what is summed.

    Args:
        name: Name of the metric.
        dtype: Dtype of the result.
    """

    def __init__(self, name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._total = self._pair("total")
        self._count = self._pair("count")

    def _pair(self, name: str) -> list[keras.Variable]:
        return [
            self.add_weight(name=f"{name}_{part}", shape=(), initializer="zeros", dtype="float32")
            for part in ("sum", "error")
        ]

    def nats(self, y_true: Tensor, logits: Tensor) -> Tensor:
        """The values to be averaged: (B, T)."""
        raise NotImplementedError

    def values(
        self, y_true: Tensor, logits: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Values and their weights, two arrays of equal shape."""
        values = self.nats(y_true, logits)
        weights = ops.ones_like(values) if sample_weight is None else sample_weight
        return values, ops.broadcast_to(ops.cast(weights, "float32"), ops.shape(values))

    def update_state(
        self, y_true: Tensor, logits: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Targets, (B, T, ...).
            logits: Predictions, (B, T, ...).
            sample_weight: (B, T), 0 where there is only padding; None counts everything once.
        """
        values, weights = self.values(y_true, logits, sample_weight)
        # Padding may hold anything, infinities included.
        _add(self._total, ops.sum(ops.where(weights > 0, values * weights, 0.0)))
        _add(self._count, ops.sum(weights))

    def mean(self) -> Tensor:
        """The total divided by the count; 0 before anything was counted."""
        total, count = (ops.add(*pair) for pair in (self._total, self._count))
        return ops.divide_no_nan(total, count)

    def result(self) -> Tensor:
        return self.mean()


def _add(pair: list[keras.Variable], value: Tensor) -> None:
    """Adds a number to a (sum, error) pair of variables without losing what rounding cuts off."""
    total, error = (ops.convert_to_tensor(part) for part in pair)
    added = total + value
    # The larger of the two is exact in the difference, so the smaller one's lost digits remain.
    lost = ops.where(
        ops.abs(total) >= ops.abs(value), (total - added) + value, (value - added) + total
    )
    pair[0].assign(added)
    pair[1].assign(error + lost)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class FrameNLL(ExactMean):
    """Nats per frame of polyphonic music, exact over batches.

    Args:
        weighting: "frame": the mean over frames. "sequence": the mean over sequences of each one's
            mean; every row of a batch must be a whole sequence.
        first_frame: Whether to count the first frame of each row, which is predicted from silence.
        name: Name of the metric.
        dtype: Dtype of the result.

    Raises:
        ValueError: An argument is not one of the values above.

    Example:

    >>> import numpy as np
    >>> metric = FrameNLL()
    >>> metric.update_state(np.zeros((2, 3, 88)), np.zeros((2, 3, 88)))
    >>> round(float(metric.result() / np.log(2)), 4)
    88.0
    """

    def __init__(
        self,
        weighting: str = "frame",
        first_frame: bool = False,
        name: str = "frame_nll",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.weighting = one_of(("frame", "sequence"))("weighting", weighting)
        self.first_frame = flag("first_frame", first_frame)

    def nats(self, y_true: Tensor, logits: Tensor) -> Tensor:
        return frame_nll(y_true, logits)

    def values(
        self, y_true: Tensor, logits: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        values, weights = super().values(y_true, logits, sample_weight)
        if not self.first_frame:
            values, weights = values[:, 1:], weights[:, 1:]
        if self.weighting == "frame":
            return values, weights
        counts = ops.sum(weights, axis=1)
        totals = ops.sum(ops.where(weights > 0, values * weights, 0.0), axis=1)
        return ops.divide_no_nan(totals, counts), ops.cast(counts > 0, "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weighting": self.weighting,
            "first_frame": self.first_frame,
        }


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class BitsPerCharacter(ExactMean):
    """Bits per character: total nats / (count x ln 2), exact over batches.

    Example:

    >>> import numpy as np
    >>> metric = BitsPerCharacter()
    >>> metric.update_state(np.zeros((1, 5), "int32"), np.zeros((1, 5, 8)))
    >>> round(float(metric.result()), 4)
    3.0
    """

    def __init__(self, name: str = "bits_per_character", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def nats(self, y_true: Tensor, logits: Tensor) -> Tensor:
        return token_nll(y_true, logits)

    def result(self) -> Tensor:
        return self.mean() / math.log(2)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Perplexity(ExactMean):
    """Perplexity: exp(total nats / count), exact over batches.

    Example:

    >>> import numpy as np
    >>> metric = Perplexity()
    >>> metric.update_state(np.zeros((1, 5), "int32"), np.zeros((1, 5, 8)))
    >>> round(float(metric.result()), 4)
    8.0
    """

    def __init__(self, name: str = "perplexity", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def nats(self, y_true: Tensor, logits: Tensor) -> Tensor:
        return token_nll(y_true, logits)

    def result(self) -> Tensor:
        return ops.exp(self.mean())


# Metric of each kind of text.
TEXT_METRICS = {"characters": BitsPerCharacter, "words": Perplexity}

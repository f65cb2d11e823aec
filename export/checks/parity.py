"""Comparison of the outputs of an exported file with those of its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from ..model.eligibility import precision
from ..model.record import LENGTHS, arrays, example, sizes, whole_by_keras
from ..model.signature_specs import Arrays
from ..model.signatures import PADDED, WHOLE
from .check_suite import TOLERANCE

if TYPE_CHECKING:
    from ..model.signatures import ServingSignatures

# Quantized weights are judged by statistics, which need more steps.
LONGER = (2, 30)
# The smallest share of the variance of an output; see `differences`.
LEAST_EXPLAINED = 0.5
ALMOST_EQUAL = 1e-2  # relative to the largest output


class Disagree(Exception):
    """Outputs that are not those of the model; the message says how."""


def differences(
    served: ServingSignatures,
    signature: str,
    run: Callable[[Arrays], Arrays],
    *,
    quantized: bool = False,
) -> dict[str, float | None]:
    """Compares a signature with the model at two lengths and, where it has them, two batch sizes.

    Whole sequences are compared with what Keras computes. So are single steps, which run over a
    whole sequence, each from the state that the one before has given. States are compared with
    those that TensorFlow hands from step to step.

    Rounded weights give other numbers, and how much is too much depends on the use. Refused is only
    what no longer follows the model: where, of the variance of an output over all inputs, less than
    half is explained. An answer that does not depend on the input explains nothing (0), and wrong
    weights less than that (about -1), whatever the scale of the outputs; 8 bits explain more than
    0.99 of most networks.

    Args:
        served: `signatures.ServingSignatures` of the format.
        signature: `serving_default`, `prefill` or `step`.
        run: Function of {name: array} to {name: array}.
        quantized: Whether the weights were rounded.

    Returns:
        {"difference": the largest of an output}; for quantized weights also "explained", the
        smallest share of an output, and "equal_decisions", the share of equal most likely classes
        (softmax) or of keys that are equally more or less likely than not (sigmoid), else None.

    Raises:
        Disagree: An output is of another shape, or differs by more than is allowed.
    """
    pairs, lengths = {}, LONGER if quantized else LENGTHS
    for got, expected in _answers(served, signature, run, lengths):
        if got.keys() != expected.keys():
            raise Disagree(f"it gives {sorted(got)} instead of {sorted(expected)}")
        for name, value in expected.items():
            if got[name].shape != value.shape:
                raise Disagree(f"{name} has shape {got[name].shape} instead of {value.shape}")
            pairs.setdefault(name, []).append((got[name], value))
    if quantized:
        return _quantized(pairs, served.options.probabilities)
    tolerance = TOLERANCE[precision(served.model)]
    worst = 0.0
    for name, values in pairs.items():
        for got, expected in values:
            worst = max(worst, _within(name, got, expected, tolerance))
    return {"difference": worst}


def _within(name: str, got: np.ndarray, expected: np.ndarray, tolerance: float) -> float:
    difference = _largest(got - expected)
    if not difference <= tolerance * max(1.0, _largest(expected)):
        raise Disagree(f"{name} differs from the model by {difference:.3g}")
    return difference


def _quantized(
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]], probabilities: str | None
) -> dict[str, float | None]:
    found = {"difference": 0.0, "explained": 1.0, "equal_decisions": None}
    for name, values in pairs.items():
        got, expected = (
            np.concatenate([value.reshape(-1, value.shape[-1]) for value in side]).astype("float64")
            for side in zip(*values)
        )
        error, variance = np.sum((got - expected) ** 2), np.sum((expected - expected.mean(0)) ** 2)
        # What never changes has no variance to explain.
        same = _largest(got - expected) <= ALMOST_EQUAL * max(1.0, _largest(expected))
        explained = 1 - error / variance if variance else float(same)
        if not (explained >= LEAST_EXPLAINED or same):
            raise Disagree(
                f"{name} no longer follows the model: {explained:.2f} of its variance is explained"
            )
        found["difference"] = max(found["difference"], _largest(got - expected))
        found["explained"] = min(found["explained"], float(explained))
        if probabilities and name in ("y", "y_t"):
            found["equal_decisions"] = float(
                np.mean(_decisions(got, probabilities) == _decisions(expected, probabilities))
            )
    return found


def _decisions(y: np.ndarray, probabilities: str) -> np.ndarray:
    return y > 0 if probabilities == "sigmoid" else np.argmax(y, -1)


def _largest(x: np.ndarray) -> float:
    return float(np.max(np.abs(x), initial=0.0))


def _answers(
    served: ServingSignatures,
    signature: str,
    run: Callable[[Arrays], Arrays],
    lengths: Sequence[int],
) -> Iterator[tuple[Arrays, Arrays]]:
    """Outputs of a file and of the model for the same inputs: pairs of {name: array}."""
    random = np.random.default_rng(2)
    function, whole = served.functions()[signature], whole_by_keras(served)
    for batch, length in sizes(served, signature, lengths):
        name = WHOLE if signature == "step" else signature
        inputs = example(served, name, random, batch, length)
        if signature == "step":
            yield _steps(served, whole(inputs), function, run, inputs["x"])
        elif signature in (WHOLE, PADDED):
            yield run(inputs), whole(inputs)
        else:
            yield run(inputs), arrays(function(*map(tf.constant, inputs.values())))


def _steps(
    served: ServingSignatures,
    whole: Arrays,
    function: Callable[..., Any],
    run: Callable[[Arrays], Arrays],
    x: np.ndarray,
) -> tuple[Arrays, Arrays]:
    """Steps over a sequence: y as Keras computes it as a whole, states as TensorFlow does."""
    expected = {f"{name}_t": y for name, y in whole.items()}
    state = own = served.streaming.initial_state(len(x)).numpy()
    got, states = [], []
    for t in range(x.shape[1]):
        got.append(run({"x_t": x[:, t], "state": state}))
        own = function(tf.constant(x[:, t]), tf.constant(own))["next_state"].numpy()
        state = got[-1]["next_state"]
        states.append(own)
    got = {name: np.stack([each[name] for each in got], axis=1) for name in got[0]}
    if served.last_only:
        got = {name: v if name == "next_state" else v[:, -1] for name, v in got.items()}
    return got, {**expected, "next_state": np.stack(states, axis=1)}

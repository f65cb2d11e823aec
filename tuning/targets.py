"""Checks of targets of one's own, where Keras would broadcast, cut or clip them in its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ..utils.errors import ArgumentError, Words

Shape = Sequence[int | None]
# {kind: the losses of Keras that expect probabilities or logits}.
_CROSSENTROPIES: dict[str, tuple[Any, ...]] = {
    "sparse": (
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.sparse_categorical_crossentropy,
    ),
    "categorical": (
        keras.losses.CategoricalCrossentropy,
        keras.losses.categorical_crossentropy,
        keras.losses.CategoricalFocalCrossentropy,
        keras.losses.categorical_focal_crossentropy,
    ),
    "binary": (
        keras.losses.BinaryCrossentropy,
        keras.losses.binary_crossentropy,
        keras.losses.BinaryFocalCrossentropy,
        keras.losses.binary_focal_crossentropy,
    ),
}
# Further losses that compare class indices with a vector of outputs.
_OF_INDICES = (
    keras.losses.Circle,
    keras.losses.circle,
    keras.losses.CategoricalGeneralizedCrossEntropy,
    keras.losses.categorical_generalized_cross_entropy,
)
_OF_LABEL_SEQUENCES = (keras.losses.CTC, keras.losses.ctc)


def resolved(loss: Any) -> Any:
    """The loss of a name, and any other loss as it is."""
    return keras.losses.get(loss) if isinstance(loss, str) else loss


def is_ctc(loss: Any) -> bool:
    """Whether targets are label sequences, shorter than the output."""
    return _among(resolved(loss), _OF_LABEL_SEQUENCES)


def is_elementwise(loss: Any) -> bool:
    """Whether a loss is one of Keras that compares each target with one output."""
    loss = resolved(loss)
    return not is_ctc(loss) and (getattr(loss, "__module__", None) or "").startswith("keras.")


def check_output(output: keras.layers.Layer, loss: Any) -> None:
    """Refuses a crossentropy of logits on probabilities, or the other way round, and of one class.

    Keras clips linear outputs to [0, 1], and applies a second softmax or sigmoid, without a word.

    Args:
        output: The output layer; only a `Dense` layer tells its activation.
        loss: Loss of `Model.compile`.

    Raises:
        ArgumentError: They do not fit.
    """
    kind = _kind(loss)
    if kind is None or not isinstance(output, keras.layers.Dense):
        return
    if kind != "binary" and output.units == 1:
        hint = "; two classes of one unit take binary crossentropy."
        raise ArgumentError("output", "a layer of one unit per class", Words("1 unit"), hint)
    activation, from_logits = output.activation, getattr(loss, "from_logits", False)
    needed = "a sigmoid" if kind == "binary" else "a softmax"
    if activation is keras.activations.linear and not from_logits:
        hint = f": `output` is linear, and without logits the loss expects {needed}."
        raise ArgumentError("loss", "a loss with from_logits=True", hint=hint)
    if from_logits and activation in (keras.activations.softmax, keras.activations.sigmoid):
        hint = f": `output` ends in {activation.__name__}, which logits must not."
        raise ArgumentError("loss", "a loss with from_logits=False", hint=hint)


def fits(y_shape: Shape, output_shape: Shape, loss: Any) -> bool:
    """Whether an element-wise loss of Keras compares these targets with these outputs one by one.

    Args:
        y_shape: Shape of the targets, (B, ...); unknown sizes are None.
        output_shape: Shape of the outputs, (B, ..., K).
        loss: Loss of `Model.compile`.
    """
    y_shape, output_shape = tuple(y_shape)[1:], tuple(output_shape)[1:]
    indices = output_shape[:-1]
    if _takes_indices(loss):
        return any(_equal(y_shape, shape) for shape in (indices, (*indices, 1)))
    if _equal(y_shape, output_shape):
        return True
    # Keras adds the last axis to the targets of a single output.
    return output_shape[-1:] == (1,) and _equal(y_shape, indices)


def check_targets(
    y: Any, output_shape: Shape, loss: Any, *, argument: str = "y", hint: str = ""
) -> None:
    """Refuses targets that Keras would broadcast, or whose values the loss does not take.

    Args:
        y: Targets, (B, ...), or their specification, which has a shape and no values.
        output_shape: Shape of the outputs for their inputs, (B, ..., K).
        loss: Element-wise loss of Keras.
        argument: Name of the targets in errors.
        hint: End of the line on a shape that does not fit, if nothing better is known.

    Raises:
        ArgumentError: The targets do not fit.
    """
    y_shape = shape_of(y)
    if y_shape is None:
        return
    if not fits(y_shape, output_shape, loss):
        every, last = ("N", *output_shape[1:]), output_shape[-1]
        expected = f"the shape of the model's output, {_text(every)}"
        if _takes_indices(loss):
            expected = f"the shape of the model's output without its classes, {_text(every[:-1])}"
            if _equal(y_shape[1:], output_shape[1:]):
                hint = "; one-hot targets take categorical crossentropy."
        elif _kind(loss) == "categorical" and _equal(y_shape[1:], output_shape[1:-1]):
            hint = "; class indices take sparse categorical crossentropy."
        elif len(y_shape) == len(output_shape) and _equal(y_shape[1:-1], output_shape[1:-1]):
            hint = f"; `output` has {last} units, `y` has {y_shape[-1]} values."
        raise ArgumentError(argument, expected, Words(_text(y_shape)), hint, verb="have")
    if _kind(loss) in ("sparse", "binary") and hasattr(y, "__array__"):
        _check_values(np.asarray(y), output_shape[-1], loss, argument)


def _check_values(y: np.ndarray, classes: int | None, loss: Any, argument: str) -> None:
    if not y.size or y.dtype.kind not in "fiu":
        return
    low, high = 0, 1
    expected = "from 0 to 1 for binary crossentropy"
    if _kind(loss) == "sparse":
        ignored = getattr(loss, "ignore_class", None)
        y = y if ignored is None else y[y != ignored]
        high = np.inf if classes is None else classes - 1
        expected = f"class indices from 0 to {high}"
        if y.dtype.kind == "f" and np.any(y != np.floor(y)):
            raise ArgumentError(argument, expected, Words(y[y != np.floor(y)][0]))
    wrong = y[(y < low) | (y > high)]
    if wrong.size:
        raise ArgumentError(argument, expected, Words(wrong[0]))


def first_batch(data: Any) -> tuple[Any, Any]:
    """x and y of a batch, or their specifications; None for those not known before training.

    Args:
        data: `tf.data.Dataset`, `PyDataset`, or anything else that `Model.fit` takes as `x`.
    """
    batch = getattr(data, "element_spec", None)
    if isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    return batch[:2] if isinstance(batch, tuple) and len(batch) > 1 else (None, None)


def input_of(x: Any, with_layers: bool) -> tuple[tuple[int | None, ...], str | None]:
    """The shape of one sequence, of any length, and the dtype of the input of a network.

    Args:
        x: Inputs (N, T, ...) or strings (N, ...), or their specification.
        with_layers: Whether layers before the recurrent one read them.

    Raises:
        ArgumentError: The shape is not known, or without such layers not (N, T, D).
    """
    shape = shape_of(x)
    if shape is None or not shape:
        raise ArgumentError("x", "an array, or a data set whose batches have a known shape", x)
    if not with_layers and len(shape) != 3:
        hint = "; layers that read another shape are `input_layers`, such as an Embedding."
        if len(shape) == 2 and np.issubdtype(_numpy_dtype(x), np.floating):
            hint = "; a series of single numbers is x[..., None]."
        raise ArgumentError("x", "shape (N, T, D)", Words(_text(shape)), hint, verb="have")
    dtype = _numpy_dtype(x)
    if dtype.kind in "SU":
        raise ArgumentError("x", "x.astype(object), which Keras takes", Words(f"dtype {dtype}"))
    if dtype.kind == "O":
        return shape[1:], "string"
    name = dtype.name if with_layers and dtype.kind in "iub" else None
    if keras.backend.backend() == "jax" and name in ("int64", "uint64"):
        name = name.replace("64", "32")  # JAX has no others by default, and warns
    return (None, *shape[2:]), name


def _numpy_dtype(x: Any) -> np.dtype:
    dtype = getattr(x, "dtype", None)
    dtype = getattr(dtype, "as_numpy_dtype", dtype)  # of TensorFlow
    try:
        return np.dtype(dtype)
    except TypeError:  # of PyTorch
        return np.dtype(keras.backend.standardize_dtype(dtype))


def shape_of(tensor: Any) -> tuple[int | None, ...] | None:
    """The shape of a tensor or its specification; None if the rank is unknown."""
    shape = getattr(tensor, "shape", None)
    return None if shape is None or getattr(shape, "rank", 0) is None else tuple(shape)


def _kind(loss: Any) -> str | None:
    """The kind of a crossentropy of Keras."""
    loss = resolved(loss)
    return next((k for k, losses in _CROSSENTROPIES.items() if _among(loss, losses)), None)


def _takes_indices(loss: Any) -> bool:
    return _kind(loss) == "sparse" or _among(resolved(loss), _OF_INDICES)


def _among(loss: Any, losses: Sequence[Any]) -> bool:
    """Whether a loss is one of these functions, or an object of one of these classes."""
    return any(
        isinstance(loss, other) if isinstance(other, type) else loss is other for other in losses
    )


def _equal(a: Shape, b: Shape) -> bool:
    """Whether two shapes are equal, as far as both are known."""
    return len(a) == len(b) and all(m is None or n is None or m == n for m, n in zip(a, b))


def _text(shape: Sequence[Any]) -> str:
    """A shape as in NumPy, with N for the number of sequences."""
    sizes = ", ".join("None" if size is None else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"

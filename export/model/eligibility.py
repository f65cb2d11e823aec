"""Checks of the model: which ones can be exported, and how one is called."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, cast

import keras

from ...layers import Operator, TiedEmbedding, WeightNoise
from ...training.models import OneHot
from ...utils.errors import ArgumentError, UserError, Words
from ...utils.keras_compat import sublayers
from ...utils.validation import positive_integer


def exportable(model: keras.Model) -> None:
    """Raises a `UserError` with the reason if `model` cannot be exported."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UserError(
            f"export needs KERAS_BACKEND=tensorflow, got {backend!r}: save the model, then export "
            "it in a process that uses TensorFlow."
        )
    if not isinstance(model, keras.Model):
        raise ArgumentError("model", "a Keras model", model)
    if not getattr(model, "inputs", None):
        raise ArgumentError(
            "model",
            "a functional or Sequential model that starts with a keras.Input",
            model.name,
            ", whose inputs are not known.",
        )
    config = model.get_config()
    if True in _values_of(config, "stateful"):
        raise ArgumentError(
            "model",
            "be stateful",
            model.name,
            ": build it with stateful=False and copy the weights; the signature `step` hands the "
            "states to the client.",
            verb="not",
        )
    for name, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            raise ArgumentError("model", f"one {name}", Words(len(tensors)), verb="have")
    shape = model.inputs[0].shape
    if len(shape) not in (2, 3) or shape[0] is not None:
        raise ArgumentError(
            "model",
            "inputs of shape (None, steps) or (None, steps, features), open in the batch",
            Words(tuple(shape)),
            verb="take",
        )
    if len(shape) == 2 and not takes_tokens(model):
        raise ArgumentError(
            "model",
            "float inputs as (None, steps, features)",
            Words(f"{tuple(shape)} of {model.inputs[0].dtype}"),
            ": reshape them to (None, steps, 1).",
            verb="take",
        )
    shape = model.outputs[0].shape
    if len(shape) not in (2, 3) or shape[-1] is None:
        raise ArgumentError(
            "model",
            "outputs of shape (None, steps, units), or (None, units) for the last step alone",
            Words(tuple(shape)),
            verb="give",
        )
    for layer in layers_in(model):
        if _is_model(layer) or not has_recurrent(layer):
            continue
        # The lengths of a request reach a recurrent layer as a mask.
        masked = "mask" in inspect.signature(layer.call).parameters
        if isinstance(layer, keras.layers.TimeDistributed) or not (
            masked or isinstance(layer, WeightNoise)
        ):
            raise ArgumentError(
                "model",
                f"a recurrent layer inside of {layer.name!r} ({type(layer).__name__}), out of "
                "reach of a mask over time",
                hint=": use it in the model itself.",
                verb="not have",
            )


def _values_of(config: Any, key: str) -> Iterator[Any]:
    """Every value that `key` has in a config and in those that it contains."""
    if isinstance(config, dict):
        if key in config:
            yield config[key]
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _values_of(part, key)


def takes_tokens(model: keras.Model) -> bool:
    """Whether the input of `model` is of integers."""
    return "int" in model.inputs[0].dtype


def tokens_of(model: keras.Model) -> int | None:
    """Number of tokens that the input layer of `model` knows; None if it does not say."""
    names = (
        (keras.layers.Embedding, "input_dim"),
        (OneHot, "size"),
        (Operator, "num_tokens"),
        (TiedEmbedding, "num_tokens"),
    )
    sizes = [
        getattr(layer, name)
        for layer in layers_in(model)
        for kind, name in names
        if isinstance(layer, kind)
    ]
    return min((size for size in sizes if size is not None), default=None)


def read_vocabulary(vocabulary: Sequence[str] | int | None) -> tuple[list[str] | None, int | None]:
    """The texts of the tokens or None, and their number or None, from either or None."""
    if vocabulary is None:
        return None, None
    if isinstance(vocabulary, str) or not hasattr(vocabulary, "__len__"):
        return None, positive_integer("vocabulary", vocabulary)
    texts = list(cast("Sequence[str]", vocabulary))
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ArgumentError("vocabulary", "a list of texts or their number", Words("other items"))
    return texts, len(texts)


def has_recurrent(layer: keras.layers.Layer) -> bool:
    """Whether a layer is recurrent or has a recurrent one inside."""
    return any(isinstance(part, keras.layers.RNN) for part in layers_in(layer))


def layers_in(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Every layer that `layer` is made of, itself included."""
    return [layer, *sublayers(layer)]


def precision(model: keras.Model) -> str:
    """The coarsest type that a layer of `model` computes in: "bfloat16", "float16" or "float32".

    A functional model's own `compute_dtype` is that of the global policy, whatever its layers do.
    """
    computes_in = {layer.compute_dtype for layer in layers_in(model) if not _is_model(layer)}
    return next((dtype for dtype in ("bfloat16", "float16") if dtype in computes_in), "float32")


def _is_model(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model)


def call(model: keras.Model, x: Any) -> Any:
    """The one output of `model` for its one input, in inference."""
    if not isinstance(model, keras.Sequential):
        # A functional model is called with the structure that it was made with.
        x = keras.tree.map_structure(lambda _: x, model.input)
    (y,) = keras.tree.flatten(model(x, training=False))
    return y

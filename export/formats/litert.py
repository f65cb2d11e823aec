"""Writes a Keras model for LiteRT, which runs it on phones, in browsers and on small computers."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ...recurrence.tensorflow import as_exported
from ...utils.errors import missing_extra
from ...utils.validation import one_of, optional
from ..model.eligibility import call
from ..model.signature_specs import Arrays
from ..model.signatures import WHOLE, Options, Served, Tensors
from .targets import Target, export_target

QUANTIZE = ("int8",)


def export_litert(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    version: int | None = None,
    name: str | None = None,
    probabilities: str | None = None,
    vocabulary: Sequence[str] | int | None = None,
    signatures: Sequence[str] | None = None,
) -> Path:
    """Writes `model` as LiteRT files in a numbered folder of `path` and compares them with it.

    `step.tflite` takes any number of rows, `serving_default.tflite` one sequence of any length,
    without `lengths`; otherwise they are as the signatures of a SavedModel. They hold nothing but
    LiteRT's own operations. Inputs are not checked: a token that the model does not know, or a NaN,
    gives numbers.

    Args:
        model: As for `export_saved_model`.
        path: Folder that holds the versions.
        quantize: `"int8"` stores large weights in 8 bits and computes with them ("dynamic range"):
            a quarter of the size. None leaves them as they are.
        version: Number of the new folder, at least 1; None takes the one after the highest.
        name: Name of the model; None takes that of the folder.
        probabilities: `"sigmoid"`, `"softmax"` or None, as for `export_saved_model`.
        vocabulary: Texts of the tokens or their number, as for `export_saved_model`.
        signatures: Those to write, `serving_default` always among them; None for both.

    Returns:
        `pathlib.Path` of the version's folder. Its export.json says how far the files are from
        the model, see `agreement.differences`.

    Raises:
        UserError: As for `export_saved_model`; or a file cannot be made, loaded or run, or its
            answers are not those of the model. Nothing is left then.

    Example:

    >>> import keras, tempfile
    >>> model = keras.Sequential([
    ...     keras.Input((None, 3)), keras.layers.SimpleRNN(4, return_sequences=True)
    ... ])
    >>> folder = export_litert(model, tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['export.json', 'serving_default.tflite', 'step.tflite']
    """
    quantize = optional(one_of(QUANTIZE))("quantize", quantize)
    interpreter()
    target = Target(
        "LiteRT",
        "tflite",
        (WHOLE, "step"),
        ("float32",),  # its products have no 16-bit inputs
        OneSequence,
        lambda served, signature: _converted(served, signature, quantize),
        load,
        quantize,
    )
    return export_target(
        target,
        model,
        path,
        version=version,
        name=name,
        probabilities=probabilities,
        vocabulary=vocabulary,
        signatures=signatures,
    )


class OneSequence(Served):
    """What LiteRT can run: its loops need to know the number of rows."""

    def __init__(self, model: keras.Model, options: Options) -> None:
        super().__init__(model, options, checked=False)

    def _specified(self, name: str) -> dict[str, Tensors]:
        specified = super()._specified(name)
        if name != WHOLE:
            return specified
        given = {"x": specified["inputs"]["x"]}
        return {
            way: {tensor: ((1, *shape[1:]), dtype) for tensor, (shape, dtype) in tensors.items()}
            for way, tensors in (("inputs", given), ("outputs", specified["outputs"]))
        }

    def _serving_default(  # pyright: ignore[reportIncompatibleMethodOverride]  has no lengths
        self, x: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return self._outputs(call(self.model, x))


def load(path: Path, signature: str) -> Callable[[Arrays], Arrays]:
    """The function of {name: array} to {name: array} that LiteRT makes of a file."""
    runner = interpreter()(model_path=str(path)).get_signature_runner(signature)
    return lambda inputs: runner(**inputs)


def interpreter() -> Any:
    """LiteRT's class of interpreters."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise missing_extra("ai-edge-litert", "litert") from None
    return Interpreter


def _converted(served: Served, signature: str, quantize: str | None) -> bytes:
    module: Any = tf.Module()
    module.kept = [variable.value for variable in served.model.variables]
    with tempfile.TemporaryDirectory() as folder:
        with as_exported():
            functions = {signature: served.functions()[signature]}
            tf.saved_model.save(module, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return converter.convert()

"""Export to LiteRT, which runs models on phones, in browsers and on small computers."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import keras
import tensorflow as tf

from ...utils.backend import without_log
from ...utils.errors import missing_extra
from ...utils.validation import one_of, optional
from ..model.signature_specs import Arrays
from ..model.signatures import WHOLE, Options, ServingSignatures, Tensors
from .file_format import FileFormat
from .format import ExportOptions
from .saved_model import write_graph

QUANTIZE = ("int8",)


def export_litert(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    **options: Unpack[ExportOptions],
) -> Path:
    """Writes `model` as LiteRT files in a numbered folder of `path` and compares them with it.

    `step.tflite` takes any number of rows, `serving_default.tflite` one sequence of any length;
    otherwise they are as the signatures of a SavedModel. They hold LiteRT's own operations only.
    Inputs are not checked: an unknown token or a NaN gives numbers.

    Args:
        model: As for `export_saved_model`.
        path: As for `export_saved_model`.
        quantize: `"int8"` stores large weights in 8 bits and computes with them ("dynamic range"):
            a quarter of the size. None leaves them as they are.
        options: `version`, `name`, `probabilities`, `vocabulary`, `signatures` and `check`, as for
            `export_saved_model`.

    Returns:
        `pathlib.Path` of the version's folder. Its export.json holds the result of the comparison,
        see `parity.differences`.

    Raises:
        UserError: As for `export_saved_model`; or a file cannot be converted, loaded or run, or its
            outputs are not those of the model. Nothing is left then.

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
    return LiteRT(quantize).export(model, path, **options)


class LiteRT(FileFormat):
    """Files of LiteRT."""

    title, suffix = "LiteRT", "tflite"
    offered = (WHOLE, "step")
    precisions = ("float32",)  # its products have no 16-bit inputs

    def __init__(self, quantize: str | None = None) -> None:
        self.quantize = quantize

    def serve(self, model: keras.Model, options: Options) -> ServingSignatures:
        return OneSequence(model, options, offered=self.offered, checked=False)

    def convert(self, served: ServingSignatures, signature: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            write_graph(served, folder, [signature])
            converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            if self.quantize:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            return converter.convert()

    def load(self, path: Path, signature: str) -> Callable[[Arrays], Arrays]:
        loaded = interpreter()(model_path=str(path))
        with without_log():  # it says which delegate it has
            loaded.allocate_tensors()
        runner = loaded.get_signature_runner(signature)
        return lambda inputs: runner(**inputs)


class OneSequence(ServingSignatures):
    """Signatures that LiteRT can run: its loops need to know the number of rows."""

    def _specified(self, name: str) -> dict[str, Tensors]:
        specified = super()._specified(name)
        if name != WHOLE:
            return specified
        return {
            way: {tensor: ((1, *shape[1:]), dtype) for tensor, (shape, dtype) in tensors.items()}
            for way, tensors in specified.items()
        }


def interpreter() -> Any:
    """LiteRT's class of interpreters."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise missing_extra("ai-edge-litert", "litert") from None
    return Interpreter

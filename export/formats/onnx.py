"""Export to ONNX, for ONNX Runtime and what else reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ...utils.errors import missing_extra
from ..model.signature_specs import Arrays
from ..model.signatures import PADDED, WHOLE, ServingSignatures
from .file_format import FileFormat
from .format import ExportOptions

if TYPE_CHECKING:
    import keras

OPSET = 18


def export_onnx(
    model: keras.Model, path: str | os.PathLike[str], **options: Unpack[ExportOptions]
) -> Path:
    """Writes `model` as ONNX files in a numbered folder of `path` and compares them with it.

    `serving_default.onnx`, `padded.onnx`, `prefill.onnx` and `step.onnx` are as the signatures of a
    SavedModel, for any number of rows and steps. Inputs are not checked: an unknown token or a NaN
    gives numbers. There is no `generate`, which ONNX Runtime could not run.

    Args:
        model: As for `export_saved_model`.
        path: As for `export_saved_model`.
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
    >>> folder = export_onnx(model, tempfile.mkdtemp())
    >>> sorted(file.stem for file in folder.iterdir())
    ['export', 'padded', 'prefill', 'serving_default', 'step']
    """
    _converter()
    _runtime()
    return ONNX().export(model, path, **options)


class ONNX(FileFormat):
    """Files of ONNX."""

    title, suffix = "ONNX", "onnx"
    offered = (WHOLE, PADDED, "prefill", "step")
    precisions = ("float32", "float16")  # tf2onnx mixes up bfloat16 and float16

    def convert(self, served: ServingSignatures, signature: str) -> bytes:
        function = served.functions()[signature]
        model, _ = _converter().from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
        return model.SerializeToString()

    def load(self, path: Path, signature: str) -> Callable[[Arrays], Arrays]:
        session = _runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs)))


def _converter() -> Any:
    try:
        from tf2onnx import convert
    except ModuleNotFoundError:
        raise missing_extra("tf2onnx", "onnx") from None
    return convert


def _runtime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise missing_extra("onnxruntime", "onnx") from None
    return onnxruntime

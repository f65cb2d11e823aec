"""Writes a Keras model as ONNX, for ONNX Runtime and what else reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...recurrence.tensorflow import as_exported
from ...utils.errors import missing_extra
from ..model.signature_specs import Arrays
from ..model.signatures import WHOLE, Served
from .targets import Target, export_target

if TYPE_CHECKING:
    import keras

OPSET = 18


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    version: int | None = None,
    name: str | None = None,
    probabilities: str | None = None,
    vocabulary: Sequence[str] | int | None = None,
    signatures: Sequence[str] | None = None,
) -> Path:
    """Writes `model` as ONNX files in a numbered folder of `path` and compares them with it.

    `serving_default.onnx`, `prefill.onnx` and `step.onnx` are as the signatures of a SavedModel,
    for any number of rows and steps. Inputs are not checked: a token that the model does not know,
    or a NaN, gives numbers. There is no `generate`, which ONNX Runtime could not run.

    Args:
        model: As for `export_saved_model`.
        path: Folder that holds the versions.
        version: Number of the new folder, at least 1; None takes the one after the highest.
        name: Name of the model; None takes that of the folder.
        probabilities: `"sigmoid"`, `"softmax"` or None, as for `export_saved_model`.
        vocabulary: Texts of the tokens or their number, as for `export_saved_model`.
        signatures: Those to write, `serving_default` always among them; None for all three.

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
    >>> folder = export_onnx(model, tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['export.json', 'prefill.onnx', 'serving_default.onnx', 'step.onnx']
    """
    _converter()
    _runtime()
    target = Target(
        "ONNX",
        "onnx",
        (WHOLE, "prefill", "step"),
        ("float32", "float16"),  # tf2onnx mixes up bfloat16 and float16
        lambda model, options: Served(model, options, checked=False),
        _converted,
        load,
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


def load(path: Path, signature: str | None = None) -> Callable[[Arrays], Arrays]:
    """The function of {name: array} to {name: array} that ONNX Runtime makes of a file."""
    session = _runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))


def _converted(served: Served, signature: str) -> bytes:
    function = served.functions()[signature]
    with as_exported():
        model, _ = _converter().from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
    return model.SerializeToString()


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

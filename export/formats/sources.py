"""Export of a run folder or a `.keras` file."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import keras

from ...training import models as networks  # noqa: F401  (registered, so that models with them load)
from ...training.run_folder import Run
from ...utils.errors import ArgumentError, first_line
from ...utils.files import user_path
from ...utils.keras_files import load_model
from ...utils.validation import one_of
from .format import ExportOptions

# Module and function of each format, by the names of the command line.
TARGETS = {
    "saved_model": ("saved_model", "export_saved_model"),
    "litert": ("litert", "export_litert"),
    "onnx": ("onnx", "export_onnx"),
}


class RunOptions(ExportOptions, total=False):
    """The options of every exporter, and those of one."""

    max_steps: int
    jit_compile: bool
    quantize: str | None


def exporter(target: str) -> Callable[..., Path]:
    """The function that writes a model in a format: `"saved_model"`, `"litert"` or `"onnx"`."""
    module, function = TARGETS[one_of(tuple(TARGETS))("target", target)]
    return getattr(importlib.import_module(f".{module}", __package__), function)


def export_run(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    target: str = "saved_model",
    **options: Unpack[RunOptions],
) -> Path:
    """Writes the trained network of a run as a SavedModel, or in another format, and checks it.

    Music is exported with the probabilities of keys, or with log-probabilities of frames where the
    network has a joint output; text with the probabilities of characters or words.

    Args:
        path: Folder of the run.
        out: Folder in which a numbered version is made; None for "served" in the run's, or for
            "litert" or "onnx".
        target: `"saved_model"`, `"litert"` or `"onnx"`.
        options: As for `export_saved_model`, `export_litert` or `export_onnx`. Left out, `name` is
            that of the run, or of `out`; `probabilities` and `vocabulary` are those of its data.

    Returns:
        The folder of the version.

    Raises:
        UserError: As for `export_saved_model`, or the run is not finished.
    """
    run, export = Run(path), exporter(target)
    data, joint = run.config["data"], run.config["network"].get("output") == "nade"
    of_music = None if joint else "sigmoid"
    of_run = {
        "name": None if out else run.path.resolve().name,
        "probabilities": of_music if data["kind"] == "piano_roll" else "softmax",
        "vocabulary": data["vocabulary"],
    }
    out = out or run / ("served" if target == "saved_model" else target)
    return export(run.model(), out, **{**of_run, **options})


def load_keras_file(path: str | os.PathLike[str]) -> keras.Model:
    """The model in a `.keras` file, loaded with `safe_mode=True`; there is no other way here.

    A file can hold Python code, which Keras runs only without that mode. A model that needs it is
    to be built anew with registered layers or `keras.ops`.

    Raises:
        UserError: The file cannot be read, holds Python code, or needs a class that is not here.
    """
    path = user_path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise ArgumentError("model", "a run folder or a .keras file", str(path))
    try:
        return load_model(path)
    except Exception as error:  # a damaged file fails in zip, HDF5, JSON or Keras
        expected = "a file that loads with safe_mode=True, which refuses Python code"
        raise ArgumentError("model", expected, str(path), f": {first_line(error)}") from error

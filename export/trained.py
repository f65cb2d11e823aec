"""What is on disk leaves: the network of a run folder, or a `.keras` file."""

import importlib
from pathlib import Path

import keras

from .. import initializers, networks  # noqa: F401  (registered, so that models with them load)
from ..arguments import one_of
from ..errors import UserError, first_line
from ..runs import Run

# How a model leaves, by the names of the command line.
TARGETS = {
    "saved_model": ("saved_model", "export_saved_model"),
    "litert": ("litert", "export_litert"),
    "onnx": ("onnx", "export_onnx"),
}


def exporter(target):
    """The function that writes a model in a format: `"saved_model"`, `"litert"` or `"onnx"`."""
    module, function = TARGETS[one_of(tuple(TARGETS))("target", target)]
    return getattr(importlib.import_module(f".{module}", __package__), function)


def export_run(path, out=None, *, target="saved_model", **options):
    """Writes the trained network of a run as a SavedModel, or in another format, and checks it.

    Music leaves as probabilities of keys, text as those of characters or words.

    Args:
        path: Folder of the run.
        out: Folder in which a numbered version is made; None for "served" in the run's, or for
            "litert" or "onnx".
        target: `"saved_model"`, `"litert"` or `"onnx"`.
        **options: `version` and the like, as for `export_saved_model`, `export_litert` or
            `export_onnx`.

    Returns:
        The folder of the version.

    Raises:
        UserError: As for `export_saved_model`, or the run is not finished.
    """
    run, export = Run(path), exporter(target)
    data = run.config["data"]
    known = {
        "path": out or run / ("served" if target == "saved_model" else target),
        "name": None if out else run.path.resolve().name,
        "probabilities": "sigmoid" if data["kind"] == "piano_roll" else "softmax",
        "vocabulary": data["vocabulary"],
    }
    return export(run.model(), **{**known, **options})


def load_keras_file(path):
    """The model in a `.keras` file, loaded with `safe_mode=True`; there is no other way here.

    A file can hold Python code, which Keras runs only without that mode. A model that needs it is
    to be built anew with registered layers or `keras.ops`.

    Raises:
        UserError: The file cannot be read, holds Python code, or needs a class that is not here.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise UserError(f"`model` must be a run folder or a .keras file, got {str(path)!r}.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file fails in zip, HDF5, JSON or Keras
        raise UserError(
            f"`model` {str(path)!r} cannot be loaded with safe_mode=True, which refuses Python "
            f"code: {first_line(error)}"
        ) from error

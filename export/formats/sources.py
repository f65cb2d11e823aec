"""What is on disk leaves: the network of a run folder, or a `.keras` file."""

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import keras

from ...training import models as networks  # noqa: F401  (registered, so that models with them load)
from ...training.run_folder import Run
from ...utils.errors import UserError, first_line
from ...utils.validation import one_of

# How a model leaves, by the names of the command line.
TARGETS = {
    "saved_model": ("saved_model", "export_saved_model"),
    "litert": ("litert", "export_litert"),
    "onnx": ("onnx", "export_onnx"),
}
# In place of an argument whose None has a meaning: what the run says.
OF_RUN: Any = object()


def exporter(target: str) -> Callable[..., Path]:
    """The function that writes a model in a format: `"saved_model"`, `"litert"` or `"onnx"`."""
    module, function = TARGETS[one_of(tuple(TARGETS))("target", target)]
    return getattr(importlib.import_module(f".{module}", __package__), function)


def export_run(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    target: str = "saved_model",
    version: int | None = None,
    name: str | None = OF_RUN,
    probabilities: str | None = OF_RUN,
    vocabulary: Sequence[str] | int | None = OF_RUN,
    signatures: Sequence[str] | None = None,
    quantize: str | None = None,
    max_steps: int | None = None,
    jit_compile: bool | None = None,
) -> Path:
    """Writes the trained network of a run as a SavedModel, or in another format, and checks it.

    Music leaves as probabilities of keys, text as those of characters or words.

    Args:
        path: Folder of the run.
        out: Folder in which a numbered version is made; None for "served" in the run's, or for
            "litert" or "onnx".
        target: `"saved_model"`, `"litert"` or `"onnx"`.
        version: Number of the new folder, at least 1; None takes the one after the highest.
        name: Name of the model; if not given, that of the run, or of `out`.
        probabilities: What y are the logits of; if not given, what the run's data says.
        vocabulary: Texts of the tokens or their number; if not given, those of the run's data.
        signatures: Names of the signatures to write; None for all that there can be.
        quantize: As for `export_litert`, which alone takes it.
        max_steps: As for `export_saved_model`, which alone takes it; None for its default.
        jit_compile: As for `export_saved_model`, which alone takes it; None for its default.

    Returns:
        The folder of the version.

    Raises:
        UserError: As for `export_saved_model`, or the run is not finished.
    """
    run, export = Run(path), exporter(target)
    data = run.config["data"]
    if name is OF_RUN:
        name = None if out else run.path.resolve().name
    if probabilities is OF_RUN:
        probabilities = "sigmoid" if data["kind"] == "piano_roll" else "softmax"
    own = {"quantize": quantize, "max_steps": max_steps, "jit_compile": jit_compile}
    return export(
        run.model(),
        out or run / ("served" if target == "saved_model" else target),
        version=version,
        name=name,
        probabilities=probabilities,
        vocabulary=data["vocabulary"] if vocabulary is OF_RUN else vocabulary,
        signatures=signatures,
        **{option: value for option, value in own.items() if value is not None},
    )


def load_keras_file(path: str | os.PathLike[str]) -> keras.Model:
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
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        return cast(keras.Model, model)
    except Exception as error:  # a damaged file fails in zip, HDF5, JSON or Keras
        raise UserError(
            f"`model` {str(path)!r} cannot be loaded with safe_mode=True, which refuses Python "
            f"code: {first_line(error)}"
        ) from error

"""What is on disk as a SavedModel: the network of a run folder, or a `.keras` file."""

from pathlib import Path

import keras

from .. import initializers, networks  # noqa: F401  (registered, so that models with them load)
from ..errors import UserError, first_line
from ..runs import Run
from .saved_model import export_saved_model


def export_run(path, out=None, **options):
    """Writes a SavedModel of the trained network of a run and checks it.

    Music leaves as probabilities of keys, text as those of characters or words.

    Args:
        path: Folder of the run.
        out: Folder in which a numbered version is made; None for "served" in the run's.
        **options: `version` and the like, as for `export_saved_model`.

    Returns:
        The folder of the version.

    Raises:
        UserError: As for `export_saved_model`, or the run is not finished.
    """
    run = Run(path)
    return export_saved_model(run.model(), **{**run_arguments(run, out), **options})


def run_arguments(run, out=None):
    """What an export of a run's network has from the run: place, name, probabilities, vocabulary.

    Args:
        run: `Run`.
        out: Folder of the versions, or None.
    """
    data = run.config["data"]
    arguments = {
        "path": out or run / "served",
        "probabilities": "sigmoid" if data["kind"] == "piano_roll" else "softmax",
        "vocabulary": data["vocabulary"],
    }
    return arguments if out else {**arguments, "name": run.path.resolve().name}


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

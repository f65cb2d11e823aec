"""Writes a Keras model as a SavedModel that runs without Keras and without this package."""

import os
import pathlib
import shutil
import tempfile

from ..arguments import one_of, optional, positive_integer
from ..errors import UserError, first_line
from .check import check_export
from .contract import exportable, logits_of

PROBABILITIES = ("sigmoid", "softmax")


def export_saved_model(model, path, *, version=None, probabilities=None):
    """Writes `model` as a SavedModel in a numbered folder of `path` and checks it.

    The signature `serving_default` takes `x`, of any batch size and any length, and returns
    `logits`, what the model returns, and `probabilities` where asked, both float32. Each weight
    is stored once. The folder is written beside `path` and moved into place after
    `check_export` has found it equal to the model: an export that fails leaves nothing.

    Args:
        model: A built `keras.Model` or `keras.Sequential` with one input of shape (B, T) or
            (B, T, D), B and T open, and one output.
        path: Folder that holds the versions of this model, as TF Serving expects it.
        version: Number of the new folder, at least 1; None takes the one after the highest.
        probabilities: `"sigmoid"` when the outputs are logits of independent events such as
            keys, `"softmax"` when they are logits of classes, None for no probabilities.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: Keras runs on another backend than TensorFlow, the model cannot be exported,
            the version exists, the folder cannot be written, or the export differs from the
            model.

    Example:

    >>> import keras, tempfile
    >>> model = keras.Sequential(
    ...     [keras.Input((None, 3)), keras.layers.SimpleRNN(4, return_sequences=True)]
    ... )
    >>> folder = export_saved_model(model, tempfile.mkdtemp(), probabilities="sigmoid")
    >>> folder.name
    '1'
    """
    probabilities = optional(one_of(PROBABILITIES))("probabilities", probabilities)
    exportable(model)
    path = pathlib.Path(path)
    version = optional(positive_integer)("version", version) or next_version(path)
    if version >= 2**63:
        raise UserError(f"`version` must be below 2**63, as TF Serving reads it, got {version}.")
    target = path / str(version)
    if target.exists():
        raise UserError(f"`version` {version} exists already: {target}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"`path` cannot be written: {error}.") from None
    try:
        # One level deeper: mkdtemp's own folder is closed to other users, such as a server's.
        _write(model, beside / target.name, probabilities)
        check_export(beside / target.name, model)
        path.mkdir(exist_ok=True)
        os.rename(beside / target.name, target)
    except OSError as error:
        raise UserError(f"`path` cannot be written: {error}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def next_version(path):
    """The number after the highest version in `path`."""
    if path.exists() and not path.is_dir():
        raise UserError(f"`path` must be a folder, got the file {path}.")
    folders = path.iterdir() if path.exists() else ()
    return max((int(folder.name) for folder in folders if folder.name.isdecimal()), default=0) + 1


def _write(model, folder, probabilities):
    import tensorflow as tf

    spec = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, name="x")

    @tf.function(input_signature=[spec])
    def serve(x):
        outputs = {"logits": tf.cast(logits_of(model, x), "float32")}
        if probabilities:
            outputs["probabilities"] = getattr(tf.nn, probabilities)(outputs["logits"])
        return outputs

    # A plain module that knows the variables and nothing else of the model stores them once.
    module = tf.Module()
    module.kept = [variable.value for variable in model.variables]
    try:
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    except tf.errors.OpError as error:  # TensorFlow's own file system: a full disk, say
        raise OSError(first_line(error)) from error

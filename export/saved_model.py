"""Writes a Keras model as a SavedModel that runs without Keras and without this package."""

import os
import pathlib
import re
import shutil
import tempfile

from ..arguments import flag, one_of, optional, positive_integer
from ..errors import UserError, first_line
from ..recurrence import tensorflow_loop
from .check import check_export
from .check_suite import decoded
from .contract import exportable
from .deployment import write_deployment
from .record import record_of, write_record
from .signatures import PROBABILITIES, Options, Served
from .warmup import write_warmup

# What may stand in a URL, in a path and in TF Serving's configuration as it is.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def export_saved_model(
    model,
    path,
    *,
    version=None,
    name=None,
    probabilities=None,
    vocabulary=None,
    signatures=None,
    max_steps=10_000,
    jit_compile=False,
):
    """Writes `model` as a SavedModel in a numbered folder of `path` and checks it.

    The signatures are described in `signatures.py`. Each weight is stored once. The folder is
    written beside `path`, passes `check_export` and is then renamed into place: who serves `path`
    never sees half a version, and an export that fails leaves nothing there. Beside the versions
    lie files to serve them, see `deployment.py`.

    Args:
        model: A built `keras.Model` or `keras.Sequential` with one input of shape (B, T) of tokens
            or (B, T, D), B and T open, and one output. Its recurrent layers are this package's or
            Keras's own.
        path: Folder that holds the versions of this model, as TF Serving expects it.
        version: Number of the new folder, at least 1; None takes the one after the highest.
        name: Name of the model for its clients; None takes that of the folder.
        probabilities: `"sigmoid"` when the outputs are logits of independent events such as
            keys, `"softmax"` when they are logits of classes, None for no probabilities. A model
            that takes what it predicts then gets the signature `generate`.
        vocabulary: Texts of the tokens, or how many tokens there are; None for what the model's
            Embedding says.
        signatures: Names of the signatures to serve; `serving_default` is always there. None for
            all that the model can have.
        max_steps: The most steps that one request may generate.
        jit_compile: Whether XLA compiles the signatures (not `generate`). A stock TF Serving
            refuses such an export unless it is started with XLA's compilation turned on.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: Keras runs on another backend than TensorFlow, the model cannot be exported,
            the version exists, the folder cannot be written, or the export fails a check, which
            is named.

    Example:

    >>> import keras, tempfile
    >>> model = keras.Sequential([
    ...     keras.Input((None, 3)),
    ...     keras.layers.SimpleRNN(4, return_sequences=True),
    ...     keras.layers.Dense(3),
    ... ])
    >>> folder = export_saved_model(model, tempfile.mkdtemp(), probabilities="sigmoid")
    >>> folder.name, (folder / "saved_model.pb").is_file()
    ('1', True)
    """
    probabilities = optional(one_of(tuple(PROBABILITIES)))("probabilities", probabilities)
    exportable(model)
    texts, tokens = _vocabulary(vocabulary)
    options = Options(
        None if signatures is None else tuple(signatures),
        probabilities,
        tokens,
        positive_integer("max_steps", max_steps),
        flag("jit_compile", jit_compile),
    )
    served = Served(model, options)
    path = pathlib.Path(path).expanduser()
    version = optional(positive_integer)("version", version) or next_version(path)
    if version >= 2**63:
        raise UserError(f"`version` must be below 2**63, as TF Serving reads it, got {version}.")
    target = path / str(version)
    if target.exists():
        raise UserError(f"`version` {version} exists already: {target}.")
    name = _name(path, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"`path` cannot be written: {error}.") from None
    try:
        # One level deeper: mkdtemp's own folder is closed to other users, such as a server's.
        folder = beside / target.name
        _write(served, folder, name, version, texts)
        check_export(folder)
        path.mkdir(exist_ok=True)
        os.rename(folder, target)
        write_deployment(path, name)
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


def _vocabulary(vocabulary):
    """The texts of the tokens or None, and their number or None."""
    if vocabulary is None:
        return None, None
    if isinstance(vocabulary, str) or not hasattr(vocabulary, "__len__"):
        return None, positive_integer("vocabulary", vocabulary)
    texts = list(vocabulary)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError("`vocabulary` must be a list of texts or their number, got other items.")
    return texts, len(texts)


def _name(path, name):
    """The name of the model, which must be one for TF Serving's configuration and its URLs."""
    given = name is not None
    name = name if given else path.resolve().name
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"`{'name' if given else 'path'}` must be a name of letters, digits, '.', '_' and "
            f"'-'{'' if given else ' at its end'}, got {name!r}."
        )
    return name


def _write(served, folder, name, version, texts):
    """Writes all files of a version."""
    import tensorflow as tf

    # A plain module that knows the variables and nothing else of the model stores them once.
    module = tf.Module()
    module.kept = [variable.value for variable in served.model.variables]
    record = record_of(served, name=name, version=version, vocabulary=texts)
    try:
        with tensorflow_loop.as_exported():
            tf.saved_model.save(module, str(folder), signatures=served.functions())
        requests = [(case["signature"], decoded(case["inputs"])) for case in record["golden"]]
        write_warmup(folder, name, requests)
    except tf.errors.OpError as error:  # TensorFlow's own file system: a full disk, say
        raise OSError(first_line(error)) from error
    write_record(folder, record)

"""Writes a Keras model as a SavedModel that runs without Keras and without this package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...recurrence.tensorflow import as_exported
from ...utils.errors import first_line
from ...utils.validation import flag, one_of, optional, positive_integer
from ..checks.check import check_export
from ..checks.check_suite import decoded
from ..model.eligibility import exportable, read_vocabulary
from ..model.record import record_of, write_record
from ..model.signatures import PROBABILITIES, Options, Served
from ..model.version import Version
from ..model.warmup import write_warmup
from .deployment import write_deployment

if TYPE_CHECKING:
    import keras


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    version: int | None = None,
    name: str | None = None,
    probabilities: str | None = None,
    vocabulary: Sequence[str] | int | None = None,
    signatures: Sequence[str] | None = None,
    max_steps: int = 10_000,
    jit_compile: bool = False,
) -> Path:
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
    texts, tokens = read_vocabulary(vocabulary)
    options = Options(
        None if signatures is None else tuple(signatures),
        probabilities,
        tokens,
        positive_integer("max_steps", max_steps),
        flag("jit_compile", jit_compile),
    )
    served = Served(model, options)
    new = Version(path, version, name)
    with new.written() as folder:
        _write(served, folder, new, texts)
        check_export(folder)
    write_deployment(new.path, new.name)
    return new.folder


def _write(served: Served, folder: Path, version: Version, texts: list[str] | None) -> None:
    """Writes all files of a version."""
    import tensorflow as tf

    # A plain module that knows the variables and nothing else of the model stores them once.
    module: Any = tf.Module()
    module.kept = [variable.value for variable in served.model.variables]
    record = record_of(served, version, texts)
    try:
        with as_exported():
            tf.saved_model.save(module, str(folder), signatures=served.functions())
        requests = [(case["signature"], decoded(case["inputs"])) for case in record["golden"]]
        write_warmup(folder, version.name, requests)
    except tf.errors.OpError as error:  # TensorFlow's own file system: a full disk, say
        raise OSError(first_line(error)) from error
    write_record(folder, record)

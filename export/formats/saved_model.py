"""Export to a SavedModel that runs without Keras and without this package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from ..checks.check import check_export
from ..checks.check_suite import decoded
from ..model.record import write_record
from ..model.signatures import Options, ServingSignatures
from ..model.version import Version
from ..model.warmup import write_warmup
from .deployment import check_deployment, write_deployment
from .format import Format

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
    check: bool = True,
) -> Path:
    """Writes `model` as a SavedModel in a numbered folder of `path` and checks it.

    The signatures are described in `signatures.py`. Each weight is stored once. The folder is
    written beside `path`, passes `check_export` and is then renamed into place: a server that
    watches `path` never sees half a version, and an export that fails leaves nothing there. Beside
    the versions lie files to serve them, see `deployment.py`.

    Args:
        model: A built `keras.Model` or `keras.Sequential` with one input of shape (B, T) of tokens
            or (B, T, D), B open, and one output. Its recurrent layers are this package's or Keras's
            own. Where T is fixed, the export has `serving_default` alone. A model that ends in a
            `NADE` is exported without the input of its target.
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
        check: Whether `check_export` must pass before the version is renamed into place.

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
    return SavedModel().export(
        model,
        path,
        version=version,
        name=name,
        probabilities=probabilities,
        vocabulary=vocabulary,
        signatures=signatures,
        max_steps=max_steps,
        jit_compile=jit_compile,
        check=check,
    )


class SavedModel(Format):
    """A SavedModel with its record, its warm-up requests and files to serve it."""

    title = "a SavedModel"
    joint = True

    def serve(self, model: keras.Model, options: Options) -> ServingSignatures:
        return ServingSignatures(model, options)

    def write(
        self, served: ServingSignatures, folder: Path, record: dict[str, Any], check: bool
    ) -> None:
        requests = [(case["signature"], decoded(case["inputs"])) for case in record["golden"]]
        write_graph(served, folder)
        write_warmup(folder, record["model"], requests)
        write_record(folder, record)
        if check:
            check_export(folder)

    def check_beside(self, served: ServingSignatures, version: Version) -> None:
        check_deployment(version.path, batching=served.batching)

    def write_beside(self, served: ServingSignatures, version: Version) -> None:
        write_deployment(version.path, version.name, batching=served.batching)


def write_graph(
    served: ServingSignatures, folder: str | os.PathLike[str], names: Sequence[str] | None = None
) -> None:
    """Writes the signatures, or those of the given names, with their weights as a SavedModel."""
    # A plain module that knows the variables and nothing else of the model stores them once.
    module: Any = tf.Module()
    module.kept = [variable.value for variable in served.model.variables]
    functions = served.functions()
    chosen = {name: functions[name] for name in names or served.names}
    for name, function in chosen.items():
        if len(served.specification[name]["inputs"]) > 1:
            setattr(module, name, _of_one_dict(function))
    tf.saved_model.save(module, str(folder), signatures=chosen)


def _of_one_dict(function: Any) -> Any:
    """A signature of several inputs, as `keras.layers.TFSMLayer` calls it: with one argument."""
    specs = {spec.name: spec for spec in function.input_signature}

    def call(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return function(*(inputs[name] for name in specs))

    return tf.function(call, input_signature=[specs], autograph=False)

"""export.json: the metadata of a version folder.

model, version      its name, the folder's number
versions            of this package, Keras, TensorFlow and Python
weights             the number of parameters
features            D; null for a model of tokens
tokens, vocabulary  number of tokens, and their texts where they are known
outputs, state      V, and S, which is null where there is no step
probabilities       activation that turns y into probabilities: "sigmoid", "softmax" or null
max_steps           the most steps that a request may generate
jit_compile         whether XLA compiles the signatures
precision           the coarsest type that a layer computes in
signatures          {name: {"inputs": {name: {"shape", "dtype"}}, "outputs": the same}}
golden              expected outputs: [{"signature", "inputs", "outputs"}], each array as {"shape",
                    "dtype", "base64"}, little-endian
files               {name: sha256} of the other files of the folder
checksum            of all of the above, see `training.run_folder.checksum`
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from ...recurrence.tensorflow import as_exported
from ...training.run_folder import is_unchanged, versions, with_checksum
from ...utils.errors import ArgumentError, UserError, first_line
from ...utils.files import parse_json
from ...utils.validation import positive_integer
from .eligibility import call, precision
from .signature_specs import Arrays
from .signatures import PADDED, WHOLE
from .version import checked_name, checked_version

if TYPE_CHECKING:
    from .signatures import ServingSignatures
    from .version import Version

RECORD = "export.json"
# The largest export.json that is read, in bytes and in values of JSON. Weights are not in it, but
# golden outputs are, each array as one text.
MAX_BYTES, MAX_VALUES = 2**27, 2**20
BATCHES, LENGTHS = (1, 3), (2, 7)


def record_of(
    served: ServingSignatures, version: Version, vocabulary: list[str] | None
) -> dict[str, Any]:
    """The content of export.json, all but the files."""
    options = served.options
    return {
        "model": version.name,
        "version": version.number,
        "versions": versions(),
        "weights": served.model.count_params(),
        "features": served.features,
        "tokens": served.tokens,
        "vocabulary": vocabulary,
        "outputs": served.units,
        "state": served.streaming.size or None,
        "probabilities": options.probabilities,
        "max_steps": options.max_steps,
        "jit_compile": options.jit_compile,
        "precision": precision(served.model),
        "signatures": {
            signature: {
                side: {
                    n: {"shape": list(shape), "dtype": dtype} for n, (shape, dtype) in of.items()
                }
                for side, of in sides.items()
            }
            for signature, sides in served.specification.items()
        },
        "golden": [
            {"signature": name, "inputs": _encoded(inputs), "outputs": _encoded(outputs)}
            for name, inputs, outputs in golden(served)
        ],
    }


def golden(served: ServingSignatures) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Cases (signature, inputs, outputs): whole sequences as Keras computes them, then the others.

    Whole sequences come in two batch sizes and two lengths. The signatures with a state have no
    equal in Keras: what they give before they are saved is what they must give afterwards.
    """
    random = np.random.default_rng(0)
    functions, whole = served.functions(), whole_by_keras(served)
    for name in served.names:
        every = sizes(served, name, LENGTHS) if name == WHOLE else [(BATCHES[-1], LENGTHS[0])]
        for batch, length in every:
            inputs = example(served, name, random, batch, length)
            if name in (WHOLE, PADDED):
                yield name, inputs, whole(inputs)
            else:
                yield name, inputs, arrays(functions[name](*map(tf.constant, inputs.values())))


def sizes(
    served: ServingSignatures, signature: str, lengths: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """(batch, length) of the examples that a signature takes."""
    (rows, *_), _ = next(iter(served.specification[signature]["inputs"].values()))
    for batch in BATCHES if rows is None else [rows]:
        for length in lengths if served.length is None else [served.length]:
            yield batch, length


def example(
    served: ServingSignatures, name: str, random: np.random.Generator, batch: int, length: int
) -> Arrays:
    """Inputs of a signature: {name: array}."""
    inputs = {}
    for tensor, (shape, dtype) in served.specification[name]["inputs"].items():
        shape = [batch, *(length if size is None else size for size in shape[1:])]
        if tensor in ("x", "x_t") and served.is_text:
            values = random.integers(0, served.tokens, shape)
        elif tensor == "lengths":
            values = np.full(shape, length)
        elif tensor == "steps":
            values = np.full(shape, min(length, served.options.max_steps))
        elif tensor in ("rows", "seed"):
            values = np.arange(batch)
        elif tensor == "temperature":
            values = np.ones(shape)
        else:
            values = random.uniform(-1, 1, shape)
        inputs[tensor] = values.astype(dtype)
    return inputs


def whole_by_keras(served: ServingSignatures) -> Callable[[Arrays], Arrays]:
    """The outputs of the Keras model for the x of a case, all of whose steps count."""
    shape, dtype = served.specification[WHOLE]["inputs"]["x"]
    # With the shape of the signature: where T is known, Keras builds another loop.
    spec = tf.TensorSpec((None, *shape[1:]), dtype)
    whole = tf.function(lambda x: call(served.model, x), input_signature=[spec], autograph=False)

    def run(inputs: Arrays) -> Arrays:
        with as_exported():
            y = tf.cast(whole(tf.constant(inputs["x"])), "float32")
        outputs = {"y": y}
        if served.options.probabilities:
            outputs["probabilities"] = getattr(tf.nn, served.options.probabilities)(y)
        return arrays({**outputs, **served.log_probability(tf.constant(inputs["x"]), y)})

    return run


def arrays(tensors: Mapping[str, Any]) -> Arrays:
    """{name: array} of {name: tensor}."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _encoded(named: Arrays) -> dict[str, dict[str, Any]]:
    return {name: encoded(array) for name, array in named.items()}


def encoded(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON holds it, bit for bit."""
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "base64": base64.b64encode(data).decode("ascii"),
    }


def hashes(folder: str | os.PathLike[str]) -> dict[str, str]:
    """{name: sha256} of every file below `folder` but export.json."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name != RECORD
    }


def write_record(folder: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Writes export.json, last of all files of a version."""
    content = json.dumps(with_checksum({**record, "files": hashes(folder)}), indent=1)
    Path(folder, RECORD).write_text(content + "\n", encoding="utf-8")


def read_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of export.json, whose names are those of models, signatures and files.

    Raises:
        UserError: The folder is no version folder of an export, or the file is damaged.
    """
    path = Path(folder, RECORD)
    try:
        record = _parsed(path)
        _check(record)
    except FileNotFoundError:
        raise ArgumentError(
            "path", f"the folder of an exported version with {RECORD}", str(folder)
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = first_line(error).rstrip(".")
        raise UserError(f"Cannot read {str(path)!r}: {reason}; export the model again.") from None
    return record


def _parsed(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES // 2**20} MB")
    content = path.read_bytes()
    # Before anything is made of them: a list of two bytes takes 64 in memory.
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    return parse_json(content)


def _check(record: Any) -> None:
    """Refuses what the readers of a record cannot work with, before they use it as a path."""
    kinds = {"signatures": dict, "files": dict, "golden": list}
    for key, kind in kinds.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise ValueError(f"it has no {kind.__name__} {key!r}")
    if not is_unchanged(record):
        raise ValueError("it has changed since it was written")
    checked_name("model", record.get("model"))
    checked_version("version", record.get("version"))
    positive_integer("max_steps", record.get("max_steps", 1))
    for case in record["golden"]:
        if not isinstance(case, dict) or not {"signature", "inputs", "outputs"} <= case.keys():
            raise ValueError("a case of 'golden' has no signature, inputs or outputs")
    for name in (*record["signatures"], *record["files"]):
        if not name.isprintable():
            raise ValueError(f"it has the name {name!r}")

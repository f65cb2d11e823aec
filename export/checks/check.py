"""Checks of an exported version before it is served; see `check_export`."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...utils.errors import UserError
from ..model.plain_path import plain_path
from ..model.record import encoded, hashes, read_record
from ..model.warmup import WARMUP, read_warmup
from . import check_graph, child_process
from .check_suite import Failed, Runner, Suite
from .served_by_binary import BINARY, find_binary, served_by_binary


@dataclasses.dataclass(frozen=True)
class Checked:
    """Result of `check_export`.

    Attributes:
        difference: The largest difference of an output from Keras's; 0.0 if all are bit-identical.
        found: {check: its result, in words}.
    """

    difference: float
    found: dict[str, str]


def check_export(path: str | os.PathLike[str]) -> Checked:
    """Checks a version that `export_saved_model` has written.

    From the files alone: each has the sha256 of export.json; the graph has no operation that is not
    on the allowlist; the signatures are those of export.json; the warm-up requests can be read and
    are the golden inputs. Then, in a new process in which `keras` and `keras_deep_rnn` cannot be
    imported, and once more by TensorFlow's C API without its Python code: the outputs are those of
    Keras, and the same when repeated; padding changes nothing; step by step, in pieces and as a
    whole the outputs are equal; the samples of a row do not depend on other rows; bad inputs end in
    InvalidArgument. Once more by `tensorflow_model_server` where it is on PATH.

    Args:
        path: Folder of one version, the one with `saved_model.pb` and `export.json`.

    Returns:
        `Checked`.

    Raises:
        UserError: A check failed; the message names it.

    Example:

    >>> import keras, tempfile
    >>> from keras_deep_rnn.export import export_saved_model
    >>> model = keras.Sequential(
    ...     [keras.Input((None, 3)), keras.layers.SimpleRNN(4, return_sequences=True)]
    ... )
    >>> folder = export_saved_model(model, tempfile.mkdtemp())
    >>> check_export(folder).difference < 1e-6
    True
    """
    path = Path(path)
    record = read_record(path)
    found = {"files": _check_files(path, record)}
    graph = check_graph.read_graph(path)
    found["operations"] = f"{check_graph.check_operations(graph)} kinds, all allowed"
    found["signatures"] = check_graph.check_signatures(graph, record)
    found["warm-up"] = _check_warmup(path, record)
    tensors = json.dumps(check_graph.tensors_of(graph))
    with plain_path(path) as loaded:
        loaders = {"without Keras": ["python", loaded], "C API": ["c_api", loaded, tensors]}
        running = {name: _start(*arguments) for name, arguments in loaders.items()}
        # All end before the first failure is raised.
        ended = {name: process.communicate() for name, process in running.items()}
    results = {name: _result(name, *output) for name, output in ended.items()}
    for name, result in results.items():
        found |= {f"{name}, {check}": what for check, what in result["found"].items()}
    difference = max(result["difference"] for result in results.values())
    if find_binary() is None:
        found[BINARY] = "not on PATH, not run"
    else:
        with served_by_binary(path, record) as run:
            found |= {f"{BINARY}, {check}": what for check, what in _run(run, record).items()}
    return Checked(difference, found)


def _run(run: Runner, record: dict[str, Any]) -> dict[str, str]:
    try:
        return Suite(run, record).all()
    except Failed as failure:
        raise UserError(f"check {f'{BINARY}, {failure}'!r} failed.") from None


def _check_files(path: Path, record: dict[str, Any]) -> str:
    there = hashes(path)
    for name in sorted(there.keys() | record["files"].keys()):
        if name not in there:
            raise UserError(f"check 'files' failed: {name} is missing.")
        if there[name] != record["files"].get(name):
            raise UserError(f"check 'files' failed: {name} is not the file that was exported.")
    return f"{len(there)} with their sha256"


def _check_warmup(path: Path, record: dict[str, Any]) -> str:
    try:
        requests = read_warmup(path)
    except ValueError as error:
        raise UserError(f"check 'warm-up' failed: {error}.") from None
    expected = [(record["model"], c["signature"], c["inputs"]) for c in record["golden"]]
    found = [
        (model, signature, {name: encoded(value) for name, value in inputs.items()})
        for model, signature, inputs in requests
    ]
    if found != expected:
        raise UserError(f"check 'warm-up' failed: {WARMUP} does not hold the golden inputs.")
    return f"{len(requests)} requests"


def _start(*arguments: str | Path) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("check_process.py")
    return child_process.start(
        [sys.executable, "-I", str(script), *map(str, arguments)],
        # This process may hold all the memory of an accelerator.
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _result(name: str, output: str, errors: str) -> dict[str, Any]:
    """The result of a process of `check_process.py`, from its output."""
    try:
        result = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        reason = (errors.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"check '{name}' failed: loading ended in {reason}") from None
    if "failed" in result:
        check, _, what = result["failed"].partition(": ")
        raise UserError(f"check '{name}, {check}' failed: {what}.")
    return result

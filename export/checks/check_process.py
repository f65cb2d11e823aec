"""Runs the checks of an export in a process that has neither Keras nor this package.

Run by file name, `python -I check_process.py LOADER FOLDER [TENSORS]`; nothing imports it.
LOADER is "python", TensorFlow's own loader, or "c_api", for which TENSORS, as JSON, names the
tensors of the graph. The last line of the output is JSON: {"found": {check: result}, "difference"}
or {"failed": message}.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from typing import Any

BLOCKED = ("keras", "tf_keras", "keras_deep_rnn")


def block() -> None:
    """Lets every import of the blocked packages fail, as where they are not installed."""
    for name in BLOCKED:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]  Python's own way to say it


def main(loader: str, folder: str, tensors: str = "") -> None:
    """Runs the suite and prints its result."""
    here = os.path.dirname(os.path.abspath(__file__))
    suite = _module(here, "check_suite")
    with open(os.path.join(folder, "export.json"), encoding="utf-8") as file:
        record = json.load(file)
    try:
        if loader == "python":
            run = _by_python(folder, suite.Rejected)
        else:
            run = _by_c_api(_module(here, "c_api"), folder, tensors, suite.Rejected)
        checks = suite.Suite(run, record)
        result = {"found": checks.all(), "difference": checks.difference}
    except suite.Failed as failure:
        result = {"failed": str(failure)}
    print(json.dumps(result))


def _by_python(
    folder: str, rejected: type[Exception]
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures

    def run(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        try:
            outputs = signatures[name](**{n: tf.constant(value) for n, value in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            raise rejected(str(error)) from error
        return {output: value.numpy() for output, value in outputs.items()}

    return run


def _by_c_api(
    c_api: Any, folder: str, tensors: str, rejected: type[Exception]
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    wheel = importlib.util.find_spec("tensorflow")
    assert wheel is not None
    assert wheel.submodule_search_locations
    library = c_api.load_library(wheel.submodule_search_locations[0])
    session = c_api.Session(library, folder, json.loads(tensors))

    def run(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        try:
            return session(name, inputs)
        except c_api.CError as error:
            if error.code == c_api.INVALID_ARGUMENT:
                raise rejected(str(error)) from error
            raise

    return run


def _module(folder: str, name: str) -> Any:
    """A module beside this one, which is no part of a package here."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    block()
    main(*sys.argv[1:])

"""Runs the checks of an export in a process that has neither Keras nor this package.

Run by file name, `python -I check_process.py LOADER FOLDER [TENSORS.json]`; nothing imports it.
LOADER is "python", TensorFlow's own loader, or "c_api", for which TENSORS.json tells the names of
the graph's tensors. The last line of the output is JSON: {"found": {check: what}, "difference"} or
{"failed": message}.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

BLOCKED = ("keras", "tf_keras", "keras_deep_rnn")


class WithoutBlocked(importlib.abc.MetaPathFinder):
    """A finder of modules to which the blocked packages are not installed."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finder finds, and None for a blocked package."""
        blocked = name.partition(".")[0] in BLOCKED
        return None if blocked else self.finder.find_spec(name, path, target)


def main(loader: str, folder: str, tensors: str = "") -> None:
    """Runs the suite and prints what it found."""
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
    loaded = sorted(set(BLOCKED) & set(sys.modules))
    if loaded:
        result = {"failed": f"loading: the served model imported {', '.join(loaded)}"}
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
    with open(tensors, encoding="utf-8") as file:
        session = c_api.Session(
            c_api.load_library(wheel.submodule_search_locations[0]), folder, json.load(file)
        )

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
    sys.meta_path[:] = [WithoutBlocked(finder) for finder in sys.meta_path]
    main(*sys.argv[1:])

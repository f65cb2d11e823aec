"""Code that runs around the import of another package, whoever imports it and when."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec
from types import ModuleType


def around_import(name: str, context: Callable[[], AbstractContextManager[object]]) -> None:
    """Runs the first import of a package within a context manager.

    Args:
        name: Top-level package that has not been imported yet.
        context: Called without arguments as the import begins.
    """
    sys.meta_path.insert(0, _Around(name, context))


class _Around(importlib.abc.MetaPathFinder):
    """Wraps the loader of one package; what finds the package are the other finders."""

    def __init__(self, name: str, context: Callable[[], AbstractContextManager[object]]) -> None:
        self.name = name
        self.context = context

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:  # a spec may also be asked for without an import, as TensorFlow does
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            self._wrap(spec.loader)
        return spec

    def _wrap(self, loader: importlib.abc.Loader) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with self.context():
                run(module)
                sys.meta_path.remove(self)

        # Keras keeps its own loader, by which its sources are found.
        loader.exec_module = exec_module

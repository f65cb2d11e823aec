"""Registration of the layers with Keras once both are imported, in either order.

Keras looks up the class of a saved layer among the registered ones and imports no module for it. So
`import keras_deep_rnn` must be enough to load a model; but a program that never imports Keras, such
as a client of a server, must not wait for its import.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def with_keras(register: Callable[[], None]) -> None:
    """Calls `register` now if Keras has been imported, else at the end of its import."""
    if "keras" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _AfterKeras(register))


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Lets `register` follow the import of Keras; what finds Keras are the other finders."""

    def __init__(self, register: Callable[[], None]) -> None:
        self.register = register

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:  # a spec may also be asked for without an import, as TensorFlow does
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: importlib.abc.Loader) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            sys.meta_path.remove(self)
            self.register()

        # Keras keeps its own loader, by which its sources are found.
        loader.exec_module = exec_module

"""Export of trained networks: SavedModels for TF Serving, checked against the Keras model."""

import importlib
from typing import Any

from ..utils.errors import missing_extra

# Imported when first asked for: a client needs no TensorFlow, which takes seconds to start.
_PLACES = {
    "Checked": "checks.check",
    "Client": "client.client",
    "Server": "testing_server.server",
    "check_export": "checks.check",
    "export_litert": "formats.litert",
    "export_onnx": "formats.onnx",
    "export_run": "formats.sources",
    "export_saved_model": "formats.saved_model",
    "exporter": "formats.sources",
    "load_keras_file": "formats.sources",
}
# `__init__.pyi` shows these to type checkers, which do not see what `__getattr__` finds.
__all__ = [*_PLACES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise missing_extra("tensorflow", "export") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Export of trained networks: SavedModels for TF Serving, checked before they are handed over."""

import importlib

from ..errors import missing_extra

# Imported when first asked for: a client needs no TensorFlow, which takes seconds to start.
_PLACES = {
    "Checked": "check",
    "Client": "client",
    "Server": "server",
    "check_export": "check",
    "export_litert": "litert",
    "export_onnx": "onnx",
    "export_run": "trained",
    "export_saved_model": "saved_model",
    "exporter": "trained",
    "load_keras_file": "trained",
}
__all__ = list(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise missing_extra("tensorflow", "export") from None

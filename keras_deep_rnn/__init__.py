"""Deep recurrent networks as Keras 3 layers (arXiv:1312.6026)."""

import importlib
import importlib.metadata
import sys

from .utils.registration import with_keras

try:
    __version__ = importlib.metadata.version("keras-deep-rnn")
except importlib.metadata.PackageNotFoundError:  # a folder that was not installed
    __version__ = "0+unknown"

# Public names and where they are, imported when first asked for; __init__.pyi says the same to
# editors and type checkers.
_PLACES = {
    "Affine": "layers",
    "ClippedMomentum": "layers",
    "DeepInputRNN": "layers",
    "DeepInputRNNCell": "layers",
    "DeepOutputRNN": "layers",
    "DeepOutputRNNCell": "layers",
    "DeepOutputTransitionRNN": "layers",
    "DeepOutputTransitionRNNCell": "layers",
    "DeepRNN": "layers",
    "DeepRNNCell": "layers",
    "DeepTransitionGRU": "layers",
    "DeepTransitionGRUCell": "layers",
    "DeepTransitionLSTM": "layers",
    "DeepTransitionLSTMCell": "layers",
    "DeepTransitionRNN": "layers",
    "DeepTransitionRNNCell": "layers",
    "FastDropoutDense": "layers",
    "FastDropoutRNN": "layers",
    "FastDropoutRNNCell": "layers",
    "HoldCosineDecay": "layers",
    "InverseDecay": "layers",
    "LpUnit": "layers",
    "Maxout": "layers",
    "NADE": "layers",
    "Operator": "layers",
    "Plus": "layers",
    "Predict": "layers",
    "RecurrentHighway": "layers",
    "RecurrentHighwayCell": "layers",
    "SparseInitializer": "layers",
    "StackedRNN": "layers",
    "StackedRNNCell": "layers",
    "TiedEmbedding": "layers",
    "WeightNoise": "layers",
    "build_network": "training.models",
    "load": "experiments.trained",
    "inspect": "training.inspection",
    "preset": "training.networks",
    "save": "experiments.trained",
    "trained": "experiments.trained",
}
_SUBPACKAGES = ("export", "layers", "tuning")
__all__ = [*_PLACES]  # pyright: ignore[reportUnsupportedDunderAll] -- __init__.pyi has them


def __getattr__(name: str) -> object:
    if name in _SUBPACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _import_layers()
    value = getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES, *_SUBPACKAGES})


def _import_layers() -> None:
    """Imports every module with classes that Keras may be asked to load."""
    for place in ("layers", "training.models"):
        importlib.import_module(f".{place}", __name__)


def _register() -> None:
    # Where it is one of the layers' own modules that imports Keras, none of them is ready yet.
    parts = ("layers", "recurrence", "training.models", "utils.keras_compat")
    if not any(f"{__name__}.{part}" in sys.modules for part in parts):
        _import_layers()


with_keras(_register)

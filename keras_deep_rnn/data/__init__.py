"""Data sets by name, the user's own data, and batches of both.

Preparing and reading the sets by name needs TensorFlow Datasets (the extra `data`), which is
imported only then.
"""

from typing import TYPE_CHECKING

from .catalogue import describe, names
from .dataset import Dataset
from .loading import load

if TYPE_CHECKING:
    from .batching import CarriedBatches, PieceBatches

__all__ = ["CarriedBatches", "Dataset", "PieceBatches", "describe", "load", "names"]


def __getattr__(name: str) -> object:
    """The batches need Keras, whose import takes seconds that a list of the data sets does not."""
    if name not in ("CarriedBatches", "PieceBatches"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import batching

    return getattr(batching, name)

"""Named data sets, the user's own data, and batches of both.

TensorFlow Datasets (the extra `data`) prepares and reads the named ones, and is imported for them
alone.
"""

from typing import TYPE_CHECKING

from .catalogue import describe, names
from .dataset import Dataset
from .loading import load

if TYPE_CHECKING:
    from .batching import CarriedBatches, PieceBatches

__all__ = ["CarriedBatches", "Dataset", "PieceBatches", "describe", "load", "names"]


def __getattr__(name: str) -> object:
    """Imports the batches when first asked for: Keras takes seconds to import."""
    if name not in ("CarriedBatches", "PieceBatches"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import batching

    return getattr(batching, name)

"""Export of trained networks: SavedModels for TF Serving, checked before they are handed over."""

from .check import check_export
from .saved_model import export_saved_model
from .trained import export_run

__all__ = ["check_export", "export_run", "export_saved_model"]

"""Export of trained models: SavedModels for TF Serving and their check."""

"""A server of SavedModels for tests and development."""

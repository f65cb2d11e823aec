"""The job of a search: its file, its settings and their checks."""

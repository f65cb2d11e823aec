"""Errors, checks, files and types that every part of the package uses."""

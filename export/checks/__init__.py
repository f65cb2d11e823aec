"""Checks that an export computes the outputs of its model."""

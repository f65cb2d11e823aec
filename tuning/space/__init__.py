"""Hyperparameters, search spaces and parameter budgets."""

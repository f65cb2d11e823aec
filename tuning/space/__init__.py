"""What a search may vary: hyperparameters, the search space and its budget of parameters."""

"""Training runs: settings, models, the run folder, evaluation and sampling."""

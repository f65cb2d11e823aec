"""Search jobs: the job file, its settings, checks and JSON schema."""

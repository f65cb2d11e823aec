"""Whether an export gives the numbers of its model."""

"""How TensorFlow Datasets builds the sets that have a name."""

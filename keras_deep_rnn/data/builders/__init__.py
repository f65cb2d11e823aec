"""TensorFlow Datasets builders of the named data sets."""

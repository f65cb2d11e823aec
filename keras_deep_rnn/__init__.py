"""Deep recurrent networks as Keras 3 layers (arXiv:1312.6026)."""

__version__ = "0.1.0"

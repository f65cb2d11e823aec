"""Fast dropout: the expected effect of dropout, computed instead of drawn (arXiv:1311.0701).

The network hands on the mean and the variance of each unit and needs no random draw, neither in
training nor in inference.

- `moments`: mean and variance of sums and of activations under dropout.
- `recurrent`: operator, cell and layer.
- `dense`: the layer to the logits.
"""

from .dense import FastDropoutDense
from .moments import activated_moments, affine_moments, dropped_moments
from .recurrent import FastDropoutRNN, FastDropoutRNNCell

__all__ = [
    "FastDropoutDense",
    "FastDropoutRNN",
    "FastDropoutRNNCell",
    "activated_moments",
    "affine_moments",
    "dropped_moments",
]

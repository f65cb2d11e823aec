"""The neural operators plus (⊕) and predict (▷), arXiv:1312.6026, section 4.

    h' = x ⊕ h     summarise the input x and the history h into a new history
    y  = ▷ h       the most likely output given the history

Every network is a choice of the two. Shapes: B batch, T time steps, D input features, H units of h.
In reading order:

- `operator`: `Operator`, affine maps and a step with any differentiable code around them.
- `weights`: how the weights of the affine maps are made.
- `sequence`: the step over a whole sequence, by the fast or by the plain loop.
- `plus`, `predict`: ⊕ and ▷ of the paper.
"""

from ...recurrence import Affine
from .operator import Operator
from .plus import Plus
from .predict import Predict

__all__ = ["Affine", "Operator", "Plus", "Predict"]

"""The cells: one step of each network, as Keras's `RNN(cell)` takes it. In reading order:

- `base`: the base of the cells, and functions for any cell.
- `deep_rnn`: `DeepRNNCell`, a choice of ⊕ and ▷, with dropout, zoneout and a first state.
- `paper`, `stacked`: the networks of the paper.
- `sequence`: any cell over a whole sequence.
"""

from .base import Cell
from .deep_rnn import DeepRNNCell
from .paper import (
    DeepInputRNNCell,
    DeepOutputRNNCell,
    DeepOutputTransitionRNNCell,
    DeepTransitionRNNCell,
)
from .stacked import StackedRNNCell

__all__ = [
    "Cell",
    "DeepInputRNNCell",
    "DeepOutputRNNCell",
    "DeepOutputTransitionRNNCell",
    "DeepRNNCell",
    "DeepTransitionRNNCell",
    "StackedRNNCell",
]

"""Gated transitions, one file each: operator, cell and layer.

- `highway`: recurrent highway networks.
- `gru`, `lstm`: deep-transition GRU and LSTM.
- `base`: the base of their operators.
"""

from .gru import DeepTransitionGRU, DeepTransitionGRUCell, GRUPlus
from .highway import HighwayPlus, RecurrentHighway, RecurrentHighwayCell
from .lstm import DeepTransitionLSTM, DeepTransitionLSTMCell, LSTMPlus

__all__ = [
    "DeepTransitionGRU",
    "DeepTransitionGRUCell",
    "DeepTransitionLSTM",
    "DeepTransitionLSTMCell",
    "GRUPlus",
    "HighwayPlus",
    "LSTMPlus",
    "RecurrentHighway",
    "RecurrentHighwayCell",
]

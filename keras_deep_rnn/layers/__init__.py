"""Deep recurrent networks as Keras layers, and what they are made of."""

from .activations import LpUnit, Maxout
from .cells import (
    DeepInputRNNCell,
    DeepOutputRNNCell,
    DeepOutputTransitionRNNCell,
    DeepRNNCell,
    DeepTransitionRNNCell,
)
from .fast_dropout import FastDropoutDense, FastDropoutRNNCell
from .gated import (
    DeepTransitionGRU,
    DeepTransitionGRUCell,
    DeepTransitionLSTM,
    DeepTransitionLSTMCell,
    RecurrentHighway,
    RecurrentHighwayCell,
)
from .initializers import SparseInitializer
from .operators import Affine, Operator, Plus, Predict
from .paper import (
    DeepInputRNN,
    DeepOutputRNN,
    DeepOutputTransitionRNN,
    DeepTransitionRNN,
    FastDropoutRNN,
    StackedRNN,
)
from .rnn import DeepRNN
from .schedules import InverseDecay
from .stacked import StackedRNNCell
from .weight_noise import WeightNoise

__all__ = [
    "Affine",
    "DeepInputRNN",
    "DeepInputRNNCell",
    "DeepOutputRNN",
    "DeepOutputRNNCell",
    "DeepOutputTransitionRNN",
    "DeepOutputTransitionRNNCell",
    "DeepRNN",
    "DeepRNNCell",
    "DeepTransitionGRU",
    "DeepTransitionGRUCell",
    "DeepTransitionLSTM",
    "DeepTransitionLSTMCell",
    "DeepTransitionRNN",
    "DeepTransitionRNNCell",
    "FastDropoutDense",
    "FastDropoutRNN",
    "FastDropoutRNNCell",
    "InverseDecay",
    "LpUnit",
    "Maxout",
    "Operator",
    "Plus",
    "Predict",
    "RecurrentHighway",
    "RecurrentHighwayCell",
    "SparseInitializer",
    "StackedRNN",
    "StackedRNNCell",
    "WeightNoise",
]

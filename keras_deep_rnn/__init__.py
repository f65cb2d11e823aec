"""Deep recurrent networks as Keras 3 layers (arXiv:1312.6026)."""

import pathlib
import sys

# The command `deep-rnn` answers --help without waiting for a backend; it imports what it needs.
if pathlib.PurePath("".join(sys.argv[:1])).name not in ("deep-rnn", "deep-rnn.exe"):
    from .layers import *
    from .networks import build_network, preset

__all__ = [
    "Affine",
    "Operator",
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
    "Plus",
    "Predict",
    "RecurrentHighway",
    "RecurrentHighwayCell",
    "SparseInitializer",
    "StackedRNN",
    "StackedRNNCell",
    "WeightNoise",
    "build_network",
    "preset",
]

__version__ = "0.1.0"

"""Deep recurrent networks as Keras 3 layers (arXiv:1312.6026)."""

import pathlib
import sys

# The command `deep-rnn` answers --help without waiting for a backend; it imports what it needs.
if pathlib.PurePath("".join(sys.argv[:1])).name not in ("deep-rnn", "deep-rnn.exe"):
    from .activations import LpUnit, Maxout
    from .cells import (
        DeepInputRNNCell,
        DeepOutputRNNCell,
        DeepOutputTransitionRNNCell,
        DeepRNNCell,
        DeepTransitionRNNCell,
    )
    from .deep_rnn import DeepRNN
    from .fast_dropout import FastDropoutDense, FastDropoutRNNCell
    from .initializers import SparseInitializer
    from .layers import (
        DeepInputRNN,
        DeepOutputRNN,
        DeepOutputTransitionRNN,
        DeepTransitionRNN,
        FastDropoutRNN,
        StackedRNN,
    )
    from .networks import build_network, preset
    from .noise import WeightNoise
    from .operators import Plus, Predict
    from .schedules import InverseDecay
    from .stacked import StackedRNNCell

__all__ = [
    "DeepInputRNN",
    "DeepInputRNNCell",
    "DeepOutputRNN",
    "DeepOutputRNNCell",
    "DeepOutputTransitionRNN",
    "DeepOutputTransitionRNNCell",
    "DeepRNN",
    "DeepRNNCell",
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
    "SparseInitializer",
    "StackedRNN",
    "StackedRNNCell",
    "WeightNoise",
    "build_network",
    "preset",
]

__version__ = "0.1.0"

"""Deep recurrent networks as Keras layers.

A network is two operators (`operators`): ⊕ makes the new h of x and h, ▷ makes y of h. A cell
(`cells`) is one step of it, `DeepRNN` (`rnn`) the cell over a sequence. In reading order:

- `operators`: `Operator`, affine maps and a step around them; the paper's `Plus` and `Predict`.
- `cells`: `DeepRNNCell`, one step with dropout and zoneout; the cells of the paper.
- `rnn`: `DeepRNN`; with `shape_checks`, `carried_state` (stateful layers), `inference` (`step`).
- `paper`: the layers of the paper. `gated`, `fast_dropout`: those of other papers.
- `options`: the options that constructors share, and how they become a config.
- `activations`, `initializers`, `schedules`, `weight_noise`: the parts of the paper's recipe.
- `stepper`: one step in plain NumPy.
"""

from .activations import LpUnit, Maxout
from .cells import (
    DeepInputRNNCell,
    DeepOutputRNNCell,
    DeepOutputTransitionRNNCell,
    DeepRNNCell,
    DeepTransitionRNNCell,
    StackedRNNCell,
)
from .fast_dropout import FastDropoutDense, FastDropoutRNN, FastDropoutRNNCell
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
    StackedRNN,
)
from .rnn import DeepRNN
from .schedules import InverseDecay
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

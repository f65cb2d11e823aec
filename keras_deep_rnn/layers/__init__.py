"""Deep recurrent networks as Keras layers.

A network is two operators (`operators`): ⊕ makes the new h of x and h, ▷ makes y of h. A cell
(`cells`) is one step of it, `DeepRNN` (`rnn`) the cell over a sequence. In reading order:

- `operators`: `Operator`, affine maps and a step around them; the paper's `Plus` and `Predict`.
- `cells`: `DeepRNNCell`, one step with dropout and zoneout; the cells of the paper.
- `rnn`: `DeepRNN`; with `shape_checks`, `carried_state` (stateful layers), `inference` (`step`).
- `paper`: the layers of the paper. `gated`, `fast_dropout`: those of other papers.
- `options`: the options that constructors share, and how they become a config.
- `activations`, `initializers`, `optimizers`, `schedules`, `weight_noise`: the parts of the
  paper's recipe. `tied_embedding`: one of later recipes.
- `stepper`: one step in plain NumPy.
"""

from .activations import LpUnit as LpUnit
from .activations import Maxout as Maxout
from .cells import DeepInputRNNCell as DeepInputRNNCell
from .cells import DeepOutputRNNCell as DeepOutputRNNCell
from .cells import DeepOutputTransitionRNNCell as DeepOutputTransitionRNNCell
from .cells import DeepRNNCell as DeepRNNCell
from .cells import DeepTransitionRNNCell as DeepTransitionRNNCell
from .cells import StackedRNNCell as StackedRNNCell
from .fast_dropout import FastDropoutDense as FastDropoutDense
from .fast_dropout import FastDropoutRNN as FastDropoutRNN
from .fast_dropout import FastDropoutRNNCell as FastDropoutRNNCell
from .gated import DeepTransitionGRU as DeepTransitionGRU
from .gated import DeepTransitionGRUCell as DeepTransitionGRUCell
from .gated import DeepTransitionLSTM as DeepTransitionLSTM
from .gated import DeepTransitionLSTMCell as DeepTransitionLSTMCell
from .gated import RecurrentHighway as RecurrentHighway
from .gated import RecurrentHighwayCell as RecurrentHighwayCell
from .initializers import SparseInitializer as SparseInitializer
from .nade import NADE as NADE
from .operators import Affine as Affine
from .operators import Operator as Operator
from .operators import Plus as Plus
from .operators import Predict as Predict
from .optimizers import ClippedMomentum as ClippedMomentum
from .paper import DeepInputRNN as DeepInputRNN
from .paper import DeepOutputRNN as DeepOutputRNN
from .paper import DeepOutputTransitionRNN as DeepOutputTransitionRNN
from .paper import DeepTransitionRNN as DeepTransitionRNN
from .paper import StackedRNN as StackedRNN
from .rnn import DeepRNN as DeepRNN
from .schedules import HoldCosineDecay as HoldCosineDecay
from .schedules import InverseDecay as InverseDecay
from .tied_embedding import TiedEmbedding as TiedEmbedding
from .weight_noise import WeightNoise as WeightNoise

# What editors and type checkers see of the names that __init__.py imports when they are asked for.

from . import export as export
from . import layers as layers
from . import tuning as tuning
from .activations import LpUnit as LpUnit
from .activations import Maxout as Maxout
from .cells import DeepInputRNNCell as DeepInputRNNCell
from .cells import DeepOutputRNNCell as DeepOutputRNNCell
from .cells import DeepOutputTransitionRNNCell as DeepOutputTransitionRNNCell
from .cells import DeepRNNCell as DeepRNNCell
from .cells import DeepTransitionRNNCell as DeepTransitionRNNCell
from .deep_rnn import DeepRNN as DeepRNN
from .fast_dropout import FastDropoutDense as FastDropoutDense
from .fast_dropout import FastDropoutRNNCell as FastDropoutRNNCell
from .initializers import SparseInitializer as SparseInitializer
from .layers import DeepInputRNN as DeepInputRNN
from .layers import DeepOutputRNN as DeepOutputRNN
from .layers import DeepOutputTransitionRNN as DeepOutputTransitionRNN
from .layers import DeepTransitionRNN as DeepTransitionRNN
from .layers import FastDropoutRNN as FastDropoutRNN
from .layers import StackedRNN as StackedRNN
from .networks import build_network as build_network
from .networks import preset as preset
from .noise import WeightNoise as WeightNoise
from .operators import Plus as Plus
from .operators import Predict as Predict
from .schedules import InverseDecay as InverseDecay
from .stacked import StackedRNNCell as StackedRNNCell

__version__: str

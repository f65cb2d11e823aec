# What editors and type checkers see of the names that __init__.py imports when they are asked for.

from . import export as export
from . import layers as layers
from . import tuning as tuning
from .experiments.trained import load as load
from .experiments.trained import save as save
from .experiments.trained import trained as trained
from .layers import NADE as NADE
from .layers import Affine as Affine
from .layers import ClippedMomentum as ClippedMomentum
from .layers import DeepInputRNN as DeepInputRNN
from .layers import DeepInputRNNCell as DeepInputRNNCell
from .layers import DeepOutputRNN as DeepOutputRNN
from .layers import DeepOutputRNNCell as DeepOutputRNNCell
from .layers import DeepOutputTransitionRNN as DeepOutputTransitionRNN
from .layers import DeepOutputTransitionRNNCell as DeepOutputTransitionRNNCell
from .layers import DeepRNN as DeepRNN
from .layers import DeepRNNCell as DeepRNNCell
from .layers import DeepTransitionGRU as DeepTransitionGRU
from .layers import DeepTransitionGRUCell as DeepTransitionGRUCell
from .layers import DeepTransitionLSTM as DeepTransitionLSTM
from .layers import DeepTransitionLSTMCell as DeepTransitionLSTMCell
from .layers import DeepTransitionRNN as DeepTransitionRNN
from .layers import DeepTransitionRNNCell as DeepTransitionRNNCell
from .layers import FastDropoutDense as FastDropoutDense
from .layers import FastDropoutRNN as FastDropoutRNN
from .layers import FastDropoutRNNCell as FastDropoutRNNCell
from .layers import HoldCosineDecay as HoldCosineDecay
from .layers import InverseDecay as InverseDecay
from .layers import LpUnit as LpUnit
from .layers import Maxout as Maxout
from .layers import Operator as Operator
from .layers import Plus as Plus
from .layers import Predict as Predict
from .layers import RecurrentHighway as RecurrentHighway
from .layers import RecurrentHighwayCell as RecurrentHighwayCell
from .layers import SparseInitializer as SparseInitializer
from .layers import StackedRNN as StackedRNN
from .layers import StackedRNNCell as StackedRNNCell
from .layers import TiedEmbedding as TiedEmbedding
from .layers import WeightNoise as WeightNoise
from .training.inspection import inspect as inspect
from .training.models import build_network as build_network
from .training.networks import preset as preset

__version__: str

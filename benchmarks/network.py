"""The network that is timed: sizes, weights and data, the same in every framework.

It is one layer of the DT(S)-RNN with tanh. Its weights lie in the order of `Plus`:
U, W_1, b_1, then W_l, S_l, b_l of each later layer of the transition.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from unittest import mock

import keras
import numpy as np

from keras_deep_rnn import (
    DeepTransitionGRU,
    DeepTransitionLSTM,
    DeepTransitionRNN,
    DeepTransitionRNNCell,
    Operator,
    RecurrentHighway,
)

from .plan import LARGE_MATMUL, MATMUL

RATE = 0.01  # of gradient descent
CHAIN = 10  # large products, so that starting and fetching them does not count


@dataclasses.dataclass(frozen=True)
class Case:
    """What is run: the sizes, and what is done with the network.

    Attributes:
        B: Batch.
        T: Time steps.
        D: Input features.
        H: Units of each layer of the transition.
        L: Layers of the transition.
        mode: "train": loss, gradients and plain gradient descent; "forward": the loss alone;
            "step": one time step; "fit": an epoch of `Model.fit`.
        data: For "fit": "random", or the folder with the files of Nottingham.
        seed: Of weights and data.
    """

    B: int
    T: int
    D: int
    H: int
    L: int
    mode: str = "train"
    data: str | None = None
    seed: int = 0

    def weights(self):
        """The weights as arrays, in the order of `Plus`."""
        rng = np.random.default_rng(self.seed)

        def matrix(rows):
            return (rng.normal(size=(rows, self.H)) / (2 * rows**0.5)).astype("float32")

        weights = [matrix(self.D), matrix(self.H), np.zeros(self.H, "float32")]
        for _ in range(self.L - 1):
            weights += [matrix(self.H), matrix(self.H), np.zeros(self.H, "float32")]
        return weights

    def arrays(self, units=None):
        """x (B, T, D), and a random target (B, T, units or H)."""
        rng = np.random.default_rng(self.seed + 1)
        x = rng.normal(size=(self.B, self.T, self.D)).astype("float32")
        return x, rng.normal(size=(self.B, self.T, units or self.H)).astype("float32")

    def mask(self):
        """Boolean (B, T), True for the first steps: between a quarter of them and all."""
        lengths = np.random.default_rng(self.seed + 2).integers(self.T // 4, self.T + 1, self.B)
        lengths[0] = self.T
        return np.arange(self.T) < lengths[:, None]


def sizes(case):
    """The sizes as arguments of the package's layer and cell."""
    return {
        "units": case.H,
        "transition_units": (case.H,) * (case.L - 1) or None,
        "shortcut": case.L > 1,
    }


def ours(case, persistent=False, **options):
    """The package's layer, without the kernel that a GPU may have."""
    return DeepTransitionRNN(**sizes(case), return_sequences=True, persistent=persistent, **options)


def naive(case):
    """What Keras makes of the same cell."""
    return keras.layers.RNN(DeepTransitionRNNCell(**sizes(case)), return_sequences=True)


def matched(keras_layer, gates, case):
    """A recurrent layer of Keras with about as many weights: n = gates (H^2 + (D + 1) H)."""
    weights = sum(weight.size for weight in case.weights()) / gates
    b = case.D + 1
    return keras_layer(round((math.sqrt(b * b + 4 * weights) - b) / 2), return_sequences=True)


def gated(family, case):
    """A gated layer of the package; the layers of the transition are those of the case."""
    return family(case.H, depth=case.L, return_sequences=True)


def of_keras(family, case):
    """A gated layer of Keras with H units."""
    return family(case.H, return_sequences=True)


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A layer and how it is run: with a mask, by the plain loop, compiled whole by XLA."""

    layer: Callable
    masked: bool = False
    plain: bool = False
    xla: bool = False


LAYERS = {
    "ours": Contestant(ours),
    "ours, one part": Contestant(functools.partial(ours, batch_parts=1)),
    "ours, bfloat16": Contestant(functools.partial(ours, dtype="mixed_bfloat16")),
    "ours, persistent": Contestant(functools.partial(ours, persistent=True)),
    "ours, persistent, bfloat16": Contestant(
        functools.partial(ours, persistent=True, dtype="mixed_bfloat16")
    ),
    "ours, recurrent dropout": Contestant(functools.partial(ours, recurrent_dropout=0.3)),
    "ours, mask": Contestant(ours, masked=True),
    "ours, remat=16": Contestant(functools.partial(ours, remat=16)),
    "plain loop": Contestant(ours, plain=True),
    "naive": Contestant(naive),
    "naive, XLA": Contestant(naive, xla=True),
    "naive, mask": Contestant(naive, masked=True),
    "naive, mask, XLA": Contestant(naive, masked=True, xla=True),
    "SimpleRNN": Contestant(functools.partial(matched, keras.layers.SimpleRNN, 1)),
    "LSTM": Contestant(functools.partial(matched, keras.layers.LSTM, 4)),
    "keras GRU": Contestant(functools.partial(of_keras, keras.layers.GRU)),
    "keras LSTM": Contestant(functools.partial(of_keras, keras.layers.LSTM)),
}
# Networks that are held against the plain loop alone.
FAMILIES = {
    "RHN": functools.partial(gated, RecurrentHighway),
    "DT-GRU": functools.partial(gated, DeepTransitionGRU),
    "DT-LSTM": functools.partial(gated, DeepTransitionLSTM),
    "layer norm": functools.partial(ours, normalization="layer"),
}
for family, make_layer in FAMILIES.items():
    LAYERS[family] = Contestant(make_layer)
    LAYERS[f"{family}, plain loop"] = Contestant(make_layer, plain=True)


def build(name, case):
    """A layer of `LAYERS` with the case's weights, and the arguments of its call.

    Returns:
        The layer; x, the target and, or None, the mask, as arrays.
    """
    contestant = LAYERS[name]
    layer = contestant.layer(case)
    layer.build((case.B, case.T, case.D))
    weights = case.weights()
    if [tuple(w.shape) for w in layer.trainable_variables] == [w.shape for w in weights]:
        layer.set_weights(weights)
    else:
        rng = np.random.default_rng(case.seed)
        shapes = [w.shape for w in layer.trainable_variables]
        layer.set_weights([rng.normal(size=s) / (2 * s[0] ** 0.5) for s in shapes])
    units = layer.compute_output_shape((case.B, case.T, case.D))[-1]
    return layer, *case.arrays(units), case.mask() if contestant.masked else None


def products(name, full, multiply, accelerator=False):
    """A run of `CHAIN` products of large matrices, and their number: what a chip can do.

    Args:
        name: "matmul", or "matmul, bfloat16".
        full: Function of a shape, a number and the name of a type to a matrix of that number.
        multiply: Function of two matrices to their product.
        accelerator: Whether they are multiplied on one.
    """
    size = LARGE_MATMUL if accelerator else MATMUL
    matrix = full((size, size), 1 / size, name.partition(", ")[2] or "float32")

    def run():
        product = matrix
        for _ in range(CHAIN):
            product = multiply(product, matrix)  # the same matrix again
        return float(product[0, 0])

    return run, CHAIN


def loop_of(name):
    """A context in which the package's layers take the plain loop, if the contestant does."""
    if name not in LAYERS or not LAYERS[name].plain:
        return contextlib.nullcontext()
    return mock.patch.object(Operator, "fallback_reason", return_value="asked for")

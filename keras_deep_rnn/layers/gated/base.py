"""The base of the gated operators."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...utils.errors import ArgumentError, Words
from ...utils.validation import CHECKS
from ..operators import Operator
from ..options import Described, OperatorOptions, set_untracked


def interpolate(a: Any, b: Any, gate: Any) -> Any:
    """(1 - gate) * a + gate * b, with one operation less."""
    return a + gate * (b - a)


class GatedPlus(Operator):
    """Base of the gated operators: the activation of gates, and biases that differ by gate."""

    def __init__(
        self,
        units: int,
        depth: int = 1,
        recurrent_activation: Described = "sigmoid",
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, **options)
        self.depth = CHECKS["depth"]("depth", depth)
        gate = CHECKS["activation"]("recurrent_activation", recurrent_activation)
        set_untracked(self, "recurrent_activation", gate)
        for name in ("activation", "recurrent_activation"):
            if hasattr(getattr(self, name), "pieces"):
                raise ArgumentError(
                    name, "the width of a gated unit", Words("maxout or Lp"), verb="keep"
                )

    def build(self, input_shape: Sequence) -> None:
        super().build(input_shape)
        self._track_activation("recurrent_activation")

    @property
    def receives_input(self) -> list[bool]:
        """Of each layer of the transition, whether x(t) feeds it: the first alone."""
        return [True] + [False] * (self.depth - 1)

    def bias_by_gate(self, *gates: Any) -> Callable:
        """The initializer of a bias whose gates stand side by side, from one for each gate."""
        initializers = [keras.initializers.get(gate) for gate in gates]

        def initialize(shape: tuple, dtype: Any = None) -> Any:
            width = shape[0] // len(gates)
            return ops.concatenate([gate((width,), dtype) for gate in initializers])

        return initialize

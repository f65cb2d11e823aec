"""One step of each network of the paper; the stack is in `stacked`."""

from collections.abc import Sequence
from typing import Unpack

import keras

from ...utils.validation import layer_sizes
from ..initializers import numbered
from ..operators import Plus, Predict
from ..options import CellOptions, Described, weights_of
from .deep_rnn import DeepRNNCell


def deep_output(
    plus: Plus, output_units: Sequence[int], output_activation: Described = None
) -> Predict:
    """▷ with the weight options of ⊕."""
    shared = {
        name: getattr(plus, name)
        for name in Predict.arguments()
        if name not in ("output_units", "output_activation")
    }
    kernels_of_plus = len(plus.input_units or ()) + len(plus.transition_units or ()) + 1
    shared["kernel_initializer"] = numbered(plus.kernel_initializer, kernels_of_plus)
    activation = plus.activation if output_activation is None else output_activation
    return Predict(
        layer_sizes("output_units", output_units),
        activation,
        dtype=plus.dtype_policy,
        name="predict",
        **shared,
    )


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionRNNCell(DeepRNNCell):
    """One step of the DT-RNN or DT(S)-RNN; see `DeepTransitionRNN`.

    Arguments and weight order: see `DeepTransitionRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        transition_units: Sequence[int] | None = None,
        shortcut: bool = False,
        input_to: str = "first",
        intermediate_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(
            units,
            transition_units,
            shortcut,
            input_to,
            intermediate_activation=intermediate_activation,
            **weights_of(**options),
        )
        super().__init__(plus, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepInputRNNCell(DeepRNNCell):
    """One step of the recurrent network with a deep input; see `DeepInputRNN`.

    Arguments and weight order: see `DeepInputRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        input_units: Sequence[int],
        input_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(
            units,
            input_units=layer_sizes("input_units", input_units),
            input_activation=input_activation,
            **weights_of(**options),
        )
        super().__init__(plus, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputRNNCell(DeepRNNCell):
    """One step of the DO-RNN; see `DeepOutputRNN`.

    Arguments and weight order: see `DeepOutputRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        output_units: Sequence[int],
        output_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(units, **weights_of(**options))
        super().__init__(plus, deep_output(plus, output_units, output_activation), **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputTransitionRNNCell(DeepRNNCell):
    """One step of the DOT-RNN or DOT(S)-RNN; see `DeepOutputTransitionRNN`.

    Arguments and weight order: see `DeepOutputTransitionRNN` (sequence options excepted).
    Call arguments: see `DeepRNNCell`.
    """

    def __init__(
        self,
        units: int,
        transition_units: Sequence[int],
        output_units: Sequence[int],
        shortcut: bool = False,
        input_to: str = "first",
        input_units: Sequence[int] | None = None,
        input_activation: Described = None,
        output_activation: Described = None,
        intermediate_activation: Described = None,
        **options: Unpack[CellOptions],
    ) -> None:
        plus = Plus(
            units,
            layer_sizes("transition_units", transition_units),
            shortcut,
            input_to,
            input_units,
            input_activation,
            intermediate_activation,
            **weights_of(**options),
        )
        super().__init__(plus, deep_output(plus, output_units, output_activation), **options)

"""The networks of the paper as recurrent layers of Keras.

Shapes: B batch, T time steps, D input features, H units of h.
"""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from .cells import (
    DeepInputRNNCell,
    DeepOutputRNNCell,
    DeepOutputTransitionRNNCell,
    DeepTransitionRNNCell,
    StackedRNNCell,
)
from .options import Described, LayerOptions, cell_options
from .rnn import DeepRNN


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepTransitionRNN(DeepRNN):
    """The DT-RNN: a deep transition from h(t-1) to h(t) (section 3.3.1, figure 2 b).

        a_1 = phi_1(h(t-1) W_1 + x(t) U_1 + b_1)
        a_l = phi_l(a_{l-1} W_l + b_l)                      l = 2 ... L
        h(t) = a_L

    With `shortcut=True`, the DT(S)-RNN (figure 2 b*), every later layer also gets h(t-1) S_l; with
    `input_to="all"` it also gets x(t) U_l. Without `transition_units` it is the plain recurrent
    network, equal to `keras.layers.SimpleRNN` with the same weights.

    Args:
        units: Positive int, H: the width of h.
        transition_units: Widths of the layers between h(t-1) and h(t): `units=400,
            transition_units=(400,)` is the paper's "400, 400". None for a shallow transition.
        shortcut: Whether every later layer of the transition also sees h(t-1).
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds. The sizes in
            the paper's Table 1 are those of `"all"`.
        intermediate_activation: phi_l of the layers of `transition_units`, so that `activation` is
            that of h(t) alone; None takes `activation`.
        shortcut_initializer: Initializer of every S_l; see `Plus`.
        **options: Weight options: see `Plus`; dropout and sequence options: see `DeepRNN`.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> layer = DeepTransitionRNN(4, transition_units=(8,), shortcut=True, return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3))).shape)
    (2, 5, 4)

    Notes:
        Weight order: transition layer by transition layer U_l, W_l, S_l, b_l, as far as the layer
        has them.
    """

    def __init__(
        self,
        units: int,
        transition_units: Sequence[int] | None = None,
        shortcut: bool = False,
        input_to: str = "first",
        intermediate_activation: Described = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        own = cell_options(**options)
        cell = DeepTransitionRNNCell(
            units, transition_units, shortcut, input_to, intermediate_activation, **own
        )
        super().__init__(cell, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepInputRNN(DeepRNN):
    """A recurrent network with a deep input-to-hidden function (section 3.2.1).

        z_0 = x(t),   z_l = phi(z_{l-1} U'_l + b'_l)
        h(t) = phi(h(t-1) W + z_L(t) U + b)

    Args:
        units: Positive int, H: the width of h.
        input_units: Widths of the layers that x(t) goes through, for example `(400,)`.
        input_activation: phi of these layers; None takes `activation`.
        **options: Weight options: see `Plus`; dropout and sequence options: see `DeepRNN`.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> tuple(DeepInputRNN(4, input_units=(8, 8))(np.ones((2, 5, 3))).shape)
    (2, 4)

    Notes:
        Weight order: input layer by input layer (kernel, bias), then U, W, b.
    """

    def __init__(
        self,
        units: int,
        input_units: Sequence[int],
        input_activation: Described = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        cell = DeepInputRNNCell(units, input_units, input_activation, **cell_options(**options))
        super().__init__(cell, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputRNN(DeepRNN):
    """The DO-RNN: a deep output from h(t) to y(t) (section 3.3.2, figure 2 c).

        h(t) = phi(h(t-1) W + x(t) U + b)
        y_0 = h(t),   y_l = phi(y_{l-1} V_l + c_l)

    The layer to the logits is the user's own `keras.layers.Dense` after it.

    Args:
        units: Positive int, H: the width of h.
        output_units: Widths of the output layers, for example `(400,)`.
        output_activation: phi of these layers; None takes `activation`.
        output_dropout: Dropout rate of h(t) before the output layers.
        **options: Weight options: see `Plus`; dropout and sequence options: see `DeepRNN`.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> tuple(DeepOutputRNN(4, output_units=(8,))(np.ones((2, 5, 3))).shape)
    (2, 8)

    Notes:
        Weight order: U, W, b, then output layer by output layer (kernel, bias).
    """

    def __init__(
        self,
        units: int,
        output_units: Sequence[int],
        output_activation: Described = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        cell = DeepOutputRNNCell(units, output_units, output_activation, **cell_options(**options))
        super().__init__(cell, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepOutputTransitionRNN(DeepRNN):
    """The DOT-RNN: a deep transition and a deep output (sections 3.3.1 and 3.3.2, figure 2 c).

    h(t) as in `DeepTransitionRNN`, y(t) as in `DeepOutputRNN`; with `shortcut=True` the DOT(S)-RNN.
    It can have a deep input too, so that all three of the paper's functions are deep.

    Args:
        units: Positive int, H: the width of h.
        transition_units: Widths of the layers between h(t-1) and h(t).
        output_units: Widths of the output layers.
        shortcut: Whether every later layer of the transition also sees h(t-1).
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds.
        input_units: Widths of the layers that x(t) goes through first; None for none.
        input_activation: phi of the input layers; None takes `activation`.
        output_activation: phi of the output layers; None takes `activation`.
        intermediate_activation: phi of the layers of `transition_units`; None takes `activation`.
        output_dropout: Dropout rate of h(t) before the output layers.
        shortcut_initializer: Initializer of every S_l; see `Plus`.
        **options: Weight options: see `Plus`; dropout and sequence options: see `DeepRNN`.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> layer = DeepOutputTransitionRNN(4, transition_units=(8,), output_units=(6,), shortcut=True)
    >>> tuple(layer(np.ones((2, 5, 3))).shape)
    (2, 6)

    Notes:
        Weight order: input layers, transition layers, output layers.
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
        **options: Unpack[LayerOptions],
    ) -> None:
        cell = DeepOutputTransitionRNNCell(
            units,
            transition_units,
            output_units,
            shortcut,
            input_to,
            input_units,
            input_activation,
            output_activation,
            intermediate_activation,
            **cell_options(**options),
        )
        super().__init__(cell, **options)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class StackedRNN(DeepRNN):
    """The sRNN: a stack of recurrent levels (section 3.3.3, figure 2 d).

        h_l(t) = f_l(h_l(t-1), h_{l-1}(t)),   h_0(t) = x(t)

    Args:
        units: Widths of the levels: each is then a `DeepTransitionRNNCell`, which takes the
            options. A list of cells is taken as `cells`.
        cells: List of cells instead, one a level, from below: cells of this package, gated ones
            included, or of Keras.
        skip: None: y(t) is the output of the top level. `"residual"`: from the second level on, a
            level's input is added to its output. `"all_to_output"`: y(t) is the concatenated
            outputs of all levels.
        level_dropout: Dropout rate of the input of every level but the first; None: `dropout`.
        transition_units, shortcut, input_to, intermediate_activation: Of each level; see
            `DeepTransitionRNN`.
        **options: Weight options: see `Plus`; dropout and sequence options: see `DeepRNN`.

    Call arguments, returned tensors, masks and errors: see `DeepRNN`.

    Example:

    >>> import numpy as np
    >>> tuple(StackedRNN(units=(4, 4), skip="all_to_output")(np.ones((2, 5, 3))).shape)
    (2, 8)

    Notes:
        States and weights of all levels come as one flat list, from below. Each level applies
        dropout to its own input and state.
    """

    def __init__(
        self,
        units: Sequence | None = None,
        cells: Sequence | None = None,
        skip: str | None = None,
        level_dropout: float | None = None,
        transition_units: Sequence[int] | None = None,
        shortcut: bool = False,
        input_to: str = "first",
        intermediate_activation: Described = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        own = cell_options(**options)
        cell = StackedRNNCell(
            units,
            cells,
            skip,
            level_dropout,
            transition_units,
            shortcut,
            input_to,
            intermediate_activation,
            **own,
        )
        super().__init__(cell, **options)

    def get_config(self) -> dict[str, Any]:
        return {**self.cell.get_config(), **self._config_of_loop()}

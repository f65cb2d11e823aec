"""The operator ⊕ of the paper: a transition as deep as asked."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...recurrence import Affine
from ...utils.errors import ArgumentError
from ...utils.validation import CHECKS
from ..options import Described, OperatorOptions, set_untracked
from .operator import Operator, at_all_steps, embedding_lookup


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Plus(Operator):
    """The operator ⊕: x(t) ⊕ h(t-1) = h(t), as deep as asked.

    With L layers in the transition (the paper's section 3.3.1; with shortcuts, figure 2 b*), row
    vectors throughout and [condition] being 1 where it holds, else 0:

        a_0 = h(t-1)
        a_l = phi_l(a_{l-1} W_l + [l = 1 or input_to = "all"] x(t) U_l + [l > 1] h(t-1) S_l + b_l)
        h(t) = a_L

    The layers are `transition_units` and then `units`; without `transition_units` this is the
    transition of a plain recurrent network. x(t) goes through the layers of `input_units` first
    (the deep input-to-hidden function, section 3.2.1). S_l exists with `shortcut=True`.

    Weight order: for each input layer its `input_to_hidden` kernel and bias; for each transition
    layer `input_to_hidden` (U), `hidden_to_hidden` (W), `shortcut` (S) and bias, as far as it has
    them; at the end the weights of activations.

    Args:
        units: Positive int, H: the width of h, the last layer of the transition.
        transition_units: Widths of the layers between h(t-1) and h(t), for example `(400,)`;
            None for a shallow transition.
        shortcut: Whether every later layer of the transition also sees h(t-1), DT(S)-RNN.
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds.
        input_units: Widths of the layers that x(t) goes through first; None for none.
        num_tokens: D where x(t) is a token, an integer below D that stands for its unit vector (as
            in `keras.layers.CategoryEncoding`): x(t) U is then a row of U, which is looked up
            instead of computed. None: x(t) is D numbers.
        activation: phi_l of the transition: a name, a function, or a layer such as `LpUnit`.
        input_activation: phi of the input layers; None takes `activation`.
        intermediate_activation: phi_l of the layers of `transition_units`, so that `activation` is
            that of h(t) alone; None takes `activation`.
        use_bias: Whether each layer has a bias.
        normalization: Of each layer's pre-activation before phi: `"layer"` (Ba et al.,
            arXiv:1607.06450), a Keras layer that is copied for each, or None.
        input_initializer: Initializer of each kernel that x(t) feeds; None: `kernel_initializer`.
            Glorot assumes dense inputs. For sparse inputs a normal initializer trains several times
            faster: stddev 1 for characters, 0.5 for piano-rolls (measured); not for words.
        kernel_initializer: Initializer of the kernels of the input layers, and the default of
            `input_initializer`.
        recurrent_initializer: Initializer of every W_l, and the default of S_l.
        shortcut_initializer: Initializer of every S_l. None: `recurrent_initializer`, with W_l and
            S_l scaled by 1/sqrt(2), so that the two paths into a layer have the gain of one path.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels that an input feeds.
        recurrent_regularizer: Regularizer of every W_l and S_l.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on the kernels that an input feeds.
        recurrent_constraint: Constraint on every W_l and S_l.
        bias_constraint: Constraint on the biases.

    Call arguments:
        inputs: The list `[x, h]`: x of shape (B, D), tokens of shape (B, 1), and h of shape (B, H).
        keep_mask: With tokens, the dropout mask of their rows of U, (B, 1); None for 1.
        recurrent_mask: The mask of recurrent dropout, (B, H); None for 1.

    Returns:
        The new h, shape (B, H).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> plus = Plus(4, transition_units=(8,), shortcut=True)
    >>> tuple(plus([np.ones((2, 3)), np.zeros((2, 4))]).shape)
    (2, 4)

    Notes:
        The paper draws its shortcuts past all the intermediate layers; here, as in the authors'
        published experiments, each layer after the first has one.
    """

    def __init__(
        self,
        units: int,
        transition_units: Sequence[int] | None = None,
        shortcut: bool = False,
        input_to: str = "first",
        input_units: Sequence[int] | None = None,
        input_activation: Described = None,
        intermediate_activation: Described = None,
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, **options)
        self.transition_units = CHECKS["transition_units"]("transition_units", transition_units)
        self.shortcut = CHECKS["shortcut"]("shortcut", shortcut)
        self.input_to = CHECKS["input_to"]("input_to", input_to)
        self.input_units = CHECKS["input_units"]("input_units", input_units)
        phi = CHECKS["input_activation"]("input_activation", input_activation)
        set_untracked(self, "input_activation", phi)
        if intermediate_activation is not None and not self.transition_units:
            expected = "None without `transition_units`"
            raise ArgumentError("intermediate_activation", expected, intermediate_activation)
        phi = CHECKS["intermediate_activation"]("intermediate_activation", intermediate_activation)
        set_untracked(self, "intermediate_activation", phi)

    def affine_maps(self) -> list[Affine]:
        maps, width = [], self.units
        layers = (*(self.transition_units or ()), self.units)
        for number, units in enumerate(layers, start=1):
            shortcut = number > 1 and self.shortcut
            phi = self.activation if number == len(layers) else self.intermediate_activation
            maps.append(
                Affine(
                    units,
                    (width, self.units) if shortcut else (width,),
                    x=number == 1 or self.input_to == "all",
                    activation=phi or self.activation,
                    dropped=(1,) if shortcut else (0,) if number == 1 else (),
                )
            )
            width = units
        return maps

    def step(self, affine: Callable, h: Any) -> Any:
        a = affine(0, h)
        for layer in range(1, len(self.maps)):
            a = affine(layer, a, h) if self.shortcut else affine(layer, a)
        return a

    def build_input(self, features: int) -> int:
        layers = []
        for number, units in enumerate(self.input_units or (), start=1):
            phi, width = self._copy_activation(self.input_activation or self.activation, units)
            own = {} if layers else {"initializer": self.input_initializer}
            kernel = self._make_weight(
                f"deep_input_to_hidden_{number}", "kernel", (features, width), **own
            )
            name = f"deep_input_bias_{number}"
            bias = self._make_weight(name, "bias", (width,)) if self.use_bias else None
            layers.append((kernel, bias, phi))
            features = units
        set_untracked(self, "_input_layers", layers)
        self.input_feeds_maps = not layers
        return features

    def prepare_input(self, x: Any, keep_mask: Any = None) -> Any:
        tokens = self.num_tokens
        for kernel, bias, phi in self._input_layers:
            z = embedding_lookup(x, kernel, keep_mask) if tokens else ops.matmul(x, kernel)
            x = at_all_steps(phi, z if bias is None else z + bias)
            tokens = None
        return x

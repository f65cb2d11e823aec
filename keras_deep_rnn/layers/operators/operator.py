"""The operator that every network is made of: affine maps, and a step with any code around them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ...recurrence import DEFAULT_LOOP, Affine, Loop, backend, persistent
from ...recurrence.affine import AffineMap, affine_of
from ...recurrence.fast_loop import Structure
from ...recurrence.fast_loop.weight_gradients import time_distributed
from ...utils.errors import ArgumentError, Words
from ...utils.keras_compat import autocast, sublayers
from ...utils.validation import CHECKS, positive_integer
from ..options import OperatorOptions, keras_options, set_untracked, weights_of
from .sequence import run_fast, run_plain
from .weights import AffineWeights, normalization_of


class Programs(dict):
    """Compiled functions of a layer; a copy of the layer starts without them."""

    def __deepcopy__(self, memo: dict) -> "Programs":
        return Programs()

    def __reduce__(self) -> tuple:
        return Programs, ()


class Operator(AffineWeights):
    """An operator ⊕ of one's own: affine maps, and a step that is any code around them.

        affine(i, u_1, u_2, ...) = phi_i(sum_j u_j W_ij + x(t) U_i + b_i)
        h(t) = step(affine, h(t-1))

    A subclass defines its affine maps and its equation. Kernels, biases, dropout, tokens, the
    projection of the whole input, and the fast loop over time follow from these.

    Args:
        units: Positive int, H: the width of h, and of each state unless `state_size` is overridden.
        **options: `activation`: phi: a name, a function, or a layer such as `LpUnit`, copied for
            each map that declares it; a step that applies it itself has one copy, of `units` units.
            `use_bias`: whether each map has a bias. `num_tokens`: D where x(t) is a token, an
            integer below D that stands for its unit vector, so that x(t) U is a row of U, looked
            up. `normalization`: of each z_i before phi: `"layer"` (arXiv:1607.06450), a Keras layer
            that is copied for each map, or None. Initializers, regularizers and constraints: see
            `Plus`; `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: The list `[x, h]`: x of shape (B, D), tokens of shape (B, 1), and h of shape (B, H);
            with several states `[x, s_1, s_2, ...]`.
        keep_mask: With tokens, the dropout mask of their rows of U, (B, 1); None for 1.
        recurrent_mask: The mask of recurrent dropout, (B, H); None for 1.

    Returns:
        The new h, shape (B, H), or the list of the new states.

    Raises:
        UserError: An argument is of the wrong kind, or `step` does not fit `affine_maps`.

    Example: the minimal gated unit of Zhou et al., arXiv:1603.09420, without its reset.

    >>> import keras
    >>> import numpy as np
    >>> from keras_deep_rnn import Affine, DeepRNN
    >>> class Gated(Operator):
    ...     def affine_maps(self):
    ...         return [Affine(2 * self.units, (self.units,), x=True, pieces=2)]
    ...
    ...     def step(self, affine, h):
    ...         gate, candidate = affine(0, h)
    ...         gate = keras.ops.sigmoid(gate)
    ...         return gate * h + (1 - gate) * self.activation(candidate)
    >>> layer = DeepRNN(Gated(4))
    >>> tuple(layer(np.ones((2, 5, 3))).shape), layer.recurrence
    ((2, 4), 'fast')
    """

    def __init__(self, units: int, **options: Unpack[OperatorOptions]) -> None:
        super().__init__(**keras_options(**options))
        self.refuse_unknown(options)
        own: dict[str, Any] = dict(weights_of(**options))
        self.units = positive_integer("units", units)
        set_untracked(self, "activation", CHECKS["activation"]("activation", own["activation"]))
        self.use_bias = CHECKS["use_bias"]("use_bias", own["use_bias"])
        self.num_tokens = CHECKS["num_tokens"]("num_tokens", own["num_tokens"])
        set_untracked(self, "normalization", normalization_of(own["normalization"]))
        for name in (n for n in own if n.endswith(("_initializer", "_regularizer", "_constraint"))):
            setattr(self, name, CHECKS[name](name, own[name]))
        # Tokens must not be rounded to the type that is computed in.
        self.autocast = self.autocast and self.num_tokens is None
        self._activations: list[keras.layers.Layer] = []
        self._normalizations: list[keras.layers.Layer] = []
        self._made: dict[str, int] = dict.fromkeys(("kernel", "recurrent", "bias"), 0)
        set_untracked(self, "_weights", [])
        set_untracked(self, "_loops", Programs())

    # What a subclass defines

    def affine_maps(self) -> list[Affine]:
        """The affine maps of the step, in their order."""
        raise NotImplementedError(f"{type(self).__name__} must define `affine_maps`.")

    def step(self, affine: Callable, s: Any, /) -> Any:
        """The new h (the list of the new states) from h(t-1) (their list).

        Args:
            affine: Function of i and the sources of affine map i, (B, n) each, to its value, or the
                list of its pieces.
            s: h(t-1), shape (B, H), or the list of the states.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `step`.")

    @property
    def state_size(self) -> int | list[int]:
        """H, or the list of the widths of several states."""
        return self.units

    def initial_bias(self, i: int) -> Any:
        """The initializer of the bias of map i."""
        return self.bias_initializer

    def build_input(self, features: int) -> int:
        """Makes the weights of `prepare_input`; gives the width of what it returns."""
        return features

    def prepare_input(self, x: Any, keep_mask: Any = None) -> Any:
        """The input of the affine maps from x(t), which has any number of axes before the last."""
        return x

    # One step

    def build(self, input_shape: Sequence) -> None:
        features, *hidden = (shape[-1] for shape in input_shape)
        if hidden != self._widths:
            raise ArgumentError("h", f"{self.units} units (`units`)", Words(hidden[0]), verb="have")
        if self.num_tokens:
            if features != 1:
                raise ArgumentError("x", "one token a step with `num_tokens`", Words(features))
            features = self.num_tokens
        self._build_maps(self.build_input(features))
        if all(part.activation is not self.activation for part in self.affine_maps()):
            self._track_activation("activation")

    @property
    def _widths(self) -> list[int]:
        size = self.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def call(self, inputs: Sequence, keep_mask: Any = None, recurrent_mask: Any = None) -> Any:
        x, *states = inputs
        with autocast(self.compute_dtype):
            new = self.new_states(x, states, keep_mask, recurrent_mask)
        return new if isinstance(self.state_size, (list, tuple)) else new[0]

    def new_states(
        self, x: Any, states: list, keep_mask: Any = None, recurrent_mask: Any = None
    ) -> list:
        """The list of the new states, from weights in the type that they are read in."""
        biases = self.loop_biases()
        projections = self.project(x, keep_mask)
        affine = affine_of(self.maps, projections, self.loop_kernels(), biases, recurrent_mask)
        return self.run_step(affine, states)

    def run_step(self, affine: Callable, states: list) -> list:
        """`step` from a list of states to a list of states."""
        if isinstance(self.state_size, (list, tuple)):
            return list(self.step(affine, states))
        return [self.step(affine, *states)]

    def project(self, x: Any, keep_mask: Any = None) -> list:
        """x U_i + b_i of each map that x feeds.

        Args:
            x: One step (B, D) or whole sequences, (T, B, D).
            keep_mask: With tokens, the dropout mask of their rows of U, of x's shape.
        """
        x, tokens = self.prepare_input(x, keep_mask), self.num_tokens and self.input_feeds_maps
        projections, input_kernels = [], iter(self._input_kernels)
        for part, bias in zip(self.maps, self._biases):
            if part.x:
                kernel = next(input_kernels)
                product = (
                    embedding_lookup(x, kernel, keep_mask) if tokens else ops.matmul(x, kernel)
                )
                projections.append(product + bias[0] if bias else product)
        return projections

    def loop_kernels(self) -> list[list]:
        """The kernels of the sources of each map, as tensors."""
        return [[ops.convert_to_tensor(w) for w in ws] for ws in self._kernels]

    def loop_biases(self) -> list[list]:
        """The biases that `project` has not added, as a list for each map."""
        return [[] if part.x else own for part, own in zip(self.maps, self._biases)]

    def compute_output_shape(self, input_shape: Sequence) -> Any:
        shapes = [(*input_shape[0][:-1], width) for width in self._widths]
        return shapes if isinstance(self.state_size, (list, tuple)) else shapes[0]

    # The loop over time

    def run_sequence(
        self,
        x: Any,
        states: list,
        masks: Sequence = (),
        recurrent_mask: Any = None,
        keep_mask: Any = None,
        loop: Loop = DEFAULT_LOOP,
        zoneout: float = 0.0,
        training: bool = False,
    ) -> list:
        """The states at every step, (T, B, H) each.

        Uses the fast loop unless `fallback_reason` says why it cannot.

        Args:
            x: Shape (T, B, D).
            states: The states before the first step, (B, H) each.
            masks: Boolean masks of the states, see `recurrence.run`.
            recurrent_mask: The mask of recurrent dropout, (B, H), or None.
            keep_mask: With tokens, the dropout mask of their rows of U, of x's shape, or None.
            loop: How to run.
            zoneout: Zoneout rate of inference, see `DeepRNNCell`.
            training: Whether the layer trains.
        """

        def step(affine: Callable, states: list) -> list:
            return apply_zoneout(self.run_step(affine, states), states, zoneout)

        # As Keras does where an operator with another dtype is called by itself.
        x = ops.cast(x, self.compute_dtype) if self.autocast else x
        states = [ops.cast(state, self.compute_dtype) for state in states]
        with autocast(self.compute_dtype):
            projections = self.project(x, keep_mask)
            kernels = self.loop_kernels()
            biases = [[ops.convert_to_tensor(b) for b in own] for own in self.loop_biases()]
            weights = [projections, kernels, biases]
            run = run_plain if self.fallback_reason(loop, training) else run_fast
            return run(self, step, zoneout, weights, states, masks, recurrent_mask, loop)

    @property
    def structure(self) -> Structure:
        """The structure of the step."""
        found = self._structure or self.structure_of(self.run_step, self.maps)
        set_untracked(self, "_structure", found)
        return found

    def structure_of(self, step: Callable, maps: list[AffineMap]) -> Structure:
        """The structure of another step of the operator's states."""
        return Structure(step, maps, self._widths, self.compute_dtype, self.variables)

    def step_variables(self) -> list[keras.Variable]:
        """The variables that the step reads beside the weights of its maps."""
        made = {id(weight) for weight in self._weights}
        return [v for v in self.variables if id(v) not in made and "float" in v.dtype]

    def fallback_reason(self, loop: Loop = DEFAULT_LOOP, training: bool = True) -> str | None:
        """Why the fast loop cannot be used, or None."""
        if loop.unroll:
            return "unroll=True"
        if type(self).call is not Operator.call:
            return f"{type(self).__name__} has a `call` of its own"
        for layer in sublayers(self):
            if training and "training" in inspect.signature(layer.call).parameters:
                return f"{type(layer).__name__} behaves differently in training"
        if self.built and self.structure.updated:
            return f"the step updates {self.structure.updated[0]}"
        return None

    def is_persistent(self, loop: Loop) -> bool:
        """Whether one kernel runs all steps of a small batch, see `recurrence.persistent`."""
        chain = persistent.chain_of(self.maps, self.structure, loop) if self.built else None
        if chain is None:
            return False
        chip = backend().processors(self.variables[0].value)
        return bool(persistent.layout(chain, 1, self.compute_dtype, *chip))


def embedding_lookup(tokens: Any, kernel: Any, keep_mask: Any = None) -> Any:
    """The rows of U of tokens (..., 1), each scaled by its keep mask (..., 1)."""
    # TensorFlow's gradient of a lookup is one row for each token, repeated ones too, whose norm is
    # not that of the gradient. The product makes it a gradient of all of U.
    rows = ops.take(kernel * 1, ops.cast(tokens[..., 0], "int32"), axis=0)
    return rows if keep_mask is None else rows * keep_mask


def apply_zoneout(new: list, states: list, rate: float) -> list:
    """The new states of inference: their expected values under zoneout."""
    if not rate:
        return new
    return [rate * old + (1 - rate) * state for old, state in zip(states, new)]


def at_all_steps(function: Callable, x: Any) -> Any:
    """`function` at all steps of x at once: a layer sees (B, n), as it does in a single step."""
    direct = len(x.shape) == 2 or not isinstance(function, keras.layers.Layer)
    return function(x) if direct else time_distributed(function, x)

"""The paper's two neural operators (arXiv:1312.6026, section 4): plus (⊕) and predict (▷).

    h' = x ⊕ h     summarise the input x and the history h into a new history
    y  = ▷ h       the most likely output given the history

Every network of the paper is a choice of the two. An operator is affine maps with any
differentiable code between them, and says only these: `affine_maps` and `step`. Shapes are written
as everywhere in the package: B batch, T time steps, D input features, H units of h.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ..recurrence import DEFAULT_LOOP, Affine, Loop, backend, persistent, run
from ..recurrence.affine import AffineMap, SplitMaps, affine_of
from ..recurrence.fast_loop import Structure, make_fast_loop
from ..recurrence.fast_loop.weight_gradients import time_distributed
from ..utils.errors import UserError
from ..utils.keras_compat import autocast, sublayers
from ..utils.validation import CHECKS, layer_sizes, positive_integer
from .initializers import numbered
from .options import (
    Configured,
    Described,
    KerasOptions,
    OperatorOptions,
    keep_untracked,
    keras_options,
    weights_of,
)

__all__ = ["Affine", "Operator", "Plus", "Predict"]


class Programs(dict):
    """Compiled functions of a layer; they go into no copy of it."""

    def __deepcopy__(self, memo: dict) -> "Programs":
        return Programs()

    def __reduce__(self) -> tuple:
        return Programs, ()


class Operator(Configured):
    """An operator ⊕ of one's own: affine maps, and a step that is any code around them.

        affine(i, u_1, u_2, ...) = phi_i(sum_j u_j W_ij + x(t) U_i + b_i)
        h(t) = step(affine, h(t-1))

    A subclass says which affine maps there are, and its equation. Kernels, biases, dropout, tokens,
    the product of the whole input, and the fast loop over time follow from these.

    Args:
        units: Positive int, H: the width of h, and of each state where `state_widths` says no more.
        **options: `activation`: phi: a name, a function, or a layer such as `LpUnit`, copied for
            each map that declares it. `use_bias`: whether each map has a bias. `num_tokens`: D
            where x(t) is a token, an integer below D that stands for its unit vector, so that
            x(t) U is a row of U, looked up. `normalization`: of each z_i before phi: `"layer"`
            (arXiv:1607.06450), a Keras layer that is copied for each map, or None. Initializers,
            regularizers and constraints as of `Plus`; `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: The list `[x, h]`: x of shape (B, D), tokens of shape (B, 1), and h of shape (B, H);
            with several states `[x, s_1, s_2, ...]`.

        kept: With tokens, by how much the rows of U of each count, (B, 1); None for 1.
        dropped: Factors of the units of h that recurrent dropout drops, (B, H); None for 1.

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

    # Names of the weights of a map's sources, and which options they take.
    arrows: Sequence[str] = ("hidden_to_hidden", "shortcut")
    role = "recurrent"

    def __init__(self, units: int, **options: Unpack[OperatorOptions]) -> None:
        super().__init__(**keras_options(**options))
        self.refuse_unknown(options)
        own: dict[str, Any] = dict(weights_of(**options))
        self.units = positive_integer("units", units)
        keep_untracked(self, "activation", CHECKS["activation"]("activation", own["activation"]))
        self.use_bias = CHECKS["use_bias"]("use_bias", own["use_bias"])
        self.num_tokens = CHECKS["num_tokens"]("num_tokens", own["num_tokens"])
        keep_untracked(self, "normalization", _normalization(own["normalization"]))
        for name in (n for n in own if n.endswith(("_initializer", "_regularizer", "_constraint"))):
            setattr(self, name, CHECKS[name](name, own[name]))
        # Tokens must not be rounded to the type that is computed in.
        self.autocast = self.autocast and self.num_tokens is None
        self._activations: list[keras.layers.Layer] = []
        self._normalizations: list[keras.layers.Layer] = []
        self._made: dict[str, int] = dict.fromkeys(("kernel", "recurrent", "bias"), 0)
        keep_untracked(self, "_weights", [])
        keep_untracked(self, "_loops", Programs())

    # What a subclass says.

    def affine_maps(self) -> list[Affine]:
        """The affine maps of the step, in their order."""
        raise NotImplementedError(f"{type(self).__name__} must say its `affine_maps`.")

    def step(self, affine: Callable, s: Any, /) -> Any:
        """The new h (the list of the new states) from h(t-1) (their list).

        Args:
            affine: Function of i and the sources of affine map i, (B, n) each, to its value, or the
                list of its pieces.
            s: h(t-1), shape (B, H), or the list of the states.
        """
        raise NotImplementedError(f"{type(self).__name__} must say its `step`.")

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

    def prepare_input(self, x: Any, kept: Any = None) -> Any:
        """What the affine maps take of x(t), which has any number of axes before the last."""
        return x

    # Weights

    def build(self, input_shape: Sequence) -> None:
        features, *hidden = (shape[-1] for shape in input_shape)
        if hidden != self._widths:
            raise UserError(f"`h` must have {self.units} units (`units`), got {hidden[0]}.")
        if self.num_tokens:
            if features != 1:
                raise UserError(f"`x` must be one token a step with `num_tokens`, got {features}.")
            features = self.num_tokens
        self._build_maps(self.build_input(features))

    @property
    def _widths(self) -> list[int]:
        size = self.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def _build_maps(self, features: int | None) -> None:
        """Makes the weights of all maps, in their order: U_i, W_i1, W_i2, ..., b_i."""
        maps, of_input, kernels, biases = [], [], [], []
        for i, part in enumerate(self.affine_maps()):
            phi, width = self._own_activation(part.activation, part.units)
            if part.pieces < 1 or part.units % part.pieces:
                raise UserError(
                    f"`pieces` of affine map {i} must divide its {part.units} units, got "
                    f"{part.pieces}."
                )
            if part.x:
                how = {"initializer": self.input_initializer} if self.input_feeds_maps else {}
                shape = features, width
                of_input.append(self._weight(f"input_to_hidden_{i + 1}", "kernel", shape, **how))
            kernels.append([])
            for j, source in enumerate(part.sources):
                arrow = self.arrows[min(j, len(self.arrows) - 1)]
                arrow += f"_{j}" if j >= len(self.arrows) else ""
                how = self._start(j, part)
                shape = source, width
                kernels[-1].append(self._weight(f"{arrow}_{i + 1}", self.role, shape, **how))
            biases.append([])
            if self.use_bias if part.bias is None else part.bias:
                bias = self._weight(f"bias_{i + 1}", "bias", (width,), self.initial_bias(i))
                biases[-1].append(bias)
            phi = _after(self._own_normalization(width), phi)
            maps.append(
                AffineMap(width, len(part.sources), part.x, phi, tuple(part.dropped), part.pieces)
            )
        keep_untracked(self, "maps", maps)
        keep_untracked(self, "_of_input", of_input)
        keep_untracked(self, "_kernels", kernels)
        keep_untracked(self, "_biases", biases)
        keep_untracked(self, "_structure", None)

    # Whether the affine maps take x(t) itself, which may be tokens.
    input_feeds_maps = True

    def _start(self, j: int, part: Affine) -> dict:
        """How the kernel of a map's source j starts where its role alone does not say it."""
        if len(part.sources) < 2 or self.role != "recurrent":
            return {}
        if self.shortcut_initializer is None:
            return {"gain": len(part.sources) ** -0.5}
        return {"initializer": self.shortcut_initializer} if j else {}

    def _weight(
        self, name: str, role: str, shape: tuple, initializer: Any = None, gain: float = 1.0
    ) -> keras.Variable:
        """Makes a weight; it is an attribute of its own name, which is where frameworks look."""
        shared = getattr(self, f"{role}_initializer")
        initializer = numbered(initializer or shared, self._made[role])
        self._made[role] += 1
        weight = self.add_weight(
            name=name,
            shape=shape,
            initializer=lambda shape, dtype=None: gain * initializer(shape, dtype=dtype),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )
        setattr(self, name, weight)
        self._weights.append(weight)
        return weight

    def _own_activation(self, activation: Any, units: int) -> tuple[Any, int]:
        """The activation of one map, a copy where it is a layer, and the width of its z."""
        width = units * getattr(activation, "pieces", 1)
        if not isinstance(activation, keras.layers.Layer):
            return activation, width
        made = self._copy(activation, f"activation_{len(self._activations)}", width)
        self._activations.append(made)
        return made, width

    def _own_normalization(self, width: int) -> keras.layers.Layer | None:
        if self.normalization is None:
            return None
        name = f"normalization_{len(self._normalizations)}"
        self._normalizations.append(self._copy(self.normalization, name, width))
        return self._normalizations[-1]

    def _copy(self, layer: keras.layers.Layer, name: str, width: int) -> keras.layers.Layer:
        config = {**layer.get_config(), "name": name, "dtype": self.dtype_policy}
        made = type(layer).from_config(config)
        made.build((None, width))
        setattr(self, name, made)  # TensorFlow's checkpoints do not look into lists
        return made

    # One step

    def call(self, inputs: Sequence, kept: Any = None, dropped: Any = None) -> Any:
        x, *states = inputs
        with autocast(self.compute_dtype):
            new = self.new_states(x, states, kept, dropped)
        return new if isinstance(self.state_size, (list, tuple)) else new[0]

    def new_states(self, x: Any, states: list, kept: Any = None, dropped: Any = None) -> list:
        """The list of the new states, from weights in the type that they are read in."""
        biases = self._in_step(self._biases)
        projections = self.project(x, kept)
        affine = affine_of(self.maps, projections, self.loop_kernels(), biases, dropped)
        return self.run_step(affine, states)

    def run_step(self, affine: Callable, states: list) -> list:
        """`step` from a list of states to a list of states."""
        if isinstance(self.state_size, (list, tuple)):
            return list(self.step(affine, states))
        return [self.step(affine, *states)]

    def project(self, x: Any, kept: Any = None) -> list:
        """x U_i + b_i of each map that x feeds.

        x may be one step (B, D) or whole sequences, (T, B, D). `kept`, of x's shape, says by how
        much the rows of each token count: 0 where its unit is dropped.
        """
        x, tokens = self.prepare_input(x, kept), self.num_tokens and self.input_feeds_maps
        projections, of_input = [], iter(self._of_input)
        for part, bias in zip(self.maps, self._biases):
            if part.x:
                kernel = next(of_input)
                projection = looked_up(x, kernel, kept) if tokens else ops.matmul(x, kernel)
                projections.append(projection + bias[0] if bias else projection)
        return projections

    def loop_kernels(self) -> list[list]:
        """The kernels of the sources of each map, as tensors."""
        return [[ops.convert_to_tensor(w) for w in ws] for ws in self._kernels]

    def _in_step(self, biases: list[list]) -> list[list]:
        """The biases that `project` has not added."""
        return [[] if part.x else own for part, own in zip(self.maps, biases)]

    # The loop over time

    def run_sequence(
        self,
        x: Any,
        states: list,
        keep: Sequence = (),
        dropped: Any = None,
        kept: Any = None,
        loop: Loop = DEFAULT_LOOP,
        zoneout: float = 0.0,
        training: bool = False,
    ) -> list:
        """The states at every step, (T, B, H) each.

        Args:
            x: Shape (T, B, D).
            states: The states before the first step, (B, H) each.
            keep: Boolean masks, see `recurrence.run`.
            dropped: Factors of recurrent dropout, (B, H), or None.
            kept: As of `project`.
            loop: How to run.
            zoneout: By how much a state keeps its value, see `DeepRNNCell`.
            training: Whether the layer trains.
        """

        def step(affine: Callable, states: list) -> list:
            return zoned_out(self.run_step(affine, states), states, zoneout)

        with autocast(self.compute_dtype):
            tensor = ops.convert_to_tensor
            projections = self.project(x, kept)
            kernels = self.loop_kernels()
            biases = [[tensor(b) for b in own] for own in self._in_step(self._biases)]
            if self.fallback_reason(loop, training) is None:
                variables = self._step_variables()
                learned = [tensor(v) for v in variables]
                maps, of_step = self.maps, step
                if any(part.pieces > 1 for part in maps) and backend().splits_slowly():
                    split = SplitMaps(maps)
                    maps, of_step = split.maps, split.step(step)
                    fed = iter(projections)
                    of_maps = [[next(fed)] if part.x else [] for part in self.maps]
                    projections = [p for found in split.to_pieces(of_maps) for p in found]
                    kernels, biases = split.to_pieces(kernels), split.to_pieces(biases)
                xla = loop.compiled(states[0].shape[0])
                paths = tuple(variable.path for variable in variables)
                key = loop, xla, loop.parts(), loop.one_product(), zoneout, paths
                if key not in self._loops:
                    structure = self.structure
                    if zoneout or maps is not self.maps:
                        structure = self._structure_of(of_step, maps)
                    self._loops[key] = make_fast_loop(
                        maps, of_step, structure, variables, self.compute_dtype, loop, xla
                    )
                weights = [kernels, biases, learned]
                return self._loops[key](projections, states, keep, dropped, weights)

            def one_step(projections: list, states: list) -> list:
                affine = affine_of(self.maps, projections, kernels, biases, dropped)
                return step(affine, states)

            updated = self.non_trainable_variables
            return run(one_step, projections, states, keep, loop.unroll, updated)

    @property
    def structure(self) -> Structure:
        """What the step does with its affine maps."""
        found = self._structure or self._structure_of(self.run_step, self.maps)
        keep_untracked(self, "_structure", found)
        return found

    def _structure_of(self, step: Callable, maps: list[AffineMap]) -> Structure:
        return Structure(step, maps, self._widths, self.compute_dtype, self.variables)

    def _step_variables(self) -> list[keras.Variable]:
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

    def fits_chip(self, loop: Loop) -> bool:
        """Whether one kernel runs all steps of a small batch, see `recurrence.persistent`."""
        chain = persistent.chain_of(self.maps, self.structure, loop) if self.built else None
        here = backend().processors()
        return chain is not None and bool(persistent.layout(chain, 1, self.compute_dtype, *here))

    def compute_output_shape(self, input_shape: Sequence) -> Any:
        shapes = [(*input_shape[0][:-1], width) for width in self._widths]
        return shapes if isinstance(self.state_size, (list, tuple)) else shapes[0]


def looked_up(x: Any, kernel: Any, kept: Any = None) -> Any:
    """The rows of U of tokens (..., 1), each times its number of `kept` (..., 1)."""
    # TensorFlow's gradient of a lookup is one row for each token, repeated ones too, whose norm is
    # not that of the gradient. The product makes it a gradient of all of U.
    rows = ops.take(kernel * 1, ops.cast(x[..., 0], "int32"), axis=0)
    return rows if kept is None else rows * kept


def zoned_out(new: list, states: list, rate: float) -> list:
    """The new states in inference, each of which keeps that share of what it was."""
    if not rate:
        return new
    return [rate * old + (1 - rate) * state for old, state in zip(states, new)]


def in_rows(function: Callable, x: Any) -> Any:
    """`function` at all steps of x at once: a layer sees (B, n), as it does in a single step."""
    plain = len(x.shape) == 2 or not isinstance(function, keras.layers.Layer)
    return function(x) if plain else time_distributed(function, x)


def _after(first: Any, second: Any) -> Any:
    """The composition of two functions, each of which may be None."""
    if first is None or second is None:
        return first or second
    return lambda z: second(first(z))


def _normalization(value: Any) -> keras.layers.Layer | None:
    if value is None or value == "layer":
        return value and keras.layers.LayerNormalization(epsilon=1e-5)
    return CHECKS["normalization"]("normalization", value)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Plus(Operator):
    """The operator ⊕: x(t) ⊕ h(t-1) = h(t), as deep as asked.

    With L layers in the transition (the paper's section 3.3.1; with shortcuts, figure 2 b*), row
    vectors throughout and [condition] being 1 where it holds, else 0:

        a_0 = h(t-1)
        a_l = phi(a_{l-1} W_l + [l = 1 or input_to = "all"] x(t) U_l + [l > 1] h(t-1) S_l + b_l)
        h(t) = a_L

    The layers are `transition_units` and then `units`; without `transition_units` this is the
    transition of a plain recurrent network. x(t) goes through the layers of `input_units` first
    (the deep input-to-hidden function, section 3.2.1). S_l is there with `shortcut=True`.

    The weights come in this order: for each input layer its `input_to_hidden` kernel and bias; for
    each transition layer `input_to_hidden` (U), `hidden_to_hidden` (W), `shortcut` (S) and bias, as
    far as it has them; at the end the weights of activations that learn.

    Args:
        units: Positive int, H: the width of h, the last layer of the transition.
        transition_units: Widths of the layers between h(t-1) and h(t), for example `(400,)`;
            None for a shallow transition.
        shortcut: Whether every later layer of the transition also sees h(t-1), DT(S)-RNN.
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds.
        input_units: Widths of the layers that x(t) goes through first; None for none.
        num_tokens: D where x(t) is a token, an integer below D that stands for its unit vector (as
            in `keras.layers.CategoryEncoding`): x(t) U is a row of U then, which is looked up
            instead of computed. None: x(t) is D numbers.
        activation: phi of the transition: a name, a function, or a layer such as `LpUnit`.
        input_activation: phi of the input layers; None takes `activation`.
        use_bias: Whether each layer has a bias.
        normalization: Of each layer's pre-activation before phi: `"layer"` (Ba et al.,
            arXiv:1607.06450), a Keras layer that is copied for each, or None.
        input_initializer: For each kernel that x(t) feeds. None: `kernel_initializer`. Glorot's
            distribution expects a sum of D numbers; where few of them are not 0, a Gaussian lets a
            network learn several times faster: measured, of deviation 1 for characters (unlike
            words, which are too rare for it), and of 0.5 for piano-rolls.
        kernel_initializer: For the kernels of the input layers, if need be for those of x(t).
        recurrent_initializer: For every W_l, and for S_l unless that has its own.
        shortcut_initializer: For every S_l. None: W_l and S_l both come from
            `recurrent_initializer` and are scaled by 1/sqrt(2), so that the two paths into a layer
            together have the gain that one path has.
        bias_initializer: For every bias.
        kernel_regularizer: Regularizer of the kernels that an input feeds.
        recurrent_regularizer: Regularizer of every W_l and S_l.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on the kernels that an input feeds.
        recurrent_constraint: Constraint on every W_l and S_l.
        bias_constraint: Constraint on the biases.

    Call arguments:
        inputs: The list `[x, h]`: x of shape (B, D), tokens of shape (B, 1), and h of shape (B, H).
        kept: With tokens, by how much the rows of U of each count, (B, 1): 0 where its unit is
            dropped. None for 1.

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
        **options: Unpack[OperatorOptions],
    ) -> None:
        super().__init__(units, **options)
        self.transition_units = CHECKS["transition_units"]("transition_units", transition_units)
        self.shortcut = CHECKS["shortcut"]("shortcut", shortcut)
        self.input_to = CHECKS["input_to"]("input_to", input_to)
        self.input_units = CHECKS["input_units"]("input_units", input_units)
        phi = CHECKS["input_activation"]("input_activation", input_activation)
        keep_untracked(self, "input_activation", phi)

    def affine_maps(self) -> list[Affine]:
        maps, width = [], self.units
        for number, units in enumerate((*(self.transition_units or ()), self.units)):
            shortcut = number > 0 and self.shortcut
            maps.append(
                Affine(
                    units,
                    (width, self.units) if shortcut else (width,),
                    x=number == 0 or self.input_to == "all",
                    activation=self.activation,
                    dropped=(1,) if shortcut else (0,) if number == 0 else (),
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
            phi, width = self._own_activation(self.input_activation or self.activation, units)
            how = {} if layers else {"initializer": self.input_initializer}
            kernel = self._weight(
                f"deep_input_to_hidden_{number}", "kernel", (features, width), **how
            )
            name = f"deep_input_bias_{number}"
            bias = self._weight(name, "bias", (width,)) if self.use_bias else None
            layers.append((kernel, bias, phi))
            features = units
        keep_untracked(self, "_input_layers", layers)
        self.input_feeds_maps = not layers
        return features

    def prepare_input(self, x: Any, kept: Any = None) -> Any:
        tokens = self.num_tokens
        for kernel, bias, phi in self._input_layers:
            z = looked_up(x, kernel, kept) if tokens else ops.matmul(x, kernel)
            x = in_rows(phi, z if bias is None else z + bias)
            tokens = None
        return x


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Predict(Operator):
    """The operator ▷: y(t) = ▷ h(t), the deep output (section 3.3.2, figure 2 c).

        a_0 = h(t)
        a_l = phi(a_{l-1} V_l + b_l)
        y(t) = a_L

    The last layer to the classes is the user's own `keras.layers.Dense`. The weights come layer by
    layer: the `hidden_to_output` kernel (V), the bias; at the end those of activations that learn.

    Args:
        output_units: Widths of the layers, for example `(400,)`.
        output_activation: phi: a name, a function, or a layer such as `Maxout`.
        use_bias: Whether each layer has a bias.
        kernel_initializer: For every V_l.
        bias_initializer: For every bias.
        kernel_regularizer: Regularizer of every V_l.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on every V_l.
        bias_constraint: Constraint on the biases.

    Call arguments:
        h: Shape (B, H) or (B, T, H).

    Returns:
        y, of h's shape but for the last axis, which is the last of `output_units`.

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> tuple(Predict((8, 5))(np.zeros((2, 4))).shape)
    (2, 5)
    """

    arrows = ("hidden_to_output",)
    role = "kernel"

    def __init__(
        self,
        output_units: Sequence[int],
        output_activation: Described = "tanh",
        use_bias: bool = True,
        kernel_initializer: Described = "glorot_uniform",
        bias_initializer: Described = "zeros",
        kernel_regularizer: Described = None,
        bias_regularizer: Described = None,
        kernel_constraint: Described = None,
        bias_constraint: Described = None,
        **options: Unpack[KerasOptions],
    ) -> None:
        output_units = layer_sizes("output_units", output_units)
        phi = CHECKS["output_activation"]("output_activation", output_activation)
        super().__init__(
            output_units[-1],
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **options,
        )
        self.output_units = output_units
        keep_untracked(self, "output_activation", phi or keras.activations.linear)

    def affine_maps(self) -> list[Affine]:
        return [
            Affine(units, (width,), activation=self.output_activation)
            for width, units in zip((self._features, *self.output_units), self.output_units)
        ]

    def step(self, affine: Callable, h: Any) -> Any:
        for layer in range(len(self.output_units)):
            h = affine(layer, h)
        return h

    def build(self, input_shape: Sequence) -> None:
        self._features = input_shape[-1]
        self._build_maps(None)

    def call(self, h: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] -- no x
        y = ops.reshape(h, (-1, h.shape[-1]))
        y = self.step(affine_of(self.maps, [], self._kernels, self._biases), y)
        return ops.reshape(y, (*ops.shape(h)[:-1], y.shape[-1]))

    def compute_output_shape(self, input_shape: Sequence) -> tuple:
        return (*input_shape[:-1], self.output_units[-1])

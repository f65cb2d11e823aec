"""`DeepRNN`: the recurrent layer that every network of the package is, with a cell of its own.

Shapes: B batch, T time steps, D input features, H units of h.
"""

from collections.abc import Sequence
from typing import Any, Unpack, get_type_hints

import keras
import numpy as np
from keras import ops

from ..recurrence import Loop, backend, warn_if_slow
from ..utils.errors import ArgumentError, UserError, Words
from ..utils.keras_compat import autocast
from ..utils.validation import CHECKS, flag
from .carried_state import CarriedState
from .cells import Cell, DeepRNNCell
from .cells.sequence import recurrence_of, run_sequence
from .inference import inference_of
from .operators.operator import Programs
from .options import Configured, LoopOptions, OperatorOptions, keras_options
from .shape_checks import check_call, check_sequences, check_states, shape_of
from .stepper import Stepper


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepRNN(Configured, keras.layers.RNN):
    """A recurrent layer given by its two operators, each any Keras layer (section 4 of the paper).

        h(t) = x(t) ⊕ h(t-1)
        y(t) = ▷ h(t)

    All recurrent layers of the package are this one with a cell of their own.

    Args:
        plus: ⊕: an `Operator`, such as `Plus`, or any Keras layer called with `[x, h]`, see
            `DeepRNNCell`. Instead a cell of this package, with its ⊕, ▷ and options.
        predict: ▷, a Keras layer called with h; None returns h itself.
        state_size: H; None: `plus.state_size` or `plus.units`.
        dropout: Dropout rate of x; one mask for the whole sequence. With tokens all occurrences of
            a token in a row are dropped, or none.
        recurrent_dropout: Recurrent dropout rate: of h(t-1) where it enters an affine map; one mask
            for the whole sequence.
        output_dropout: Dropout rate of h(t) before ▷; one mask for the whole sequence. h(t) itself
            is carried without it.
        zoneout: Zoneout rate (arXiv:1606.01305): the probability with which each unit of a state
            keeps its value at a step of training; inference takes the expected value.
        learn_initial_state: Whether the states before the first step are weights, initially zero;
            else they are zero.
        seed: Int, makes the masks reproducible; None for a random one.
        return_sequences: Whether to return y at every step, (B, T, units of y), or at the last.
        return_state: Whether to return the last states too, (B, H) each.
        return_state_sequences: Whether to return the states of every step too, (B, T, H) each.
            `Bidirectional` takes it only together with `return_state`, and does not reverse those
            of the backward layer.
        go_backwards: Whether to read the sequence from its end; outputs and mask are reversed too.
        stateful: Whether each batch starts from the last states of the batch before it.
        unroll: Whether to unroll the loop; T must be known.
        zero_output_for_mask: Whether the output at a masked step is zero, or the previous output.
        jit_compile: Whether XLA compiles the recurrence on TensorFlow; None: yes, unless the
            environment variable KERAS_DEEP_RNN_XLA is 0. An export never contains such code.
        batch_parts: Number of parts of the batch whose loops run in parallel; None: on TensorFlow
            without a GPU one for each core, of at least 4 rows, else 1.
        remat: Gradient checkpointing: store only the states and recompute the affine maps in
            chunks of this many steps during the backward pass. None stores them all.
        persistent: Whether one kernel that keeps the weights on the chip may run all steps: on JAX
            and PyTorch with an NVIDIA GPU of the Hopper generation or newer, where the network is
            a deep transition and fits; see `recurrence` and docs/accelerator.md.
        activity_regularizer, name, dtype, trainable: As for every Keras layer.

    Call arguments:
        sequences: x, shape (B, T, D).
        initial_state: The states before the first step, (B, H) each; None for the initial or the
            carried ones.
        mask: Boolean, (B, T). At a masked step h stays as it is, and x may be anything; the output
            is the previous one, or zero where there is none.
        training: Whether to drop units.
        reset: (B,) or (B, 1), 1 for each row that starts from the initial state in this batch,
            else 0.

    Returns:
        y, then the last states (`return_state`), then the states of all steps
        (`return_state_sequences`).

    Raises:
        UserError: An argument, or the shape of an input, is not as described here.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> x, h = keras.Input((6,)), keras.Input((4,))
    >>> new_h = keras.layers.Dense(4, "tanh")(keras.layers.Concatenate()([x, h]))
    >>> plus = keras.Model([x, h], new_h)
    >>> layer = DeepRNN(plus, predict=keras.layers.Dense(3), state_size=4)
    >>> tuple(layer(np.ones((2, 5, 6))).shape)
    (2, 3)
    """

    parts = ("cell",)

    def __init__(
        self,
        plus: keras.layers.Layer,
        predict: keras.layers.Layer | None = None,
        state_size: int | Sequence[int] | None = None,
        *,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        output_dropout: float = 0.0,
        zoneout: float = 0.0,
        learn_initial_state: bool = False,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        return_state_sequences: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        jit_compile: bool | None = None,
        batch_parts: int | None = None,
        remat: int | None = None,
        persistent: bool = True,
        activity_regularizer: Any = None,
        **_: Unpack[OperatorOptions],
    ) -> None:
        self.refuse_unknown(_)
        plus = CHECKS["plus"]("plus", plus)
        of_cell = {
            "predict": predict,
            "state_size": state_size,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "output_dropout": output_dropout,
            "zoneout": zoneout,
            "learn_initial_state": learn_initial_state,
            "seed": seed,
        }
        if isinstance(plus, Cell):
            cell = plus
            # Layers with arguments of their own have given these to the cell that they made.
            extra = [n for n, v in of_cell.items() if v] if "plus" in self.arguments() else []
            if extra:
                raise ArgumentError(
                    extra[0],
                    f"given to the {type(cell).__name__}",
                    Words(f"{of_cell[extra[0]]!r} beside it"),
                )
        else:
            # A path that is the same in every process.
            cell = DeepRNNCell(plus, **of_cell, name="cell", dtype=_.get("dtype"))
        super().__init__(
            cell,
            return_sequences=flag("return_sequences", return_sequences),
            return_state=flag("return_state", return_state),
            go_backwards=flag("go_backwards", go_backwards),
            stateful=flag("stateful", stateful),
            unroll=flag("unroll", unroll),
            zero_output_for_mask=flag("zero_output_for_mask", zero_output_for_mask),
            activity_regularizer=activity_regularizer,
            **keras_options(**_),
        )
        self.return_state_sequences = flag("return_state_sequences", return_state_sequences)
        self.jit_compile = CHECKS["jit_compile"]("jit_compile", jit_compile)
        self.batch_parts = CHECKS["batch_parts"]("batch_parts", batch_parts)
        self.remat = CHECKS["remat"]("remat", remat)
        self.persistent = CHECKS["persistent"]("persistent", persistent)
        self.autocast = self.autocast and cell.input_tokens is None
        object.__setattr__(self, "_steps", Programs())

    def build(self, sequences_shape: Sequence, initial_state_shape: Any = None) -> None:
        check_sequences(self, sequences_shape)
        self._features = sequences_shape[-1]
        warn_if_slow(self.compute_dtype)
        if not self.cell.built:
            self.cell.build((sequences_shape[0], sequences_shape[-1]))
            self.cell.built = True
        if self.stateful and self.states is None:
            if self.cell.learn_initial_state:
                raise UserError("`learn_initial_state` must be False with `stateful=True`.")
            batch = sequences_shape[0]
            if batch is None:
                raise UserError(
                    "`stateful=True` needs a known batch size: give the model's input a "
                    f"`batch_size`, got a shape of {tuple(sequences_shape)}."
                )
            shapes = [(batch, width) for width in self.state_size]
            self.carried = CarriedState(shapes, dtype=self.dtype_policy, name="carried")
            # Set past Keras's tracking, which would count them among this layer's own weights.
            object.__setattr__(self, "states", self.carried.states)

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(("initial_state", "mask"), args)) | kwargs
        names = ("initial_state", "mask", "reset")
        check_call(self, sequences, **{name: given.get(name) for name in names})
        if not hasattr(sequences, "shape"):
            sequences = ops.convert_to_tensor(sequences)
        with backend().explained():
            return super().__call__(sequences, *args, **kwargs)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        reset: Any = None,
    ) -> Any:
        with autocast(self.compute_dtype):
            return self._call(sequences, initial_state, mask, bool(training), reset)

    def _call(
        self, sequences: Any, initial_state: Any, mask: Any, training: bool, reset: Any
    ) -> Any:
        states = self._first_states(sequences, initial_state, reset)
        if self.autocast:  # `stateless_call` leaves it out
            sequences = ops.cast(sequences, self.compute_dtype)
        # In the loop time is the first axis.
        sequences = ops.swapaxes(sequences, 0, 1)
        if mask is not None:
            mask = ops.expand_dims(ops.cast(ops.transpose(mask), "bool"), -1)
            # A masked step may hold anything, and takes no part in a gradient.
            sequences = ops.where(mask, sequences, ops.zeros_like(sequences))
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=0)
            mask = None if mask is None else ops.flip(mask, axis=0)

        y, state_sequences = run_sequence(self.cell, sequences, states, mask, training, self._loop)
        # The cells may have another dtype.
        y, *state_sequences = (ops.cast(z, self.compute_dtype) for z in (y, *state_sequences))
        self.cell.reset_dropout_mask()
        self.cell.reset_recurrent_dropout_mask()

        last_states = [sequence[-1] for sequence in state_sequences]
        if self.stateful:
            for variable, state in zip(self.states, last_states):
                variable.assign(ops.cast(ops.stop_gradient(state), variable.dtype))
        if mask is not None:
            y = ops.where(self._has_output(mask), y, ops.zeros_like(y))

        result = [ops.swapaxes(y, 0, 1) if self.return_sequences else y[-1]]
        if self.return_state:
            result += last_states
        if self.return_state_sequences:
            result += [ops.swapaxes(sequence, 0, 1) for sequence in state_sequences]
        return result[0] if len(result) == 1 else tuple(result)

    @property
    def recurrence(self) -> str | list[str]:
        """Which loop over time runs: "fast", "persistent", or "plain" and why.

        A list for a stack, with an entry a level.
        """
        return recurrence_of(self.cell, self._loop)

    @property
    def _loop(self) -> Loop:
        return Loop(self.unroll, self.jit_compile, self.batch_parts, self.remat, self.persistent)

    def step(self, x_t: Any, states: Sequence | None = None) -> tuple[Any, list]:
        """One time step for online inference, by a function that is compiled once for the layer.

        There is no dropout, and the layer keeps no state: pass the returned states with the next x.

        Args:
            x_t: x(t), shape (B, D).
            states: List of the states at t-1, (B, H) each; None for zeros.

        Returns:
            y(t), shape (B, units of y), and the list of the states at t.

        Raises:
            UserError: An input has not the shape described here, or the layer reads backwards.

        Example:

        >>> import numpy as np
        >>> from keras_deep_rnn import DeepTransitionRNN
        >>> layer = DeepTransitionRNN(4, transition_units=(8,))
        >>> y, states = layer.step(np.ones((1, 3)))
        >>> y, states = layer.step(np.ones((1, 3)), states)
        >>> tuple(y.shape)
        (1, 4)
        """
        if self.go_backwards:
            raise UserError("`step` goes forwards, but the layer has `go_backwards=True`.")
        shape = shape_of(x_t)
        if len(shape) != 2:
            raise ArgumentError("x_t", "shape (B, D)", Words(shape), verb="have")
        if not self.built and self.stateful:
            raise UserError("`step` needs a layer with `stateful=True` built, with its batch size.")
        if not self.built:
            self.build((None, 1, shape[1]))
        if shape[1] != self._features:
            raise ArgumentError("x_t", f"D = {self._features} features", Words(shape), verb="have")
        if isinstance(x_t, np.ndarray) or not ops.is_tensor(x_t):
            is_token = self.cell.input_tokens is not None
            x_t = backend().from_numpy(x_t, "int32" if is_token else self.compute_dtype)
        if states is None:
            states = list(self.get_initial_state(ops.shape(x_t)[0]))
        check_states("states", states, self.state_size, shape[0])
        xla = self._loop.compiled()
        if xla not in self._steps:
            self._steps[xla] = backend().single_step(inference_of(self.cell), self.cell, xla)
        return self._steps[xla](x_t, list(states))

    def stepper(self) -> Stepper:
        """A frozen snapshot of the weights that computes one time step in NumPy; see `Stepper`.

        Its overhead is a small fraction of that of `step`, for online inference of small batches.

        Returns:
            A function of x(t), shape (B, D), and the list of the states at t-1, (B, H) each, to
            y(t) and the list of the states at t.

        Raises:
            UserError: The layer is not built or reads backwards, or its step cannot be frozen.

        Example:

        >>> import numpy as np
        >>> from keras_deep_rnn import DeepTransitionRNN
        >>> layer = DeepTransitionRNN(4, transition_units=(8,))
        >>> layer.build((None, None, 3))
        >>> stepper = layer.stepper()
        >>> y, states = stepper(np.ones((1, 3)))
        >>> y, states = stepper(np.ones((1, 3)), states)
        >>> y.shape
        (1, 4)
        """
        return Stepper(self)

    def _has_output(self, mask: Any) -> Any:
        """Where the output is not zero, (T, B, 1): a masked step repeats the one before it."""
        return mask if self.zero_output_for_mask else ops.cumsum(ops.cast(mask, "int32"), 0) > 0

    def _first_states(self, sequences: Any, initial_state: Any, reset: Any) -> list:
        if initial_state is None and self.stateful:
            # Copies: PyTorch overwrites the old states in place, which the gradient needs.
            initial_state = [ops.copy(state) for state in self.states]
        elif initial_state is None:
            initial_state = self.get_initial_state(ops.shape(sequences)[0])
        states = [
            ops.cast(ops.convert_to_tensor(state), self.cell.compute_dtype)
            for state in keras.tree.flatten(initial_state)
        ]
        if reset is None:
            return states
        fresh = ops.cast(ops.reshape(reset, (-1, 1)), "bool")
        first = self.get_initial_state(ops.shape(sequences)[0])
        # Also of a state that is not finite nothing is left.
        return [ops.where(fresh, start, state) for state, start in zip(states, first)]

    def compute_output_shape(
        self, sequences_shape: Sequence, initial_state_shape: Any = None
    ) -> Any:
        batch, length = sequences_shape[0], sequences_shape[1]
        time = (length,) if self.return_sequences else ()
        shapes = [(batch, *time, self.cell.output_size)]
        if self.return_state:
            shapes += [(batch, width) for width in self.state_size]
        if self.return_state_sequences:
            shapes += [(batch, length, width) for width in self.state_size]
        return shapes[0] if len(shapes) == 1 else tuple(shapes)

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        if mask is not None and self.go_backwards:
            mask = ops.flip(mask, axis=1)
        masks = [mask if self.return_sequences else None]
        masks += [None] * (len(self.state_size) if self.return_state else 0)
        masks += [mask] * (len(self.state_size) if self.return_state_sequences else 0)
        return masks[0] if len(masks) == 1 else masks

    def get_config(self) -> dict[str, Any]:
        if "plus" in self.arguments() and type(self.cell) is not DeepRNNCell:
            cell = keras.saving.serialize_keras_object(self.cell)
            return {**self._config_of_loop(), "plus": cell}
        config = super().get_config()
        if "state_size" in config:  # Keras makes a list of it
            config["state_size"] = self.cell.state_size
        return config

    def _config_of_loop(self) -> dict[str, Any]:
        """The configuration of the layer without its cell."""
        names = (*get_type_hints(LoopOptions), "activity_regularizer")
        of_loop = {n: keras.saving.serialize_keras_object(getattr(self, n)) for n in names}
        return {**keras.layers.Layer.get_config(self), **of_loop}

"""The recurrent layer of Keras that every network of the package is, with a cell of its own.

Shapes: B batch, T time steps, D input features, H units of h.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Unpack, get_type_hints

import keras
import numpy as np
from keras import ops

from ..recurrence import Loop, backend, warn_if_slow
from ..utils.errors import UserError
from ..utils.keras_compat import autocast, sublayers
from ..utils.validation import CHECKS, flag
from .cells import Cell, DeepRNNCell, as_list
from .operators import Programs
from .options import Configured, LoopOptions, OperatorOptions, keras_options
from .stacked import StackedRNNCell, recurrence_of, run_sequence
from .stepper import Stepper


class CarriedState(keras.layers.Layer):
    """The states that a stateful layer carries from batch to batch.

    They are variables of a layer of their own, so that the JAX trainer keeps them, but not
    weights: they are neither saved nor counted, as in Keras.
    """

    def __init__(self, shapes: Sequence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.states = [
            self.add_weight(name=f"state_{i}", shape=shape, initializer="zeros", trainable=False)
            for i, shape in enumerate(shapes)
        ]
        self.built = True

    @property
    def weights(self) -> list:
        return []

    def save_own_variables(self, store: Any) -> None:
        pass

    def load_own_variables(self, store: Any) -> None:
        pass


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class DeepRNN(Configured, keras.layers.RNN):
    """A recurrent layer given by its two operators, each any Keras layer (section 4 of the paper).

        h(t) = x(t) ⊕ h(t-1)
        y(t) = ▷ h(t)

    All recurrent layers of the package are this one with a cell of their own.

    Args:
        plus: ⊕: an `Operator`, such as `Plus`, or any Keras layer called with `[x, h]`, see
            `DeepRNNCell`. A cell of this package stands for its ⊕, ▷ and options.
        predict: ▷, a Keras layer called with h; None returns h itself.
        state_size: H; None takes `plus.state_size` or `plus.units`.
        dropout: Dropout rate of x; one mask for the whole sequence. Of tokens, the units that they
            stand for: all occurrences of a token in a row, or none.
        recurrent_dropout: Recurrent dropout rate: of h(t-1) where it enters an affine map; one mask
            for the whole sequence.
        output_dropout: Dropout rate of h(t) before ▷; one mask for the whole sequence.
        zoneout: Probability with which each unit of a state keeps its value at a step of training;
            in inference it keeps that share of it (arXiv:1606.01305).
        learn_initial_state: Whether the states before the first step are weights.
        seed: Int, makes the masks reproducible; None for a random one.
        return_sequences: Whether to return y at every step, (B, T, units of y), or at the last.
        return_state: Whether to return the last states too, (B, H) each.
        return_state_sequences: Whether to return the states of every step too, (B, T, H) each.
            `Bidirectional` takes it only beside `return_state`, and leaves those of the backward
            layer in their order of reading.
        go_backwards: Whether to read the sequence from its end; outputs come in the order of
            reading, and so does the mask that is handed on.
        stateful: Whether each batch starts from the states that the one before ended with.
        unroll: Whether to write the steps out instead of looping; T must be known.
        zero_output_for_mask: Whether the output at a masked step is zero, or the one before it.
        jit_compile: Whether XLA compiles the recurrence on TensorFlow; None: yes, unless the
            environment variable KERAS_DEEP_RNN_XLA is 0. An export never contains such code.
        batch_parts: Into how many parts the batch is split, whose loops run side by side; None: on
            TensorFlow without a GPU one for each core, of at least 4 rows, else 1.
        remat: Gradient checkpointing: store only the states and recompute the affine maps in
            chunks of this many steps during the backward pass. None stores them all.
        persistent: Whether one kernel that keeps the weights on the chip runs all steps, on JAX and
            PyTorch with an NVIDIA GPU of Hopper's kind or newer, where the network is a deep
            transition and fits; see docs/accelerator.md.
        activity_regularizer, name, dtype, trainable: As for every Keras layer.

    Call arguments:
        sequences: x, shape (B, T, D).
        initial_state: The states before the first step, (B, H) each; None for the initial or the
            carried ones.
        mask: Boolean, (B, T). At a masked step h stays as it is, and x may be anything; the output
            is the one before it, and zero where there is none.
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
        persistent: bool = False,
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
            beside = [n for n, v in of_cell.items() if v] if "plus" in self.arguments() else []
            if beside:
                raise UserError(
                    f"`{beside[0]}` must be given to the {type(cell).__name__}, got "
                    f"{of_cell[beside[0]]!r} beside it."
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
        self._check_shapes(sequences_shape)
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
        # Checked here, because Keras wraps what `call` raises into a message of many lines.
        given = dict(zip(("initial_state", "mask"), args)) | kwargs
        if isinstance(sequences, (list, tuple)) and any(hasattr(x, "shape") for x in sequences):
            raise UserError(
                "`sequences` must be one tensor of shape (B, T, D), got a list: pass the first "
                "states as `initial_state=`."
            )
        shape = _shape(sequences)
        self._check_shapes(shape, given.get("mask"), given.get("initial_state"))
        if self.stateful and self.states is not None and given.get("initial_state") is None:
            batch = self.states[0].shape[0]
            if _unequal(batch, shape[0]):
                raise UserError(
                    f"`sequences` must have the batch size of the carried states, {batch}, got "
                    f"{shape[0]}."
                )
        reset = given.get("reset")
        if reset is not None and (
            _unequal(_shape(reset)[0], shape[0]) or _shape(reset)[1:] not in ((), (1,))
        ):
            raise UserError(
                f"`reset` must have shape (B, 1) or (B,), B = {shape[0]}, got {_shape(reset)}."
            )
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
            # What is masked may be anything, and takes no part in a gradient.
            sequences = ops.where(mask, sequences, ops.zeros_like(sequences))
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=0)
            mask = None if mask is None else ops.flip(mask, axis=0)

        y, state_sequences = run_sequence(self.cell, sequences, states, mask, training, self._loop)
        self.cell.reset_dropout_mask()
        self.cell.reset_recurrent_dropout_mask()

        last_states = [sequence[-1] for sequence in state_sequences]
        if self.stateful:
            for variable, state in zip(self.states, last_states):
                variable.assign(ops.cast(ops.stop_gradient(state), variable.dtype))
        if mask is not None:
            y = ops.where(self._shown(mask), y, ops.zeros_like(y))

        result = [ops.swapaxes(y, 0, 1) if self.return_sequences else y[-1]]
        if self.return_state:
            result += last_states
        if self.return_state_sequences:
            result += [ops.swapaxes(sequence, 0, 1) for sequence in state_sequences]
        return result[0] if len(result) == 1 else tuple(result)

    @property
    def recurrence(self) -> str | list[str]:
        """Which loop over time runs: "fast", "persistent", or "plain" and why.

        For a stack, the list of those of its levels.
        """
        return recurrence_of(self.cell, self._loop)

    @property
    def _loop(self) -> Loop:
        return Loop(self.unroll, self.jit_compile, self.batch_parts, self.remat, self.persistent)

    def step(self, x_t: Any, states: Sequence | None = None) -> tuple[Any, list]:
        """One time step for online inference, by a function that is compiled once for the layer.

        Nothing is dropped and nothing carried: what comes back as states goes in with the next x.

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
        shape = _shape(x_t)
        if len(shape) != 2:
            raise UserError(f"`x_t` must have shape (B, D), got {shape}.")
        if not self.built and self.stateful:
            raise UserError("`step` needs a layer with `stateful=True` built, with its batch size.")
        if not self.built:
            self.build((None, 1, shape[1]))
        if shape[1] != self._features:
            raise UserError(f"`x_t` must have D = {self._features} features, got {shape}.")
        if isinstance(x_t, np.ndarray) or not ops.is_tensor(x_t):
            x_t = backend().from_numpy(x_t, self.compute_dtype)
        if states is None:
            states = list(self.get_initial_state(ops.shape(x_t)[0]))
        self._check_states("states", states, shape[0])
        xla = self._loop.compiled()
        if xla not in self._steps:
            self._steps[xla] = backend().single_step(inference_of(self.cell), self.cell, xla)
        return self._steps[xla](x_t, list(states))

    def stepper(self) -> Stepper:
        """A frozen snapshot of the weights that computes one time step in NumPy; see `Stepper`.

        Its overhead is a small part of that of `step`, for online inference of small batches.

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

    def _shown(self, mask: Any) -> Any:
        """Where an output is given, (T, B, 1): a masked step repeats the last one before it."""
        return mask if self.zero_output_for_mask else ops.cumsum(ops.cast(mask, "int32"), 0) > 0

    def _first_states(self, sequences: Any, initial_state: Any, reset: Any) -> list:
        if initial_state is None and self.stateful:
            # Copies: PyTorch writes the new states over the old, which the gradient needs.
            initial_state = [ops.copy(state) for state in self.states]
        elif initial_state is None:
            initial_state = self.get_initial_state(ops.shape(sequences)[0])
        states = [
            ops.cast(ops.convert_to_tensor(state), self.cell.compute_dtype)
            for state in keras.tree.flatten(initial_state)
        ]
        if reset is None:
            return states
        fresh = ops.cast(ops.reshape(reset, (-1, 1)), self.cell.compute_dtype)
        first = self.get_initial_state(ops.shape(sequences)[0])
        return [(1 - fresh) * state + fresh * start for state, start in zip(states, first)]

    def _check_shapes(self, shape: Sequence, mask: Any = None, initial_state: Any = None) -> None:
        shape = tuple(shape)
        if len(shape) != 3:
            raise UserError(f"`sequences` must have shape (B, T, D), got {shape}.")
        if shape[1] == 0:
            raise UserError(f"`sequences` must have at least one time step, got shape {shape}.")
        if shape[2] is None:
            raise UserError(f"`sequences` must have a known number of features D, got {shape}.")
        if self.unroll and shape[1] is None:
            raise UserError(
                "`unroll=True` needs a known number of time steps: give it in the model's input, "
                f"got a shape of {shape}."
            )
        if mask is not None and (
            len(_shape(mask)) != 2 or any(_unequal(a, b) for a, b in zip(_shape(mask), shape))
        ):
            raise UserError(f"`mask` must have shape (B, T) = {shape[:2]}, got {_shape(mask)}.")
        if initial_state is not None:
            self._check_states("initial_state", keras.tree.flatten(initial_state), shape[0])

    def _check_states(self, name: str, states: Any, batch: int | None) -> None:
        if not isinstance(states, (list, tuple)) or len(states) != len(self.state_size):
            got = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
            raise UserError(f"`{name}` must have {len(self.state_size)} tensor(s), got {got}.")
        for state, width in zip(states, self.state_size):
            expected, got = (batch, width), _shape(state)
            if len(got) != 2 or any(_unequal(*sizes) for sizes in zip(got, expected)):
                raise UserError(f"`{name}` must have shape (B, H) = {expected}, got {got}.")

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
        """What is to be said beside the cell."""
        names = (*get_type_hints(LoopOptions), "activity_regularizer")
        of_loop = {n: keras.saving.serialize_keras_object(getattr(self, n)) for n in names}
        return {**keras.layers.Layer.get_config(self), **of_loop}


def inference_of(cell: Any) -> Callable:
    """A cell in inference, as a function of x(t) and the list of states.

    What Keras does around a `call` takes several times as long as a small step. It is passed over
    where the cell and ⊕ are of this package, so that it would do no more than cast their inputs.
    """
    if isinstance(cell, StackedRNNCell) and type(cell).call is StackedRNNCell.call:
        if all(isinstance(level, DeepRNNCell) for level in cell.cells):
            levels = {id(level): inference_of(level) for level in cell.cells}
            run = functools.partial(_of_level, levels)
            return lambda x, states: cell._upwards(run, x, states)
    own = isinstance(cell, DeepRNNCell) and type(cell).call is DeepRNNCell.call and cell._has_maps
    # Keras tells these that they do not train.
    inner = [part for part in sublayers(cell) if part is not cell.plus] if own else []
    if not own or any("training" in inspect.signature(part.call).parameters for part in inner):
        return functools.partial(cell, training=False)

    def cast(value: Any) -> Any:
        value = value if ops.is_tensor(value) else ops.convert_to_tensor(value)
        dtype = keras.backend.standardize_dtype(value.dtype)
        fits = dtype == cell.compute_dtype or "float" not in dtype or not cell.autocast
        return value if fits else ops.cast(value, cell.compute_dtype)

    def step(x: Any, states: list) -> tuple[Any, list]:
        x, *states = (cast(value) for value in (x, *states))
        return cell.finished(as_list(cell.plus.call([x, *states])), states, False)

    return step


def _of_level(levels: dict, cell: Any, x: Any, states: list) -> tuple[Any, list]:
    return levels[id(cell)](x, states)


def _shape(value: Any) -> tuple:
    """The shape of a tensor, or of what can become one."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def _unequal(a: int | None, b: int | None) -> bool:
    """Whether two sizes differ, as far as both are known."""
    return a is not None and b is not None and a != b

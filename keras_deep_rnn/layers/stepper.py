"""One time step in plain NumPy, from a snapshot of a layer's weights.

The equation of a network stands in `Operator.step`. It is run once on symbolic tensors, and what
Keras records of it becomes a straight-line program: NumPy functions between numbered slots.
"""

import functools
import inspect
import math
import operator
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..utils.errors import UserError
from ..utils.keras_compat import calls_before, without_autocast, without_new_calls
from .cells import DeepRNNCell, state_widths
from .operators import Operator
from .stacked import StackedRNNCell


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * z) + 0.5  # exp(-z) may overflow


def _relu(z: Any, negative_slope: Any = 0, max_value: Any = None, threshold: Any = 0) -> np.ndarray:
    y = np.where(z < threshold, negative_slope * (z - threshold), z)
    return y if max_value is None else np.minimum(y, max_value)


def _rsqrt(x: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt(x)


def _softplus(z: np.ndarray) -> np.ndarray:
    return np.logaddexp(z, 0)


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float32)


def _softmax(z: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _normalized(x: Any, gamma: Any, beta: Any, axis: Any, epsilon: float) -> np.ndarray:
    x = x - x.mean(axis, keepdims=True)
    x *= 1 / np.sqrt((x * x).mean(axis, keepdims=True) + epsilon)
    x = x if gamma is None else x * gamma
    return x if beta is None else x + beta


def _reshaped(x: np.ndarray, newshape: Sequence) -> np.ndarray:
    return x.reshape([-1 if size is None else size for size in newshape])


def _joined(*arrays: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate(arrays, axis)


# The function of each Keras operation, by the name of its class, and the names of the attributes
# that it takes. What is not here runs as the Keras operation itself.
FUNCTIONS: dict[str, tuple] = {
    **{name: (getattr(np, name.lower()),) for name in (
        "Abs", "Absolute", "Add", "Cos", "Divide", "Equal", "Exp", "Expm1", "Greater", "Less",
        "Log", "Log1p", "Logaddexp", "Maximum", "Minimum", "Multiply", "Negative", "Power", "Sign",
        "Sin", "Sqrt", "Square", "Subtract", "Tanh", "Where",
    )},
    **{name: (getattr(np, name.lower()), "axis", "keepdims") for name in ("Mean", "Sum")},
    "Concatenate": (_joined, "axis"),
    "Erf": (_erf,),
    "GreaterEqual": (np.greater_equal,),
    "LayerNorm": (_normalized, "axis", "epsilon"),
    "LeakyRelu": (_relu, "negative_slope"),
    "LessEqual": (np.less_equal,),
    "Matmul": (np.matmul,),
    "ReLU": (_relu, "negative_slope", "max_value", "threshold"),
    "Relu": (_relu,),
    "Reshape": (_reshaped, "newshape"),
    "Rsqrt": (_rsqrt,),
    "Sigmoid": (_sigmoid,),
    "Softmax": (_softmax, "axis"),
    "Softplus": (_softplus,),
    "Take": (np.take, "axis"),
    "Tensordot": (np.tensordot, "axes"),
    "TrueDivide": (np.divide,),
}  # fmt: skip


class _Array:
    """Where an array stands among the arguments of an operation."""


class _KerasCall:
    """A Keras operation or layer as a function of arrays, to a list of arrays."""

    def __init__(self, operation: keras.Operation, arguments: tuple) -> None:
        self.operation, self.arguments = operation, arguments

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        given = iter([ops.convert_to_tensor(array) for array in arrays])
        args, kwargs = keras.tree.map_structure(
            lambda leaf: next(given) if leaf is _Array else leaf, self.arguments
        )
        return [_frozen(y) for y in keras.tree.flatten(self.operation(*args, **kwargs))]

    def __reduce__(self) -> tuple:
        # Keras writes out layers; an operation is its class and the arguments of its constructor.
        made = self.operation
        if not isinstance(made, keras.layers.Layer):
            made = functools.partial(type(made), **made.get_config())
        return _restored, (made, self.arguments)


def _restored(made: Any, arguments: tuple) -> _KerasCall:
    return _KerasCall(made() if isinstance(made, functools.partial) else made, arguments)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _frozen(value: Any) -> Any:
    """A copy as an array, float32 where it is of floats; what is no tensor as it is."""
    if not _is_array(value):
        return value
    floats = "float" in keras.backend.standardize_dtype(value.dtype)
    return np.array(ops.convert_to_numpy(value), np.float32 if floats else None)


class _Program:
    """The straight-line program of the step of a cell: `(function, slots in, slot out)` each."""

    def __init__(self, cell: keras.layers.Layer, inputs: list[keras.KerasTensor]) -> None:
        self.slots: list = [None] * len(inputs)
        self.steps: list[tuple] = []
        self._place = {id(x): (k, x) for k, x in enumerate(inputs)}  # the tensor, so that it lives
        self._products: dict[int, list] = {}
        with without_new_calls(cell):
            y, states = self._traced(cell, (inputs[0], inputs[1:]), {})
        self.results = [self._slot(value) for value in (y, *states)]
        self._join_products()

    def _slot(self, value: Any) -> int:
        if id(value) in self._place:
            return self._place[id(value)][0]
        self.slots.append(None if isinstance(value, keras.KerasTensor) else _frozen(value))
        if _is_array(value):
            self._place[id(value)] = len(self.slots) - 1, value
        return len(self.slots) - 1

    def _traced(self, layer: keras.layers.Layer, args: tuple, kwargs: dict) -> Any:
        """The symbolic results of a layer's call, whose operations become steps."""
        if "training" in inspect.signature(layer.call).parameters:
            kwargs = {**kwargs, "training": False}
        call = layer.call
        if isinstance(layer, Operator) and type(layer).call is Operator.call:
            # `Operator.call` without its types of computation.
            call = lambda inputs: layer.new_states(inputs[0], list(inputs[1:]))  # noqa: E731
        if isinstance(layer, StackedRNNCell):
            call = functools.partial(self._levels, layer)
        with keras.StatelessScope() as scope, without_autocast():
            results = call(*args, **kwargs)
        updated = [v.path for v in layer.variables if scope.get_current_value(v) is not None]
        if updated:
            raise _refused(layer, f"its step updates {updated[0]}")
        for node in calls_before([r for r in keras.tree.flatten(results) if _is_array(r)]):
            if id(node.outputs[0]) not in self._place:
                self._add(node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        return results

    def _levels(self, stack: StackedRNNCell, x: Any, states: list, training: bool) -> tuple:
        return stack._upwards(lambda cell, x, own: self._traced(cell, (x, own), {}), x, states)

    def _add(self, operation: Any, args: tuple, kwargs: dict, outputs: list) -> None:
        """The steps of one call of an operation or a layer."""
        if isinstance(operation, keras.layers.Layer):
            # In float32, whatever the layer computes in.
            inner = keras.tree.map_structure(self._renewed, (args, kwargs))
            try:
                results = keras.tree.flatten(self._traced(operation, *inner))
                for output, result in zip(outputs, results, strict=True):
                    self._place[id(output)] = self._slot(result), output
                return
            except UserError:
                raise
            except Exception as error:  # code that symbolic tensors cannot go through
                try:
                    operation = pickle.loads(pickle.dumps(operation))
                except Exception:
                    raise _refused(operation, error) from error
        name, first = type(operation).__name__, keras.tree.flatten(args)[0]
        rank = len(getattr(first, "shape", ()))
        floats = all("float" in str(getattr(x, "dtype", "")) for x in (first, *outputs))
        if name == "StopGradient" or (name == "Cast" and floats):
            self._place[id(outputs[0])] = self._slot(first), outputs[0]
        elif name == "Matmul" and rank == 2 and not isinstance(args[1], keras.KerasTensor):
            source = self._products.setdefault(self._slot(first), [])
            source.append((_frozen(args[1]), self._slot(outputs[0])))
            self.steps.append((None, (self._slot(first),), source[-1][1]))
        elif name == "GetItem" and not any(_is_array(k) for k in keras.tree.flatten(args[1])):
            self._step(operator.itemgetter(args[1]), [first], outputs[0])
        elif name == "Split" and None not in (o.shape[operation.axis] for o in outputs):
            before, start = (slice(None),) * (operation.axis % rank), 0
            for output in outputs:
                end = start + output.shape[operation.axis]
                self._step(operator.itemgetter((*before, slice(start, end))), [first], output)
                start = end
        elif name in FUNCTIONS and not kwargs and not getattr(operation, "rms_scaling", False):
            function, *names = FUNCTIONS[name]
            options = {n: getattr(operation, n) for n in names}
            options = {n: tuple(v) if isinstance(v, list) else v for n, v in options.items()}
            function = functools.partial(function, **options) if options else function
            self._step(function, keras.tree.flatten(args), outputs[0])
        else:
            leaves = [leaf for leaf in keras.tree.flatten((args, kwargs)) if _is_array(leaf)]
            marked = keras.tree.map_structure(
                lambda leaf: _Array if _is_array(leaf) else leaf, (args, kwargs)
            )
            found = keras.KerasTensor(())
            self._step(_KerasCall(operation, marked), leaves, found)
            for k, output in enumerate(outputs):
                self._step(operator.itemgetter(k), [found], output)

    def _renewed(self, value: Any) -> Any:
        """A symbolic tensor without a history, float32 where it is of floats."""
        if not isinstance(value, keras.KerasTensor):
            return value
        new = keras.KerasTensor(value.shape, "float32" if "float" in value.dtype else value.dtype)
        self._place[id(new)] = self._slot(value), new
        return new

    def _step(self, function: Callable, inputs: list, output: Any) -> None:
        self.steps.append((function, tuple(self._slot(x) for x in inputs), self._slot(output)))

    def _join_products(self) -> None:
        """Makes the products of the same rows one, with the kernels side by side."""
        steps, joined = self.steps, set()
        self.steps = []
        for step in steps:
            function, (source, *_), _ = step
            if function is not None:
                self.steps.append(step)
            elif source not in joined:
                joined.add(source)
                kernels, outs = zip(*self._products[source])
                whole = outs[0] if len(outs) == 1 else self._slot(keras.KerasTensor(()))
                kernel = self._slot(np.concatenate(kernels, axis=1))
                self.steps.append((np.dot, (source, kernel), whole))
                ends = np.cumsum([k.shape[1] for k in kernels]).tolist()
                for start, end, out in zip([0, *ends], ends, outs if len(outs) > 1 else ()):
                    columns = operator.itemgetter((slice(None), slice(start, end)))
                    self.steps.append((columns, (whole,), out))


def _compiled(count: int, steps: list, slots: list, results: list) -> Callable:
    """The program as a function of its `count` inputs: a loop over it costs more."""
    names: dict[str, Any] = {f"s{k}": value for k, value in enumerate(slots)}
    lines = [f"def run({', '.join(f's{k}' for k in range(count))}):"]
    for number, (function, inputs, out) in enumerate(steps):
        names[f"f{number}"] = function
        lines.append(f" s{out} = f{number}({', '.join(f's{k}' for k in inputs)})")
    # A view, an input, and what is returned already must be copied.
    new = {out for function, _, out in steps if isinstance(function, np.ufunc)}
    owned = [k in new and k not in results[:number] for number, k in enumerate(results)]
    returned = [f"s{k}" if own else f"s{k}.copy()" for k, own in zip(results, owned)]
    exec("\n".join([*lines, f" return {', '.join(returned)}"]), names)
    return names["run"]


def _refused(part: Any, reason: Any) -> UserError:
    first = str(reason).strip().splitlines() or [type(reason).__name__]
    return UserError(
        f"`stepper` cannot freeze a {type(part).__name__}, use `layer.step`: {first[0]}"
    )


def _check(cell: Any) -> None:
    """Raises a `UserError` for a cell whose step is not an equation of this package's kind."""
    if isinstance(cell, StackedRNNCell) and type(cell).call is StackedRNNCell.call:
        for level in cell.cells:
            _check(level)
    elif not isinstance(cell, DeepRNNCell):
        raise _refused(cell, "it is no cell of this package")
    elif type(cell).call is not DeepRNNCell.call:
        raise _refused(cell, "it has a `call` of its own")
    elif not cell._has_maps:
        raise _refused(cell.plus, "⊕ must be an `Operator` without a `call` of its own")


class Stepper:
    """A frozen snapshot of a recurrent layer that computes one time step in NumPy.

    `layer.stepper()` makes it. It computes what `layer.step` does, in float32 whatever the policy
    of the layer, from the weights as they are; no later change of the layer reaches it. It can be
    pickled, and called by several threads at once.

    Args:
        layer: A built `DeepRNN`.

    Call arguments:
        x_t: x(t), shape (B, D), or tokens of shape (B, 1). B may be another at each call.
        states: List of the states at t-1, (B, H) each; None for the initial ones.

    Returns:
        y(t), shape (B, units of y), and the list of the states at t: new arrays of float32.

    Raises:
        UserError: An input has not the shape described here. When made: the layer is not built or
            reads backwards, or its step is not one of affine maps: ⊕ is no `Operator`, a level of a
            stack no cell of this package, or one of them has a `call` of its own.

    Example:

    >>> from keras_deep_rnn import DeepTransitionRNN
    >>> layer = DeepTransitionRNN(4, transition_units=(8,))
    >>> layer.build((None, None, 3))
    >>> stepper = Stepper(layer)
    >>> y, states = stepper(np.ones((1, 3)))
    >>> y, states = stepper(np.ones((1, 3)), states)
    >>> y.shape, [state.shape for state in states]
    ((1, 4), [(1, 4)])
    """

    def __init__(self, layer: keras.layers.Layer) -> None:
        if layer.go_backwards:
            raise UserError("`stepper` goes forwards, but the layer has `go_backwards=True`.")
        if not layer.built:
            raise UserError("`stepper` needs a built layer: call it once, or its `build`.")
        cell = layer.cell
        _check(cell)
        self._features, self._widths = layer._features, state_widths(cell)
        tokens = cell.input_tokens is not None
        self._dtype = np.int64 if tokens else np.float32
        x = keras.KerasTensor((None, self._features), "int32" if tokens else "float32")
        states = [keras.KerasTensor((None, width), "float32") for width in self._widths]
        try:
            program = _Program(cell, [x, *states])
        except UserError:
            raise
        except Exception as error:
            raise _refused(cell, error) from error
        self._program = program.steps, program.slots, program.results
        self._run = _compiled(len(states) + 1, *self._program)
        first = layer.get_initial_state(1)
        self._first = [_frozen(state) for state in keras.tree.flatten(first)]

    def __call__(self, x_t: Any, states: Sequence | None = None) -> tuple[np.ndarray, list]:
        x = np.asarray(x_t, self._dtype)
        if x.ndim != 2 or x.shape[1] != self._features:
            raise UserError(f"`x_t` must have shape (B, D), D = {self._features}, got {x.shape}.")
        rows = x.shape[0]
        if states is None:
            states = [np.repeat(state, rows, axis=0) for state in self._first]
        if not isinstance(states, (list, tuple)) or len(states) != len(self._widths):
            got = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
            raise UserError(f"`states` must have {len(self._widths)} array(s), got {got}.")
        given = [x]
        for state, width in zip(states, self._widths):
            state = np.asarray(state, np.float32)
            if state.shape != (rows, width):
                raise UserError(
                    f"`states` must have shape (B, H) = {(rows, width)}, got {state.shape}."
                )
            given.append(state)
        y, *new = self._run(*given)
        return y, new

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_run"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._run = _compiled(len(self._widths) + 1, *self._program)

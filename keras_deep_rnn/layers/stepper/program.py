"""The step of a cell as a straight-line program.

The equation of a network stands in `Operator.step`. It is run once on symbolic tensors, and what
Keras records of it becomes NumPy functions between numbered slots.
"""

import functools
import inspect
import operator
import pickle
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ...utils.errors import UserError
from ...utils.keras_compat import calls_before, without_autocast, without_new_calls
from ..cells import StackedRNNCell
from ..operators import Operator
from .keras_call import KerasCall, Placeholder, freeze, is_array, refusal
from .numpy_functions import FUNCTIONS


class Program:
    """The straight-line program of the step of a cell.

    Attributes:
        slots: Constants, and None where a value is computed.
        steps: (function, numbers of the slots of its arguments, number of that of its result).
        results: The slots of y(t) and of the states.
    """

    def __init__(self, cell: keras.layers.Layer, inputs: list[keras.KerasTensor]) -> None:
        self.slots: list = [None] * len(inputs)
        self.steps: list[tuple] = []
        # With each slot its tensor, which keeps the id valid.
        self._slots_of = {id(x): (k, x) for k, x in enumerate(inputs)}
        self._products: dict[int, list] = {}
        with without_new_calls(cell):
            y, states = self._trace(cell, (inputs[0], inputs[1:]), {})
        self.results = [self._slot(value) for value in (y, *states)]
        self._merge_products()

    def _slot(self, value: Any) -> int:
        if id(value) in self._slots_of:
            return self._slots_of[id(value)][0]
        self.slots.append(None if isinstance(value, keras.KerasTensor) else freeze(value))
        if is_array(value):
            self._slots_of[id(value)] = len(self.slots) - 1, value
        return len(self.slots) - 1

    def _trace(self, layer: keras.layers.Layer, args: tuple, kwargs: dict) -> Any:
        """The symbolic results of a layer's call, whose operations become steps."""
        if "training" in inspect.signature(layer.call).parameters:
            kwargs = {**kwargs, "training": False}
        call = layer.call
        if isinstance(layer, Operator) and type(layer).call is Operator.call:
            # `Operator.call` without its autocast.
            call = lambda inputs: layer.new_states(inputs[0], list(inputs[1:]))  # noqa: E731
        if isinstance(layer, StackedRNNCell):
            call = functools.partial(self._levels, layer)
        with keras.StatelessScope() as scope, without_autocast():
            results = call(*args, **kwargs)
        updated = [v.path for v in layer.variables if scope.get_current_value(v) is not None]
        if updated:
            raise refusal(layer, f"its step updates {updated[0]}")
        for node in calls_before([r for r in keras.tree.flatten(results) if is_array(r)]):
            if id(node.outputs[0]) not in self._slots_of:
                self._add(node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        return results

    def _levels(self, stack: StackedRNNCell, x: Any, states: list, training: bool) -> tuple:
        return stack.run_levels(lambda cell, x, own: self._trace(cell, (x, own), {}), x, states)

    def _add(self, operation: Any, args: tuple, kwargs: dict, outputs: list) -> None:
        """The steps of one call of an operation or a layer."""
        if isinstance(operation, keras.layers.Layer):
            # In float32, whatever the compute type of the layer.
            inner = keras.tree.map_structure(self._renew, (args, kwargs))
            try:
                results = keras.tree.flatten(self._trace(operation, *inner))
                for output, result in zip(outputs, results, strict=True):
                    self._slots_of[id(output)] = self._slot(result), output
                return
            except UserError:
                raise
            except Exception as error:  # code that symbolic tensors cannot run
                try:
                    operation = pickle.loads(pickle.dumps(operation))
                except Exception:
                    raise refusal(operation, error) from error
        name, first = type(operation).__name__, keras.tree.flatten(args)[0]
        rank = len(getattr(first, "shape", ()))
        floats = all("float" in str(getattr(x, "dtype", "")) for x in (first, *outputs))
        if name == "StopGradient" or (name == "Cast" and floats):
            self._slots_of[id(outputs[0])] = self._slot(first), outputs[0]
        elif name == "Matmul" and rank == 2 and not isinstance(args[1], keras.KerasTensor):
            source = self._products.setdefault(self._slot(first), [])
            source.append((freeze(args[1]), self._slot(outputs[0])))
            self.steps.append((None, (self._slot(first),), source[-1][1]))
        elif name == "GetItem" and not any(is_array(k) for k in keras.tree.flatten(args[1])):
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
            leaves = [leaf for leaf in keras.tree.flatten((args, kwargs)) if is_array(leaf)]
            marked = keras.tree.map_structure(
                lambda leaf: Placeholder if is_array(leaf) else leaf, (args, kwargs)
            )
            found = keras.KerasTensor(())
            self._step(KerasCall(operation, marked), leaves, found)
            for k, output in enumerate(outputs):
                self._step(operator.itemgetter(k), [found], output)

    def _renew(self, value: Any) -> Any:
        """A symbolic tensor without its history, floats as float32."""
        if not isinstance(value, keras.KerasTensor):
            return value
        new = keras.KerasTensor(value.shape, "float32" if "float" in value.dtype else value.dtype)
        self._slots_of[id(new)] = self._slot(value), new
        return new

    def _step(self, function: Callable, inputs: list, output: Any) -> None:
        self.steps.append((function, tuple(self._slot(x) for x in inputs), self._slot(output)))

    def _merge_products(self) -> None:
        """Merges the products of the same rows into one, with the kernels side by side."""
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


def compile_program(count: int, steps: list, slots: list, results: list) -> Callable:
    """The program as a function of its `count` inputs; a loop over its steps would cost more."""
    names: dict[str, Any] = {f"s{k}": value for k, value in enumerate(slots)}
    lines = [f"def run({', '.join(f's{k}' for k in range(count))}):"]
    for number, (function, inputs, out) in enumerate(steps):
        names[f"f{number}"] = function
        lines.append(f" s{out} = f{number}({', '.join(f's{k}' for k in inputs)})")
    # Views, inputs, and results that are returned twice must be copied.
    new = {out for function, _, out in steps if isinstance(function, np.ufunc)}
    owned = [k in new and k not in results[:number] for number, k in enumerate(results)]
    returned = [f"s{k}" if own else f"s{k}.copy()" for k, own in zip(results, owned)]
    exec("\n".join([*lines, f" return {', '.join(returned)}"]), names)
    return names["run"]

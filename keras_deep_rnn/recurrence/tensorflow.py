"""The loop primitive on TensorFlow, and how a function gets a custom gradient."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..utils.errors import UserError
from .loop import available_cores, number_of_parts
from .tensorflow_tracing import as_exported as as_exported
from .tensorflow_tracing import compiled_whole, exporting

# Steps of the program that XLA compiles where the length is unknown: one program for all lengths.
# Longer chunks gain nothing, shorter ones start programs too often.
CHUNK = 64


def looped(body: Callable, shapes: Sequence, reverse: bool = False, xla: bool = False) -> Callable:
    """See `loop`. The number of time steps may be unknown."""

    def elements(carry: list) -> list[tuple]:
        batch = carry[0].shape[0]
        return [(batch, shape) if isinstance(shape, int) else shape for shape in shapes]

    def steps(first: Any, last: Any, carry: list, inputs: list, constants: list) -> tuple:
        """The steps from `first` to before `last`; the other rows of the outputs are 0."""
        length = tf.shape(inputs[0])[0]
        readers = [
            tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x)
            for x in inputs
        ]
        writers = [
            tf.TensorArray(carry[0].dtype, size=length, element_shape=shape)
            for shape in elements(carry)
        ]

        def one_step(i: Any, carry: list, writers: list) -> tuple:
            t = first + last - 1 - i if reverse else i
            new_carry, outputs = body(carry, [reader.read(t) for reader in readers], constants)
            new_carry = [tf.ensure_shape(new, old.shape) for new, old in zip(new_carry, carry)]
            return i + 1, new_carry, [writer.write(t, v) for writer, v in zip(writers, outputs)]

        # XLA can differentiate the loop only where it knows the largest number of iterations.
        _, carry, writers = tf.while_loop(
            lambda i, *_: i < last, one_step, (first, carry, writers), maximum_iterations=length
        )
        stacked = [writer.stack() for writer in writers]
        return carry, [tf.ensure_shape(s, [inputs[0].shape[0], *s.shape[1:]]) for s in stacked]

    def all_steps(carry: list, inputs: list, constants: list) -> tuple:
        return steps(0, tf.shape(inputs[0])[0], carry, inputs, constants)

    steps_of_chunk = compiled_by_xla(steps) if xla else steps
    all_steps = compiled_by_xla(all_steps) if xla else all_steps

    def loop(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        carry = [tf.convert_to_tensor(value) for value in carry]
        # In a graph a known length is that of every call.
        known = inputs[0].shape[0] is not None and not tf.executing_eagerly()
        if xla and not known and not compiled_whole():
            return _by_chunks(steps_of_chunk, carry, inputs, constants, elements(carry), reverse)
        return all_steps(carry, list(inputs), constants)

    return loop


def _by_chunks(
    program: Callable, carry: list, inputs: list, constants: list, elements: list, reverse: bool
) -> tuple[list, list]:
    """Runs `program` on chunks of `CHUNK` steps, the last of them shorter."""
    length = tf.shape(inputs[0])[0]
    missing = tf.maximum(CHUNK - length, 0)
    inputs = [tf.pad(x, [[0, missing]] + [[0, 0]] * (len(x.shape) - 1)) for x in inputs]
    chunks = (length + CHUNK - 1) // CHUNK
    outputs = [
        tf.TensorArray(carry[0].dtype, size=chunks, infer_shape=False, element_shape=(None, *shape))
        for shape in elements
    ]

    def one_chunk(i: Any, carry: list, outputs: list) -> tuple:
        chunk = chunks - 1 - i if reverse else i
        begin = chunk * CHUNK
        # The last chunk begins early, so that it is filled.
        start = tf.minimum(begin, tf.maximum(length - CHUNK, 0))
        first, last = begin - start, tf.minimum(begin + CHUNK, length) - start
        parts = [tf.ensure_shape(x[start : start + CHUNK], [CHUNK, *x.shape[1:]]) for x in inputs]
        new, found = program(first, last, carry, parts, constants)
        new = [tf.ensure_shape(after, before.shape) for after, before in zip(new, carry)]
        written = [array.write(chunk, x[first:last]) for array, x in zip(outputs, found)]
        return i + 1, new, written

    _, carry, outputs = tf.while_loop(lambda i, *_: i < chunks, one_chunk, (0, carry, outputs))
    return carry, [
        tf.ensure_shape(array.concat(), (None, *s)) for array, s in zip(outputs, elements)
    ]


def with_gradient(
    result: Callable, forward: Callable, backward: Callable, plain: Callable
) -> Callable:
    """A function of tensors with a custom gradient.

    Args:
        result: Function of tensors to its results, a list, where no gradient is asked for.
            TensorFlow does not say where that is.
        forward: The same with the residuals that `backward` needs, in lists.
        backward: Function of the gradients of the results, the residuals and the arguments (as a
            list) to the gradients of the arguments.
        plain: The same as `result`, differentiated by the backend.

    Returns:
        Function of the arguments to the results.
    """

    @tf.custom_gradient
    def function(*arguments: Any) -> tuple:
        values, residuals = forward(*arguments)

        def gradients(*found: Any) -> list:
            # The gradient of a gather is `IndexedSlices`.
            return backward([tf.convert_to_tensor(g) for g in found], residuals, list(arguments))

        return values, gradients

    # Variables are read outside: captured ones would get no gradient.
    def call(*arguments: Any) -> list:
        if exporting():  # an export contains no operations of a gradient
            return result(*arguments)
        results = function(*(tf.convert_to_tensor(a) for a in arguments))
        return list(results) if isinstance(results, (list, tuple)) else [results]

    return call


def replay(kernels: list, slope: Callable | None) -> Callable:
    """A function of the residual of an affine map, a probe, and its sources: the residual.

    Its gradient, dz, reaches the probe, and each source by the transposed kernel. The residual is
    z, or phi(z) where its `slope` is given.
    """

    @tf.custom_gradient
    def function(residual: Any, probe: Any, *us: Any) -> tuple:
        def gradients(gradient: Any) -> tuple:
            dz = gradient if slope is None else gradient * slope(residual)
            return None, dz, *(tf.matmul(dz, kernel) for kernel in kernels)

        return tf.identity(residual), gradients

    return function


def vjp(function: Callable, inputs: list, gradients: list) -> list:
    """The gradients of `inputs`, nested lists, from those of the results of `function(*inputs)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        results = function(*inputs)
    zero = tf.UnconnectedGradients.ZERO
    return tape.gradient(results, inputs, output_gradients=gradients, unconnected_gradients=zero)


def compiled(function: Callable) -> Callable:
    """The loop with all around it, compiled; on TensorFlow XLA compiles the loops alone."""
    return function


def compiled_by_xla(function: Callable) -> Callable:
    """`function`, compiled by XLA at the first call for each set of shapes."""
    # TensorFlow warns of much retracing of one code object, which all layers share; a partial
    # function counts by itself.
    own = functools.partial(function)
    program = tf.function(own, jit_compile=True, reduce_retracing=True, autograph=False)

    # A tape would look inside the function that has a custom gradient, and fail at XLA's program.
    @tf.custom_gradient
    def outside_the_tape(*arguments: Any) -> tuple:
        def refuse(*_: Any) -> None:
            if exporting():
                raise UserError(
                    "a function traced before its export contains code compiled by XLA: build the "
                    "recurrent layers with `jit_compile=False`."
                )
            raise UserError(
                "second-order gradients are not supported where XLA compiles the recurrence: "
                "build the layer with `jit_compile=False`."
            )

        return program(*tf.nest.map_structure(tf.stop_gradient, arguments)), refuse

    return outside_the_tape


def single_step(inference: Callable, cell: Any, xla: bool) -> Callable:
    """`inference`, a cell as a function of x(t) and the list of states, compiled; no gradient."""

    def step(x: Any, states: list) -> tuple:
        return inference(x, states)

    program = tf.function(step, jit_compile=xla, reduce_retracing=True, autograph=False)
    traced: dict[tuple, Any] = {}

    def run(x: Any, states: list) -> tuple:
        if not tf.executing_eagerly():
            return program(x, states)
        flat = [tf.convert_to_tensor(value) for value in (x, *states)]
        # Finding the trace that fits the arguments takes several times as long as the step.
        key = tuple((*value.shape, value.dtype) for value in flat)
        if key not in traced:
            traced[key] = program.get_concrete_function(flat[0], flat[1:])
        # The public call of a trace would check the arguments again.
        return traced[key]._call_flat(flat, traced[key].captured_inputs)

    return run


def from_numpy(values: Any, dtype: str) -> Any:
    """An array, or nested lists of numbers, as `single_step` takes it."""
    return tf.convert_to_tensor(np.asarray(values, tf.as_dtype(dtype).as_numpy_dtype))


# Each part is a program of its own for XLA to compile.
MOST_PARTS = 8


def default_parts() -> int:
    """The default number of parts of a batch: one for each core, as they run in parallel."""
    if tf.executing_eagerly() or accelerated():
        return 1
    cores = tf.config.threading.get_inter_op_parallelism_threads() or available_cores()
    return min(cores, MOST_PARTS)


def split(tensors: list, parts: int, least: int, axis: int = 0) -> list:
    """The tensors in parts along an axis, of nearly equal size: a list for each part.

    There are at most `parts`, with at least `least` rows each. Where the number of rows is unknown,
    there are exactly `parts`, the last of them empty where there are too few rows. TensorFlow runs
    independent parts in parallel.
    """
    rows = tensors[0].shape[axis]
    if rows is not None:
        parts = number_of_parts(rows, parts, least)
        sizes = [(rows + i) // parts for i in range(parts)]
    else:
        rows = tf.shape(tensors[0])[axis]
        used, i = tf.clip_by_value(rows // least, 1, parts), tf.range(parts)
        sizes = tf.where(i < used, (rows + i) // used, 0)
    if parts == 1:
        return [list(tensors)]
    return list(zip(*(tf.split(tensor, sizes, axis, num=parts) for tensor in tensors)))


def accelerated() -> bool:
    """Whether there is an accelerator."""
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def processors(tensor: Any) -> tuple[int, bool]:
    """See `torch.processors`; TensorFlow has no persistent kernel."""
    return 0, True


def splits_slowly() -> bool:
    """See `jax.splits_slowly`."""
    return False


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """See `jax.explained`."""
    yield

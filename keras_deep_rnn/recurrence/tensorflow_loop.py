"""The loop primitive on TensorFlow, and how a function gets a gradient of its own."""

import contextlib
import contextvars
import sys

import tensorflow as tf

from ..errors import UserError
from . import available_cores, number_of_parts


def scan(step, carry, inputs, shapes, reverse=False):
    """See `recurrence`. The number of time steps may be unknown."""
    length = tf.shape(inputs[0])[0]
    carry = [tf.convert_to_tensor(value) for value in carry]
    readers = [
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x) for x in inputs
    ]
    writers = [
        tf.TensorArray(carry[0].dtype, size=length, element_shape=shape) for shape in shapes
    ]

    def body(i, carry, writers):
        t = length - 1 - i if reverse else i
        new_carry, outputs = step(carry, [reader.read(t) for reader in readers])
        new_carry = [tf.ensure_shape(new, old.shape) for new, old in zip(new_carry, carry)]
        return i + 1, new_carry, [writer.write(t, v) for writer, v in zip(writers, outputs)]

    # XLA can differentiate the loop only where it knows the largest number of iterations.
    _, carry, writers = tf.while_loop(
        lambda i, *_: i < length, body, (0, carry, writers), maximum_iterations=length
    )
    stacked = [writer.stack() for writer in writers]
    return carry, [tf.ensure_shape(s, [inputs[0].shape[0], *s.shape[1:]]) for s in stacked]


def with_gradient(result, forward, backward):
    """A function of tensors whose gradient is not found by tracing its loop.

    Args:
        result: Function of tensors to its result, for where no gradient is asked for. TensorFlow
            does not say where that is.
        forward: The same with what `backward` needs besides, in lists.
        backward: Function of the gradient of the result, these lists and the arguments (as a list)
            to the gradients of the arguments.

    Returns:
        Function of the arguments to the result.
    """

    @tf.custom_gradient
    def function(*arguments):
        value, kept = forward(*arguments)

        def gradients(gradient):
            # What gathers from the result hands back slices of a gradient.
            return backward(tf.convert_to_tensor(gradient), kept, list(arguments))

        return value, gradients

    # Read variables outside: what the function closes over would get no gradient.
    return lambda *arguments: function(*(tf.convert_to_tensor(a) for a in arguments))


def pull_back(function, x, gradient):
    """The gradient of x, from the gradient of `function(x)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        result = function(x)
    return tape.gradient(result, x, gradient)


def compiled(function):
    """`function`, compiled by XLA at the first call for each set of shapes."""
    program = tf.function(function, jit_compile=True, reduce_retracing=True, autograph=False)

    # A tape would look into what `with_gradient` has given a gradient, and not get past XLA.
    @tf.custom_gradient
    def outside_the_tape(*arguments):
        def refuse(*_):
            raise UserError(
                "a recurrence that XLA has compiled has no second derivative: "
                "give the layer `jit_compile=False`"
            )

        return program(*tf.nest.map_structure(tf.stop_gradient, arguments)), refuse

    return outside_the_tape


def single_step(cell, xla):
    """The cell as a function of x(t) and the list of states, without a gradient, compiled once."""

    def step(x, states):
        return cell(x, states, training=False)

    return tf.function(step, jit_compile=xla, reduce_retracing=True, autograph=False)


# Each part is a program of its own for XLA to compile.
MOST_PARTS = 8


def parts_side_by_side():
    """Into how many parts a batch is split: one for each core, as far as they run side by side."""
    if tf.executing_eagerly() or accelerated():
        return 1
    cores = tf.config.threading.get_inter_op_parallelism_threads() or available_cores()
    return min(cores, MOST_PARTS)


def split(tensors, parts, least):
    """The tensors in parts along their first axis, of nearly equal size: a list for each part.

    There are at most `parts`, with at least `least` rows each. Where the number of rows is unknown,
    there are exactly `parts`, the last of them empty where there are too few rows. TensorFlow runs
    side by side what does not depend on each other.
    """
    rows = tensors[0].shape[0]
    if rows is not None:
        parts = number_of_parts(rows, parts, least)
        sizes = [(rows + i) // parts for i in range(parts)]
    else:
        rows = tf.shape(tensors[0])[0]
        used, i = tf.clip_by_value(rows // least, 1, parts), tf.range(parts)
        sizes = tf.where(i < used, (rows + i) // used, 0)
    if parts == 1:
        return [list(tensors)]
    return list(zip(*(tf.split(tensor, sizes, num=parts) for tensor in tensors)))


def accelerated():
    """Whether there is a device that is faster than the processor."""
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


_as_exported = contextvars.ContextVar("as_exported", default=False)


@contextlib.contextmanager
def as_exported():
    """In the block, recurrences run as in a SavedModel: without XLA, the batch in one part."""
    token = _as_exported.set(True)
    try:
        yield
    finally:
        _as_exported.reset(token)


def exporting():
    """Whether the graph that is being traced is one for a SavedModel.

    TensorFlow and Keras do not say so to the layers: it shows in the functions that are running.
    """
    if _as_exported.get():
        return True
    frame = None if tf.executing_eagerly() else sys._getframe(1)
    while frame is not None:
        if "saved_model" in frame.f_globals.get("__name__", ""):
            return True
        frame = frame.f_back
    return False

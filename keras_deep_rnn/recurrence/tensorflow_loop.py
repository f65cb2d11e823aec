"""The loop primitive on TensorFlow, and how a function gets a gradient of its own."""

import sys

import tensorflow as tf


def scan(step, carry, inputs, widths, reverse=False):
    """See `recurrence`. The number of time steps may be unknown."""
    length = tf.shape(inputs[0])[0]
    carry = [tf.convert_to_tensor(value) for value in carry]
    readers = [
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x) for x in inputs
    ]
    writers = [
        tf.TensorArray(carry[0].dtype, size=length, element_shape=[carry[0].shape[0], width])
        for width in widths
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


def with_gradient(forward, backward):
    """A function of tensors whose gradient is not found by tracing its loop.

    Args:
        forward: Function of tensors to the list of its result and what `backward` needs besides.
        backward: Function of the gradient of the result, that list and the arguments of `forward`
            (as a list) to the gradients of these arguments.

    Returns:
        Function of the arguments to the result.
    """

    @tf.custom_gradient
    def function(*arguments):
        kept = forward(*arguments)
        return kept[0], lambda gradient: backward(gradient, kept, list(arguments))

    # Read variables outside: what the function closes over would get no gradient.
    return lambda *arguments: function(*(tf.convert_to_tensor(a) for a in arguments))


def compiled(function):
    """`function`, compiled by XLA at the first call for each set of shapes."""
    return tf.function(function, jit_compile=True, reduce_retracing=True, autograph=False)


def exporting():
    """Whether the graph that is being traced is one for a SavedModel.

    TensorFlow and Keras do not say so to the layers: it shows in the functions that are running.
    """
    frame = None if tf.executing_eagerly() else sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").endswith(("export.saved_model", "saved_model.save")):
            return True
        frame = frame.f_back
    return False

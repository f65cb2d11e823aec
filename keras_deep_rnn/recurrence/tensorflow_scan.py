"""The loop primitive on TensorFlow."""

import tensorflow as tf


def scan(step, carry, inputs):
    """Applies `step(carry, [x[t] for x in inputs])` for each t; gives every carry, stacked.

    The first axis of the inputs and of the results is time, whose length may be unknown.
    """
    length = tf.shape(inputs[0])[0]
    readers = [
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x) for x in inputs
    ]
    carry = [tf.convert_to_tensor(value) for value in carry]
    writers = [
        tf.TensorArray(value.dtype, size=length, element_shape=value.shape) for value in carry
    ]

    def body(t, carry, writers):
        new_carry = step(carry, [reader.read(t) for reader in readers])
        new_carry = [tf.ensure_shape(new, old.shape) for new, old in zip(new_carry, carry)]
        return t + 1, new_carry, [writer.write(t, v) for writer, v in zip(writers, new_carry)]

    # XLA can differentiate the loop only where it knows the largest number of iterations.
    _, _, writers = tf.while_loop(
        lambda t, *_: t < length, body, (0, carry, writers), maximum_iterations=length
    )
    stacked = [writer.stack() for writer in writers]
    return [tf.ensure_shape(s, [inputs[0].shape[0], *s.shape[1:]]) for s in stacked]

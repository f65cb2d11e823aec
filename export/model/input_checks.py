"""Input checks in the graph of a served model, which raise InvalidArgument in one line.

TF Serving checks the types and names of inputs by itself. These are the mistakes that a graph would
answer with numbers: a token that wraps around, a state that is broadcast, a NaN that spreads. What
a check gives is an operation that all others have to wait for.
"""

from typing import Any

import tensorflow as tf


def finite(name: str, x: tf.Tensor) -> tf.Tensor:
    """`x`, which must hold neither NaN nor infinity."""
    return tf.debugging.check_numerics(x, f"`{name}` must be finite")


def within(name: str, values: tf.Tensor, highest: Any) -> tf.Operation:
    """The check that all integers in `values` lie between 0 and `highest`, both included."""
    # As unsigned numbers, the negative ones are larger than every bound: one comparison does.
    highest = tf.convert_to_tensor(highest, "int32")
    right = tf.bitcast(values, "uint32") <= tf.bitcast(highest, "uint32")
    message = [f"`{name}` must lie between 0 and", highest, "got", values]
    return _require(tf.reduce_all(right), message)


def not_negative(name: str, values: tf.Tensor) -> tf.Operation:
    """The check that none of `values` is below 0."""
    return _require(tf.reduce_all(values >= 0), [f"`{name}` must be at least 0, got", values])


def same_rows(tensors: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """The checks that all tensors, a dict by name, have as many rows as the first."""
    (first, x), *others = tensors.items()
    rows, checks = tf.shape(x)[0], []
    for name, tensor in others:
        got = tf.shape(tensor)[0]
        message = [f"`{name}` must have one row for each of `{first}`,", rows, "got", got]
        checks.append(_require(tf.equal(got, rows), message))
    return checks


def some_steps(name: str, x: tf.Tensor) -> tf.Operation:
    """The check that `x`, (B, T) or (B, T, D), has a step of time."""
    steps = tf.shape(x)[1]
    return _require(steps > 0, [f"`{name}` must have at least one step of time, got", steps])


def _require(condition: tf.Tensor, message: list[Any]) -> tf.Operation:
    # The bare operation: tf.debugging's wraps it in a branch, which costs more than the check.
    return tf.raw_ops.Assert(condition=condition, data=message, summarize=8)

"""Draws from a model's logits that depend on a row's own seed and on the step alone.

A row gives the same samples by itself, beside others and in any order: every random number is a
hash of the row's seed, the step and the unit. TensorFlow's own stateless generators draw for a
whole tensor, and differently where XLA compiles them.
"""

from typing import cast

import tensorflow as tf

from ...layers import NADE

# Odd constants with well-mixed bits: the golden ratio times 2**32, and those of the finalizer
# below (Chris Wellons, "Prospecting for hash functions", 2018, "lowbias32").
GOLDEN = 0x9E3779B9
FIRST, SECOND = 0x7FEB352D, 0x846CA68B


def uniform(seed: tf.Tensor, step: tf.Tensor, size: int) -> tf.Tensor:
    """Numbers strictly between 0 and 1, (B, size) float32.

    Args:
        seed: int32 (B,), one for each row.
        step: int32, the number of the draw.
        size: How many numbers a row gets.
    """
    row = _mixed(tf.bitcast(seed, "uint32") + _uint32(GOLDEN))
    row = _mixed(row + tf.bitcast(step, "uint32") * _uint32(GOLDEN))
    unit = tf.range(1, size + 1, dtype="int32")
    bits = _mixed(row[:, None] + (tf.bitcast(unit, "uint32") * _uint32(GOLDEN))[None])
    # 23 bits and a half: float32 holds every such number, 0 and 1 are not among them.
    bits = tf.bitcast(tf.bitwise.right_shift(bits, _uint32(9)), "int32")
    return (tf.cast(bits, "float32") + 0.5) * 2.0**-23


def draw_tokens(
    logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, step: tf.Tensor
) -> tf.Tensor:
    """A token for each row, (B,) int32, from softmax(logits / temperature).

    The largest of the logits plus Gumbel noise times the temperature; temperature 0 takes the most
    likely token.

    Args:
        logits: float32 (B, V).
        temperature: float32 (B,), at least 0.
        seed: As for `uniform`.
        step: As for `uniform`.
    """
    noise = -tf.math.log(-tf.math.log(uniform(seed, step, _width(logits))))
    return tf.argmax(logits + temperature[:, None] * noise, axis=-1, output_type="int32")


def draw_frame(
    logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, step: tf.Tensor
) -> tf.Tensor:
    """A frame of 0 and 1 for each row, (B, V) float32: each key from sigmoid(logit / temperature).

    Logistic noise times the temperature lifts the logit above 0 or not; temperature 0 takes what is
    likely.

    Args:
        logits: float32 (B, V).
        temperature: float32 (B,), at least 0.
        seed: As for `uniform`.
        step: As for `uniform`.
    """
    noise = _logistic_noise(seed, step, _width(logits))
    return tf.cast(logits + temperature[:, None] * noise > 0, "float32")


def draw_joint_frame(
    nade: NADE, parameters: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor, step: tf.Tensor
) -> tf.Tensor:
    """A frame of 0 and 1 for each row, (B, nade.units) float32, sampled unit by unit.

    Args:
        nade: The `NADE`.
        parameters: float32 (B, V), its parameters.
        temperature: float32 (B,), at least 0; of the conditional logits.
        seed: As for `uniform`.
        step: As for `uniform`.
    """
    noise = _logistic_noise(seed, step, nade.units)
    return tf.cast(nade.sample(parameters, noise, temperature), "float32")


def _logistic_noise(seed: tf.Tensor, step: tf.Tensor, size: int) -> tf.Tensor:
    u = uniform(seed, step, size)
    return tf.math.log(u) - tf.math.log(1 - u)


def _width(logits: tf.Tensor) -> int:
    return cast(int, logits.shape[-1])  # V, which every model knows


def _mixed(h: tf.Tensor) -> tf.Tensor:
    """Each bit of the result depends on every bit of `h`."""
    for shift, factor in ((16, FIRST), (15, SECOND)):
        h = tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, _uint32(shift))) * _uint32(factor)
    return tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, _uint32(16)))


def _uint32(value: int) -> tf.Tensor:
    return tf.constant(value, "uint32")

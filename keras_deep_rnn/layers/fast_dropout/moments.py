"""Mean and variance of what a unit computes under dropout.

Dropping each unit of x with probability p makes the pre-activation a sum of many independent
terms, which is nearly Gaussian. Its mean and variance have a closed form, and so have those of an
activation of it.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

# Nodes and weights of Gauss-Hermite quadrature over N(0, 1), exact up to degree 17.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
# Added to a variance under a square root, whose slope at 0 is infinite.
_EPSILON = 1e-8


def dropped_moments(mean: Any, variance: Any, rate: float) -> tuple[Any, Any]:
    """Mean and variance of d x, where d is 1 with probability q = 1 - p, else 0.

        E[d x] = q E[x]
        V[d x] = q V[x] + q p E[x]^2

    Args:
        mean: E[x].
        variance: V[x], or None for 0.
        rate: p, the dropout rate.

    Returns:
        E[d x] and V[d x].

    Example:

    >>> dropped_moments(2.0, 1.0, 0.5)
    (1.0, 1.5)
    """
    keep = 1 - rate
    dropped = keep * rate * mean * mean
    return keep * mean, dropped if variance is None else keep * variance + dropped


def affine_moments(mean: Any, variance: Any, rate: float, kernel: Any) -> tuple[Any, Any]:
    """Mean and variance of (d x) W under dropout of the units of x.

        E = E[d x] W,   V = V[d x] W^2   (W^2 elementwise)

    Args:
        mean: E[x], (..., units).
        variance: V[x], (..., units), or None for 0.
        rate: The dropout rate.
        kernel: W, (units, outputs).

    Returns:
        Two tensors of shape (..., outputs).
    """
    mean, variance = dropped_moments(mean, variance, rate)
    return ops.matmul(mean, kernel), ops.matmul(variance, ops.square(kernel))


def activated_moments(activation: Callable, mean: Any, variance: Any) -> tuple[Any, Any]:
    """Mean and variance of phi(a) for a Gaussian a.

    In closed form for relu and the identity; for any other phi by Gauss-Hermite quadrature with
    nine nodes a_k = mean + stddev * node_k:

        E[phi(a)] = sum_k w_k phi(a_k)
        V[phi(a)] = sum_k w_k phi(a_k)^2 - E[phi(a)]^2

    At variance 0 they are phi(mean) and 0.

    Args:
        activation: phi, elementwise.
        mean: E[a].
        variance: V[a], not negative.

    Returns:
        E[phi(a)] and V[phi(a)], of the shape of `mean`.

    Example:

    >>> mean, variance = activated_moments(keras.activations.relu, ops.zeros(1), ops.ones(1))
    >>> round(float(mean[0]), 4), round(float(variance[0]), 4)  # 1 / sqrt(2 pi), 1/2 - 1 / (2 pi)
    (0.3989, 0.3408)
    """
    if activation is keras.activations.linear:
        return mean, variance
    dtype = keras.backend.standardize_dtype(variance.dtype)
    if dtype == "float16":  # in which a small stddev and its inverse are out of range
        moments = (ops.cast(x, "float32") for x in (mean, variance))
        return tuple(ops.cast(x, dtype) for x in activated_moments(activation, *moments))
    stddev = ops.sqrt(variance + _EPSILON)
    if activation is keras.activations.relu:
        ratio = mean / stddev
        density = ops.exp(-0.5 * ratio * ratio) / math.sqrt(2 * math.pi)
        positive = 0.5 * (1 + ops.erf(ratio / math.sqrt(2)))
        first = mean * positive + stddev * density
        second = (mean * mean + stddev * stddev) * positive + mean * stddev * density
        return first, ops.relu(second - first * first)
    # All nodes at once, along an axis of their own in front.
    nodes = ops.reshape(ops.cast(_NODES, stddev.dtype), (-1, *[1] * len(mean.shape)))
    weights = ops.cast(_WEIGHTS, stddev.dtype)
    values = activation(mean + stddev * nodes)
    first = ops.tensordot(weights, values, axes=1)
    return first, ops.tensordot(weights, ops.square(values - first), axes=1)

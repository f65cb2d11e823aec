"""Keras operations as NumPy functions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


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
# that it takes. Any other operation runs in Keras.
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

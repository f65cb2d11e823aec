"""Arrays as TensorFlow's protobuf messages, and back."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from .status import Failure

# What a message of a few bytes can ask for by naming a large shape.
MAX_ELEMENTS = 2**24


def to_proto(array: np.ndarray, proto: Any = None) -> Any:
    """Writes an array of numbers into a `TensorProto`, a new one unless given, and returns it.

    Example:

    >>> to_array(to_proto(np.eye(2, dtype="float32")))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    messages: Any = tensor_pb2  # whose content protobuf makes when it is imported
    proto = messages.TensorProto() if proto is None else proto
    proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = array.tobytes()
    return proto


def to_array(proto: Any) -> np.ndarray:
    """The array of a `TensorProto`, whichever of its fields holds the values.

    Raises:
        Failure: With INVALID_ARGUMENT, it holds no tensor.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise Failure("INVALID_ARGUMENT", "tensor parsing error: its shape is not known")
    if math.prod(shape) > MAX_ELEMENTS:
        raise Failure("INVALID_ARGUMENT", f"tensor parsing error: a shape of {list(shape)}")
    try:
        if proto.tensor_content:
            dtype = tf.as_dtype(proto.dtype).as_numpy_dtype
            return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
        return tf.make_ndarray(proto)
    except KeyError:  # a type that arrays of numbers do not have, such as that of resources
        raise Failure("INVALID_ARGUMENT", f"tensor parsing error: type {proto.dtype}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise Failure("INVALID_ARGUMENT", f"tensor parsing error: {error}") from None

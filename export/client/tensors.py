"""Arrays as TensorFlow's protobuf messages, and back."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from ..model.signature_specs import Arrays
from .status import Failure

# What the tensors of a message of a few bytes can ask for by naming large shapes.
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


def to_arrays(protos: Mapping[str, Any]) -> Arrays:
    """The arrays of several `TensorProto`s by name, whichever of their fields hold the values.

    Raises:
        Failure: With INVALID_ARGUMENT, one holds no tensor, or the shapes ask for too much.
    """
    # Bytes of content are as many as the tensor has. Otherwise one value can stand for any number;
    # where all are there, each takes a byte or more.
    sizes = ((math.prod(_shape(p)), p) for p in protos.values() if not p.tensor_content)
    implied = sum(size for size, proto in sizes if size > proto.ByteSize())
    if implied > MAX_ELEMENTS:
        reason = f"tensor parsing error: the shapes ask for more than {MAX_ELEMENTS} values"
        raise Failure("INVALID_ARGUMENT", reason)
    return {name: to_array(proto) for name, proto in protos.items()}


def to_array(proto: Any) -> np.ndarray:
    """The array of one `TensorProto`, as `to_arrays` gives it."""
    shape = _shape(proto)
    try:
        if proto.tensor_content:
            dtype = tf.as_dtype(proto.dtype).as_numpy_dtype
            return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
        return tf.make_ndarray(proto)
    except KeyError:  # a type that arrays of numbers do not have, such as that of resources
        raise Failure("INVALID_ARGUMENT", f"tensor parsing error: type {proto.dtype}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise Failure("INVALID_ARGUMENT", f"tensor parsing error: {error}") from None


def _shape(proto: Any) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise Failure("INVALID_ARGUMENT", "tensor parsing error: its shape is not known")
    return shape

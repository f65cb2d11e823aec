"""Whether TensorFlow is tracing a function for XLA or for an export."""

import contextlib
import contextvars
import sys
import types
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.eager import record  # no public name says whether a tape records


def _callers() -> Iterator[types.FrameType]:
    """The frames of the call stack, the only place that tells what is being traced for."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def compiled_whole() -> bool:
    """Whether XLA compiles the whole function that is being traced, so that it knows the length."""
    functions = (frame.f_locals.get("self") for frame in _callers())
    return any(getattr(function, "_jit_compile", None) is True for function in functions)


_as_exported = contextvars.ContextVar("as_exported", default=False)


@contextlib.contextmanager
def as_exported() -> Iterator[None]:
    """In the block, recurrences run as in a SavedModel: without XLA, the batch in one part.

    TensorFlow has no public name for the context of `tf.saved_model.save`, and it would not do: the
    same graphs are also traced before they are saved, for expected outputs and for converters.
    """
    token = _as_exported.set(True)
    try:
        yield
    finally:
        _as_exported.reset(token)


def exporting(batch: int | None = 1) -> bool:
    """Whether the graph that is being traced is one for a SavedModel.

    A function may also be traced before it is saved. It then takes a batch of any size: so counts a
    function of unknown batch size where neither a Keras trainer runs nor a tape records.
    """
    if _as_exported.get():
        return True
    if tf.executing_eagerly():
        return False
    names = {frame.f_globals.get("__name__", "") for frame in _callers()}
    if any("saved_model" in name for name in names):
        return True
    if batch is not None or record.could_possibly_record():
        return False
    return not any(name.startswith("keras.src.backend.tensorflow.trainer") for name in names)

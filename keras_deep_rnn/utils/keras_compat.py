"""Every reach past Keras's public interface, each with its reason."""

import contextlib

import keras
from keras.src.backend.common.variables import AutocastScope

# `keras.layers.RNN` draws the masks of a cell before its loop only where the cell is of this class,
# which Keras does not export: it is found among the parents of a cell that Keras does export.
_PARENTS = {parent.__name__: parent for parent in keras.layers.SimpleRNNCell.__mro__}
if "DropoutRNNCell" not in _PARENTS:
    raise ImportError(f"keras-deep-rnn cannot work with the cells of Keras {keras.__version__}")
KerasDropoutCell = _PARENTS["DropoutRNNCell"]


def autocast(dtype: str | None) -> contextlib.AbstractContextManager:
    """In the block, variables are read in `dtype`, as in the call of a layer that computes in it.

    A backward pass runs after the layer's call has ended, and computes the layer's step again.
    """
    return AutocastScope(dtype)


def without_autocast() -> contextlib.AbstractContextManager:
    """In the block, variables are read in their own type."""
    return AutocastScope(None)


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers inside of a layer, at any depth."""
    return list(layer._flatten_layers(include_self=False))

"""Every reach past Keras's public interface, each with its reason."""

import contextlib
from collections.abc import Iterator

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


def calls_before(results: list[keras.KerasTensor]) -> list:
    """The calls of operations that symbolic results come from, each after those it needs.

    Keras makes a model of them, but refuses two layers of one name.
    """
    ordered, seen = [], set()
    left = [r._keras_history for r in results if hasattr(r, "_keras_history")]
    left = [made.operation._inbound_nodes[made.node_index] for made in left if made.operation]
    while left:
        missing = [node for node in left[-1].parent_nodes if id(node) not in seen]
        left += missing
        if not missing:
            node = left.pop()
            ordered += [node] if id(node) not in seen else []
            seen.add(id(node))
    return ordered


@contextlib.contextmanager
def without_new_calls(layer: keras.layers.Layer) -> Iterator[None]:
    """After the block, a layer and those inside of it have forgotten its symbolic calls.

    Keras keeps each with the layer, for good, and gives a layer that was called twice no `output`.
    """
    kept = [
        part
        for each in (layer, *sublayers(layer))
        for part in (each._inbound_nodes, each._outbound_nodes)
    ]
    counts = [len(nodes) for nodes in kept]
    try:
        yield
    finally:
        for nodes, count in zip(kept, counts):
            del nodes[count:]

"""Every use of Keras's private API, each with its reason."""

import contextlib
from collections.abc import Iterator

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.variables import AutocastScope

# `keras.layers.RNN` draws dropout masks before its loop only for cells of this class, which Keras
# does not export: it is found among the base classes of an exported cell.
_PARENTS = {parent.__name__: parent for parent in keras.layers.SimpleRNNCell.__mro__}
if "DropoutRNNCell" not in _PARENTS:
    raise ImportError(f"keras-deep-rnn cannot work with the cells of Keras {keras.__version__}")
KerasDropoutCell = _PARENTS["DropoutRNNCell"]


def autocast(dtype: str | None) -> contextlib.AbstractContextManager:
    """Casts variables to `dtype` in the block, as in the call of a layer with that compute dtype.

    The backward pass recomputes the step after the layer's call has ended.
    """
    return AutocastScope(dtype)


def without_autocast() -> contextlib.AbstractContextManager:
    """Reads variables in their own dtype in the block."""
    return AutocastScope(None)


@contextlib.contextmanager
def without_variables() -> Iterator[None]:
    """Builds layers in the block whose variables have shapes, and are never made.

    Keras makes the variables of a `StatelessScope` later, with those of the next one: it keeps a
    list of them, which is put back. So is its generator of seeds, which might be among them.
    """
    names = ("uninitialized_variables", "global_seed_generator")
    before = {name: global_state.get_global_attribute(name) for name in names}
    global_state.set_global_attribute("uninitialized_variables", [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        for name, value in before.items():
            global_state.set_global_attribute(name, value)


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All sublayers of a layer, at any depth."""
    return list(layer._flatten_layers(include_self=False))


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The moving averages of the trainable variables, of an optimizer with `use_ema=True`."""
    return optimizer._model_variables_moving_average


def variable_index(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> int:
    """Place of a variable, and of the optimizer's own for it, among those it was built with.

    Every optimizer of Keras finds its variables by it.
    """
    return optimizer._get_variable_index(variable)


def calls_before(results: list[keras.KerasTensor]) -> list:
    """Nodes of the graph that symbolic outputs come from, in topological order.

    A `keras.Model` of them would have them too, but refuses two layers with the same name.
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
    """Removes the symbolic calls in the block from a layer and its sublayers.

    Keras stores every call with the layer, and a layer that was called twice has no `output`.
    """
    nodes_of_layers = [
        part
        for each in (layer, *sublayers(layer))
        for part in (each._inbound_nodes, each._outbound_nodes)
    ]
    counts = [len(nodes) for nodes in nodes_of_layers]
    try:
        yield
    finally:
        for nodes, count in zip(nodes_of_layers, counts):
            del nodes[count:]

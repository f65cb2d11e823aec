"""`InputLayers`: Keras layers before the recurrent one, such as an embedding, for every network."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ..training.models import seeded
from ..utils.errors import ArgumentError, Words

Given = keras.layers.Layer | Sequence[keras.layers.Layer] | Callable[[], Any] | None


class InputLayers:
    """Makes the layers between the input of a network and its recurrent layer.

    No two networks share a layer. A layer without weights so far is copied by its configuration,
    with seeds for everything random. One with weights, such as a pretrained embedding, or with an
    `adapt` method is copied together with its state.

    Args:
        given: Keras layer; list of them; or function without arguments that returns either, new
            layers at each call. None: no layers.

    Raises:
        ArgumentError: Something is no Keras layer, or a layer has not been adapted.
    """

    def __init__(self, given: Given) -> None:
        self._make = None
        if callable(given) and not isinstance(given, keras.layers.Layer):
            self._make = given
            given = given()
        self._layers = _flat(given)
        for layer in self._layers:
            _check_adapted(layer)

    def __bool__(self) -> bool:
        return bool(self._layers)

    def make(self, seeds: random.Random) -> list[keras.layers.Layer]:
        """New layers, in their order.

        Args:
            seeds: Where their seeds come from; a function's layers have their own.

        Raises:
            ArgumentError: The function returns a layer that another network has.
        """
        if self._make is None:
            return [_copy(layer, seeds) for layer in self._layers]
        made = _flat(self._make())
        for layer in made:
            if any(layer is other for other in self._layers):
                expected = "a function that makes new layers at each call"
                raise ArgumentError("input_layers", expected, Words(f"{layer.name!r} again"))
        return made


def _flat(given: Any) -> list[keras.layers.Layer]:
    """A list of layers; the layers of a `Sequential` are copied one by one."""
    if given is None:
        return []
    if isinstance(given, keras.Sequential):
        given = given.layers
    found = []
    for layer in given if isinstance(given, (list, tuple)) else [given]:
        if not isinstance(layer, keras.layers.Layer):
            expected = "a Keras layer, a list of them, or a function that makes them"
            raise ArgumentError("input_layers", expected, layer)
        found += _flat(layer) if isinstance(layer, keras.Sequential) else [layer]
    return found


def _copy(layer: keras.layers.Layer, seeds: random.Random) -> keras.layers.Layer:
    if _adapts(layer):
        # Only the file format of Keras, by which it makes deep copies, has an adapted state.
        return copy.deepcopy(layer)
    made = seeded(layer, seeds)
    if layer.weights:
        if not made.built:
            made.build_from_config(layer.get_build_config())
        made.set_weights(layer.get_weights())
    return made


def _adapts(layer: Any) -> bool:
    """Whether a layer, or one inside of it, has a state that it learns by `adapt`."""
    inside = [*getattr(layer, "layers", ()), getattr(layer, "layer", None)]
    return hasattr(layer, "adapt") or any(_adapts(part) for part in inside if part is not None)


def _check_adapted(layer: keras.layers.Layer) -> None:
    """Refuses a layer that would pass on its input as it is, or every word as unknown."""
    adapted = True
    if isinstance(layer, keras.layers.Normalization):
        if layer.input_mean is None:
            mean, variance = (map(np.asarray, layer.get_weights()[:2])) if layer.built else (0, 1)
            adapted = bool(np.any(mean != 0) or np.any(variance != 1))
    elif hasattr(layer, "get_vocabulary"):
        adapted = bool(layer.get_vocabulary(include_special_tokens=False))
    elif isinstance(layer, keras.layers.Discretization):
        adapted = layer.bin_boundaries is not None
    if not adapted:
        got = Words(f"{layer.name!r}, which has not been adapted")
        hint = "; call its `adapt` with the training data."
        raise ArgumentError("input_layers", "ready for use", got, hint)

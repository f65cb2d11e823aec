"""The states of a stateful layer."""

from collections.abc import Sequence
from typing import Any

import keras


class CarriedState(keras.layers.Layer):
    """The states that a stateful layer carries from batch to batch.

    They are variables of a layer, so that the JAX trainer keeps them, but not weights: they are
    neither saved nor counted, as in Keras.
    """

    def __init__(self, shapes: Sequence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.states = [
            self.add_weight(name=f"state_{i}", shape=shape, initializer="zeros", trainable=False)
            for i, shape in enumerate(shapes)
        ]
        self.built = True

    @property
    def weights(self) -> list:
        return []

    def save_own_variables(self, store: Any) -> None:
        pass

    def load_own_variables(self, store: Any) -> None:
        pass

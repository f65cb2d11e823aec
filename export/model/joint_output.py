"""A network with a joint output as a model of one input, which its signatures need."""

from typing import Any

import keras

from ...layers import NADE
from ...training.models import before_joint_output


class NADEParameters(keras.layers.Layer):
    """Gives the parameters of a `NADE`, whose weights it has."""

    def __init__(self, nade: NADE, **options: Any) -> None:
        super().__init__(**options)
        self.nade = nade
        self.built = True

    def call(self, y: Any) -> Any:
        return self.nade.parameters(y)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nade": keras.saving.serialize_keras_object(self.nade)}


def without_target(model: keras.Model) -> tuple[keras.Model, NADE | None]:
    """The model up to the parameters of its `NADE`, and that; the model and None without a `NADE`.

    Example:

    >>> x, v = keras.Input((None, 3)), keras.Input((None, 4))
    >>> model = keras.Model([x, v], NADE(4, 2)([keras.layers.GRU(5, return_sequences=True)(x), v]))
    >>> exported, nade = without_target(model)
    >>> len(exported.inputs), exported.output_shape, nade.units
    (1, (None, None, 6), 4)
    """
    found = before_joint_output(model)
    if found is None:
        return model, None
    before, nade = found
    parameters = NADEParameters(nade, dtype=nade.dtype_policy, name="parameters")
    return keras.Model(before.input, parameters(before.output), name=model.name), nade

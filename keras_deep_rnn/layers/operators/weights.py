"""The weights of an operator's affine maps, their normalizations and activations."""

from typing import Any

import keras

from ...recurrence.affine import Affine, AffineMap
from ...utils.errors import UserError
from ...utils.validation import CHECKS
from ..initializers import numbered
from ..options import Configured, set_untracked


class AffineWeights(Configured):
    """The part of `Operator` that makes the weights of its affine maps."""

    # Names of the weights of a map's sources, and which options they take.
    arrows = ("hidden_to_hidden", "shortcut")
    role = "recurrent"
    # Whether the affine maps take x(t) itself, which may be tokens.
    input_feeds_maps = True

    def _build_maps(self, features: int | None) -> None:
        """Makes the weights of all maps, in their order: U_i, W_i1, W_i2, ..., b_i."""
        maps, input_kernels, kernels, biases = [], [], [], []
        for i, part in enumerate(self.affine_maps()):
            phi, width = self._copy_activation(part.activation, part.units)
            if part.pieces < 1 or part.units % part.pieces:
                raise UserError(
                    f"`pieces` of affine map {i} must divide its {part.units} units, got "
                    f"{part.pieces}."
                )
            if part.x:
                own = {"initializer": self.input_initializer} if self.input_feeds_maps else {}
                shape = features, width
                kernel = self._make_weight(f"input_to_hidden_{i + 1}", "kernel", shape, **own)
                input_kernels.append(kernel)
            kernels.append([])
            for j, source in enumerate(part.sources):
                arrow = self.arrows[min(j, len(self.arrows) - 1)]
                arrow += f"_{j}" if j >= len(self.arrows) else ""
                own = self._initializer_of(j, part)
                shape = source, width
                kernels[-1].append(self._make_weight(f"{arrow}_{i + 1}", self.role, shape, **own))
            biases.append([])
            if self.use_bias if part.bias is None else part.bias:
                bias = self._make_weight(f"bias_{i + 1}", "bias", (width,), self.initial_bias(i))
                biases[-1].append(bias)
            phi = _compose(phi, self._copy_normalization(width))
            maps.append(
                AffineMap(width, len(part.sources), part.x, phi, tuple(part.dropped), part.pieces)
            )
        set_untracked(self, "maps", maps)
        set_untracked(self, "_input_kernels", input_kernels)
        set_untracked(self, "_kernels", kernels)
        set_untracked(self, "_biases", biases)
        set_untracked(self, "_structure", None)

    def _initializer_of(self, j: int, part: Affine) -> dict:
        """Options of `_make_weight` for source j of a map, where its role does not decide them."""
        if len(part.sources) < 2 or self.role != "recurrent":
            return {}
        if self.shortcut_initializer is None:
            return {"gain": len(part.sources) ** -0.5}
        return {"initializer": self.shortcut_initializer} if j else {}

    def _make_weight(
        self, name: str, role: str, shape: tuple, initializer: Any = None, gain: float = 1.0
    ) -> keras.Variable:
        """Makes a weight, an attribute of its own name, which is where frameworks look for it."""
        shared = getattr(self, f"{role}_initializer")
        initializer = numbered(initializer or shared, self._made[role])
        self._made[role] += 1
        weight = self.add_weight(
            name=name,
            shape=shape,
            initializer=lambda shape, dtype=None: gain * initializer(shape, dtype=dtype),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )
        setattr(self, name, weight)
        self._weights.append(weight)
        return weight

    def _copy_activation(self, activation: Any, units: int) -> tuple[Any, int]:
        """The activation of one map, a copy where it is a layer, and the width of its z."""
        width = units * getattr(activation, "pieces", 1)
        if not isinstance(activation, keras.layers.Layer):
            return activation, width
        made = self._copy(activation, f"activation_{len(self._activations)}", width)
        self._activations.append(made)
        return made, width

    def _track_activation(self, name: str) -> None:
        """Replaces an activation that the step itself applies by a copy, where it is a layer."""
        set_untracked(self, name, self._copy_activation(getattr(self, name), self.units)[0])

    def _copy_normalization(self, width: int) -> keras.layers.Layer | None:
        if self.normalization is None:
            return None
        name = f"normalization_{len(self._normalizations)}"
        self._normalizations.append(self._copy(self.normalization, name, width))
        return self._normalizations[-1]

    def _copy(self, layer: keras.layers.Layer, name: str, width: int) -> keras.layers.Layer:
        dtype = keras.saving.serialize_keras_object(self.dtype_policy)
        made = type(layer).from_config({**layer.get_config(), "name": name, "dtype": dtype})
        made.build((None, width))
        setattr(self, name, made)  # TensorFlow's checkpoints do not look into lists
        return made


def normalization_of(value: Any) -> keras.layers.Layer | None:
    """The layer that an argument `normalization` names, or None."""
    if value is None or value == "layer":
        return value and keras.layers.LayerNormalization(epsilon=1e-5)
    return CHECKS["normalization"]("normalization", value)


def _compose(outer: Any, inner: Any) -> Any:
    """outer(inner(z)) as a function of z, where each may be None for the identity."""
    if outer is None or inner is None:
        return outer or inner
    return lambda z: outer(inner(z))

"""The sparse initializer of the paper's recipe; initializers shared by several weights."""

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ..utils.errors import ArgumentError, Words
from ..utils.validation import number, positive_integer
from ..utils.validation import seed as check_seed


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class SparseInitializer(keras.initializers.Initializer):
    """Initializes a kernel with few nonzero weights a unit and a given largest singular value.

    Every column of the kernel (inputs, units) gets `nonzeros` normal entries at random rows and
    is scaled to norm 1; then the whole kernel is scaled so that its largest singular value is
    `singular_value`. A unit with fewer than `nonzeros` inputs is connected to all of them.

    Args:
        nonzeros: Number of nonzero incoming weights of each unit, at least 1.
        singular_value: Largest singular value of the kernel, above 0. None leaves the columns at
            norm 1.
        seed: Integer that makes the values reproducible; None draws one, which
            `keras.utils.set_random_seed` fixes. One initializer gives the same values at every
            call with the same shape, on every backend.

    Raises:
        UserError: An argument is out of range, or the shape to fill does not have two axes.

    Example:

    >>> import numpy as np
    >>> kernel = np.array(SparseInitializer(nonzeros=2, seed=0)((6, 4)))
    >>> (kernel != 0).sum(axis=0).tolist()
    [2, 2, 2, 2]
    >>> round(float(np.linalg.norm(kernel, 2)), 4)
    1.0

    Source: Pascanu et al., arXiv:1312.6026, section 5; Martens, "Deep learning via Hessian-free
    optimization" (2010), section 5, with 15 nonzero weights.
    """

    def __init__(
        self, nonzeros: int = 15, singular_value: float | None = 1.0, seed: int | None = None
    ) -> None:
        self.nonzeros = positive_integer("nonzeros", nonzeros)
        if singular_value is not None:
            singular_value = number("singular_value", singular_value, above=0)
        self.singular_value = singular_value
        self.seed = check_seed("seed", seed)
        self._seed = random.randint(1, 10**9) if seed is None else seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        shape = tuple(shape)
        if len(shape) != 2:
            raise ArgumentError("shape", "(inputs, units)", Words(shape))
        # NumPy instead of the backend: the same kernel on every backend.
        draw = np.random.default_rng(self._seed)
        order = draw.random(shape).argsort(axis=0).argsort(axis=0)
        kernel = np.where(order < self.nonzeros, draw.standard_normal(shape), 0.0)
        kernel /= np.maximum(np.linalg.norm(kernel, axis=0), np.finfo("float64").tiny)
        if self.singular_value is not None and kernel.size:
            kernel *= self.singular_value / np.linalg.norm(kernel, 2)
        return keras.ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {
            "nonzeros": self.nonzeros,
            "singular_value": self.singular_value,
            "seed": self.seed,
        }


def numbered(initializer: Any, number: int) -> Any:
    """The initializer of weight `number` among those that share it.

    A Keras initializer returns the same values each time it is called, so that two weights would
    start equal. The first takes it as it is, every later one a copy with `number` added to the
    seed.
    """
    if number == 0 or not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += number
    elif config.get("seed") is not None:
        return initializer  # a seed generator, which advances by itself
    return type(initializer).from_config(config)

"""Weight noise: Gaussian noise on the kernels of a layer while it trains."""

from typing import Any

import keras

from ..utils.validation import keras_layer, number
from ..utils.validation import seed as check_seed


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class WeightNoise(keras.layers.Wrapper):
    """Adds Gaussian noise to the kernels of a layer in training.

    Each call in training, so each batch, draws new noise: every trainable weight W of the layer
    with two or more axes is replaced by W + `stddev` * N(0, 1), the same for all time steps.
    Biases get no noise. The gradient is taken at the noisy weights and applied to the clean ones.
    Non-trainable variables of the layer (carried states, seeds of its dropout, moving averages)
    are updated as without the wrapper.

    Inputs, outputs, masks and other arguments of the call, such as `initial_state`, are those
    of the wrapped layer.

    Args:
        layer: The `keras.layers.Layer` whose kernels get noise.
        stddev: Standard deviation of the noise, at least 0; 0.075 in the paper.
        seed: Integer that makes the noise reproducible, or None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`. `dtype` is the wrapped
            layer's.

    Raises:
        UserError: `layer` is not a Keras layer, `stddev` is not a finite number of at least 0,
            or `seed` is not an integer.

    Example:

    >>> import keras, numpy as np
    >>> layer = WeightNoise(keras.layers.SimpleRNN(3), stddev=0.075, seed=1)
    >>> x = np.ones((2, 5, 4), "float32")
    >>> layer(x).shape == (2, 3)
    True
    >>> first, second = (layer(x, training=True) for _ in range(2))
    >>> bool(keras.ops.all(first != second))
    True
    >>> bool(keras.ops.all(layer(x) == layer.layer(x)))
    True

    Source: Graves, "Practical variational inference for neural networks" (2011); used by
    Pascanu et al., arXiv:1312.6026, section 5, on the language tasks.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        stddev: float = 0.075,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        layer = keras_layer("layer", layer)
        # Weights are read here in full precision; the wrapped layer casts them.
        kwargs["dtype"] = layer.variable_dtype
        super().__init__(layer, autocast=False, **kwargs)
        self.stddev = number("stddev", stddev, least=0)
        self.seed = check_seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = layer.supports_masking

    def call(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if not training or not self.stddev:
            return self.layer(inputs, training=training, **kwargs)
        # Keras does not list the carried states of its recurrent layers among the variables.
        states = keras.tree.flatten(getattr(self.layer, "states", None))
        states = [state for state in states if isinstance(state, keras.Variable)]
        variables = [*self.layer.variables, *states]
        values = [(variable, self._noisy(variable)) for variable in variables]
        # Values assigned in a scope end with it, so the updates of the layer are copied out.
        with keras.StatelessScope(values, collect_losses=True) as scope:
            outputs = self.layer(inputs, training=training, **kwargs)
        for variable in variables:
            if not variable.trainable:
                variable.assign(scope.get_current_value(variable))
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _noisy(self, variable: keras.Variable) -> Any:
        value = keras.ops.convert_to_tensor(variable.value)
        if not variable.trainable or len(variable.shape) < 2:
            return value
        noise = keras.random.normal(variable.shape, dtype=value.dtype, seed=self.seed_generator)
        return value + self.stddev * noise

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    def reset_state(self) -> None:
        """Resets the state of a stateful recurrent layer."""
        if hasattr(self.layer, "reset_state"):
            self.layer.reset_state()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}

"""The optimizer of the paper's authors."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ..utils.keras_compat import variable_index
from ..utils.validation import number, rate


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class ClippedMomentum(keras.optimizers.Optimizer):
    """Gradient descent by a velocity whose norm is clipped, and which is stored clipped.

        v(n) = clip(momentum * v(n-1) + g(n)),   clip(v) = v * min(1, velocity_clipnorm / |v|)
        w(n) = w(n-1) - learning_rate * v(n)

    n counts updates; |v| is the norm over all weights together. `keras.optimizers.SGD` clips the
    gradients instead, which `momentum` then adds up to a velocity of up to 1 / (1 - momentum) times
    their norm. Here, with a momentum near 1, nearly every update has the length `learning_rate *
    velocity_clipnorm`, in a direction averaged over about 1 / (1 - momentum) updates.

    Args:
        learning_rate: Float above 0, or a `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: At least 0 and below 1.
        velocity_clipnorm: Largest norm of the velocity, above 0.
        use_ema, ema_momentum, ema_overwrite_frequency, name: As for every optimizer of Keras.

    Raises:
        UserError: An argument is not a number in its range.

    Example: with a gradient of 3 the velocity is 1 from the first update on.

    >>> import keras
    >>> w = keras.Variable([5.0])
    >>> optimizer = ClippedMomentum(learning_rate=0.5, momentum=0.9)
    >>> for _ in range(4):
    ...     optimizer.apply([keras.ops.array([3.0])], [w])
    >>> float(w.numpy()[0])
    3.0

    Source: the authors' GroundHog, `trainer/SGD_momentum.py`, with the defaults of their script for
    characters, `tutorials/DT_RNN_Tut.py`. Where the norm is not finite, they shrink the weights;
    here training then fails.
    """

    def __init__(
        self,
        learning_rate: Any = 1.0,
        momentum: float = 0.995,
        velocity_clipnorm: float = 1.0,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(learning_rate):
            learning_rate = number("learning_rate", learning_rate, above=0)
        super().__init__(
            learning_rate,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            name=name,
        )
        self.momentum = rate("momentum", momentum)
        self.velocity_clipnorm = number("velocity_clipnorm", velocity_clipnorm, above=0)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if not self.built:
            super().build(variables)
            self.velocities = self.add_optimizer_variables(variables, "velocity")

    def apply(
        self, grads: Sequence, trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Updates the weights.

        Args:
            grads: A gradient for each variable; None leaves it as it is.
            trainable_variables: The variables; None for those that the optimizer was built with.
        """
        if trainable_variables is None:
            velocities = self.velocities
        else:
            self.build(trainable_variables)
            velocities = [self.velocities[variable_index(self, v)] for v in trainable_variables]
        moving = [(v, g) for v, g in zip(velocities, grads, strict=True) if g is not None]
        new = [ops.add(ops.multiply(v, self.momentum), ops.cast(g, v.dtype)) for v, g in moving]
        norm = ops.sqrt(sum(ops.sum(ops.square(value)) for value in new))
        scale = self.velocity_clipnorm / ops.maximum(norm, self.velocity_clipnorm)
        for (velocity, _), value in zip(moving, new):
            self.assign(velocity, value * scale)
        steps = [None if g is None else ops.convert_to_tensor(v) for v, g in zip(velocities, grads)]
        super().apply(steps, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves a weight; `gradient` is its velocity."""
        step = ops.cast(learning_rate, variable.dtype) * ops.cast(gradient, variable.dtype)
        self.assign_sub(variable, step)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        taken = ("name", "learning_rate", "use_ema", "ema_momentum", "ema_overwrite_frequency")
        own = {"momentum": self.momentum, "velocity_clipnorm": self.velocity_clipnorm}
        return {**{name: config[name] for name in taken}, **own}

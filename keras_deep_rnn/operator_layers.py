"""The layers that ⊕ and ▷ are made of: weights, and an activation each."""

import dataclasses
import functools
import operator

import keras
from keras import ops

from .arguments import Configured, numbered
from .pooling import in_blocks


@dataclasses.dataclass(frozen=True)
class _Layer:
    """One layer of an operator: phi(sum over its arrows of source @ kernel + bias).

    `own` is the activation where it is a layer, whose weights are this layer's alone.
    """

    kernels: dict
    bias: object
    activation: object
    own: object

    def weigh(self, **sources):
        """The sum of what arrives over the given arrows."""
        products = (ops.matmul(x, self.kernels[arrow]) for arrow, x in sources.items())
        return functools.reduce(operator.add, products)  # `sum` would add a 0 in every step

    def weigh_input(self, x, tokens=False, kept=None):
        """x U; of tokens (..., 1) their rows of U, each times its number of `kept` (..., 1)."""
        if not tokens:
            return self.weigh(input_to_hidden=x)
        # TensorFlow's gradient of a lookup is one row for each token, repeated ones too, whose norm
        # is not that of the gradient. The product makes it a gradient of all of U.
        kernel = self.kernels["input_to_hidden"] * 1
        rows = ops.take(kernel, ops.cast(x[..., 0], "int32"), axis=0)
        return rows if kept is None else rows * kept

    def in_the_loop(self):
        """W, S and b, as far as the layer has them and the input's projection has not, and p and c.

        The last two are those of an Lp unit.
        """
        weights = [self.kernels["hidden_to_hidden"], self.kernels.get("shortcut")]
        if "input_to_hidden" not in self.kernels:
            weights.append(self.bias)
        learned = [] if self.own is None else self.own.learned(blocks=True)
        return [*(weight for weight in weights if weight is not None), *learned]

    def in_blocks(self, pieces):
        """This layer with its pre-activations in blocks; see `pooling`."""
        if pieces == 1:
            return self
        kernels = {arrow: in_blocks(kernel, pieces) for arrow, kernel in self.kernels.items()}
        bias = None if self.bias is None else in_blocks(self.bias, pieces)
        return dataclasses.replace(self, kernels=kernels, bias=bias)

    def activate(self, preactivation, bias=True):
        if bias and self.bias is not None:
            preactivation = preactivation + self.bias
        return self.activation(preactivation)

    def __call__(self, **sources):
        return self.activate(self.weigh(**sources))


class Operator(Configured):
    """What ⊕ and ▷ share: layers of weights with an activation each."""

    # Which of the constructor's initializers, regularizers and constraints an arrow takes.
    ROLES = {
        "input_to_hidden": "kernel",
        "hidden_to_output": "kernel",
        "hidden_to_hidden": "recurrent",
        "shortcut": "recurrent",
    }

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._activations = []
        self._made = dict.fromkeys([*self.ROLES.values(), "bias"], 0)

    def _weight(self, name, role, shape, initializer=None, gain=1.0):
        shared = getattr(self, f"{role}_initializer")
        initializer = numbered(initializer or shared, self._made[role])
        self._made[role] += 1
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=lambda shape, dtype=None: gain * initializer(shape, dtype=dtype),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def _layer(self, number, units, arrows, activation):
        """Makes the weights of one layer; `arrows` maps the name of each arrow to its width."""
        pieces = getattr(activation, "pieces", 1)
        kernels = {
            arrow: self._weight(
                f"{arrow}_{number}",
                self.ROLES[arrow],
                (width, units * pieces),
                **self._start(arrow, arrows),
            )
            for arrow, width in arrows.items()
        }
        bias = None
        if self.use_bias:
            bias = self._weight(f"bias_{number}", "bias", (units * pieces,))
        return _Layer(kernels, bias, *self._own_activation(activation, units * pieces))

    def _start(self, arrow, arrows):
        """How the weights of one arrow start where its role alone does not say it."""
        return {}

    def _own_activation(self, activation, width):
        """The activation of one layer; one that is a layer is copied for it, and comes too."""
        if not isinstance(activation, keras.layers.Layer):
            return activation, None
        config = activation.get_config()
        config["name"] = f"{activation.name}_{len(self._activations)}"
        config["dtype"] = self.dtype_policy
        copy = type(activation).from_config(config)
        copy.build((None, width))
        self._activations.append(copy)

        def activate(z):
            # A layer sees (B, width), over a whole sequence as in a single step.
            if len(z.shape) == 2:
                return copy(z)
            a = copy(ops.reshape(z, (-1, width)))
            return ops.reshape(a, (-1, ops.shape(z)[1], a.shape[-1]))

        return activate, copy

    def _mlp(self, features, sizes, arrow, activation):
        """Plain layers one on the other, each fed by `arrow` alone."""
        layers = []
        for number, units in enumerate(sizes or (), start=1):
            layers.append(self._layer(number, units, {arrow: features}, activation))
            features = units
        return layers

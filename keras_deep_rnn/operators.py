"""The paper's two neural operators (arXiv:1312.6026, section 4): plus (⊕) and predict (▷).

    h' = x ⊕ h     summarise the input x and the history h into a new history
    y  = ▷ h       the most likely output given the history

Every network of the paper is a choice of the two. Shapes are written as everywhere in the package:
B batch, T time steps, D input features, H units of h.
"""

import keras
from keras import ops

from . import recurrence
from .arguments import layer_sizes
from .errors import UserError
from .operator_layers import Operator
from .recurrence import DEFAULT_LOOP, derivatives, transition


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Plus(Operator):
    """The operator ⊕: x(t) ⊕ h(t-1) = h(t), as deep as asked.

    With L layers in the transition (the paper's section 3.3.1; with shortcuts, figure 2 b*), row
    vectors throughout and [condition] being 1 where it holds, else 0:

        a_0 = h(t-1)
        a_l = phi(a_{l-1} W_l + [l = 1 or input_to = "all"] x(t) U_l + [l > 1] h(t-1) S_l + b_l)
        h(t) = a_L

    The layers are `transition_units` and then `units`; without `transition_units` this is the
    transition of a plain recurrent network. x(t) goes through the layers of `input_units` first
    (the deep input-to-hidden function, section 3.2.1). S_l is there with `shortcut=True`.

    The weights come in this order: for each input layer its `input_to_hidden` kernel and bias; for
    each transition layer `input_to_hidden` (U), `hidden_to_hidden` (W), `shortcut` (S) and bias, as
    far as it has them; at the end the weights of activations that learn.

    Args:
        units: Positive int, H: the width of h, the last layer of the transition.
        transition_units: Widths of the layers between h(t-1) and h(t), for example `(400,)`;
            None for a shallow transition.
        shortcut: Whether every later layer of the transition also sees h(t-1), DT(S)-RNN.
        input_to: `"first"` or `"all"`: the layers of the transition that x(t) feeds.
        input_units: Widths of the layers that x(t) goes through first; None for none.
        num_tokens: D where x(t) is a token, an integer below D that stands for its unit vector (as
            in `keras.layers.CategoryEncoding`): x(t) U is a row of U then, which is looked up
            instead of computed. None: x(t) is D numbers.
        activation: phi of the transition: a name, a function, or a layer such as `LpUnit`.
        input_activation: phi of the input layers; None takes `activation`.
        use_bias: Whether each layer has a bias.
        input_initializer: For each kernel that x(t) feeds. None: `kernel_initializer`. Glorot's
            distribution expects a sum of D numbers; where few of them are not 0, a Gaussian lets a
            network learn several times faster: measured, of deviation 1 for characters (unlike
            words, which are too rare for it), and of 0.5 for piano-rolls.
        kernel_initializer: For the kernels of the input layers, if need be for those of x(t).
        recurrent_initializer: For every W_l, and for S_l unless that has its own.
        shortcut_initializer: For every S_l. None: W_l and S_l both come from
            `recurrent_initializer` and are scaled by 1/sqrt(2), so that the two paths into a layer
            together have the gain that one path has.
        bias_initializer: For every bias.
        kernel_regularizer: Regularizer of the kernels that an input feeds.
        recurrent_regularizer: Regularizer of every W_l and S_l.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on the kernels that an input feeds.
        recurrent_constraint: Constraint on every W_l and S_l.
        bias_constraint: Constraint on the biases.

    Call arguments:
        inputs: The list `[x, h]`: x of shape (B, D), tokens of shape (B, 1), and h of shape (B, H).
        kept: With tokens, by how much the rows of U of each count, (B, 1): 0 where its unit is
            dropped. None for 1.

    Returns:
        The new h, shape (B, H).

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> plus = Plus(4, transition_units=(8,), shortcut=True)
    >>> tuple(plus([np.ones((2, 3)), np.zeros((2, 4))]).shape)
    (2, 4)

    Notes:
        The paper draws its shortcuts past all the intermediate layers; here, as in the authors'
        published experiments, each layer after the first has one.
    """

    def __init__(
        self,
        units,
        transition_units=None,
        shortcut=False,
        input_to="first",
        input_units=None,
        num_tokens=None,
        activation="tanh",
        input_activation=None,
        use_bias=True,
        input_initializer=None,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        shortcut_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self._input_layers = []
        self._transition_layers = []

    @property
    def state_size(self):
        return self.units

    def build(self, input_shape):
        features, hidden = input_shape[0][-1], input_shape[1][-1]
        if hidden != self.units:
            raise UserError(f"`h` must have {self.units} units (`units`), got {hidden}.")
        if self.num_tokens:
            if features != 1:
                raise UserError(f"`x` must be one token a step with `num_tokens`, got {features}.")
            features = self.num_tokens
        self._input_layers = self._mlp(
            features, self.input_units, "input_to_hidden", self.input_activation or self.activation
        )
        if self.input_units:
            features = self.input_units[-1]
        width = self.units
        for number, units in enumerate((*(self.transition_units or ()), self.units), start=1):
            arrows = {}
            if number == 1 or self.input_to == "all":
                arrows["input_to_hidden"] = features
            arrows["hidden_to_hidden"] = width
            if number > 1 and self.shortcut:
                arrows["shortcut"] = self.units
            self._transition_layers.append(self._layer(number, units, arrows, self.activation))
            width = units

    def _start(self, arrow, arrows):
        # Where there are input layers, x(t) feeds the first of them alone.
        by_x = not (self.input_units and self._made["kernel"])
        if arrow == "input_to_hidden" and by_x:
            return {"initializer": self.input_initializer}
        if "shortcut" not in arrows or self.ROLES[arrow] != "recurrent":
            return {}
        if self.shortcut_initializer is None:
            return {"gain": 0.5**0.5}
        return {"initializer": self.shortcut_initializer} if arrow == "shortcut" else {}

    def call(self, inputs, kept=None):
        x, h = inputs
        # In a single step TensorFlow is faster where the bias comes last.
        return self.transition(self.project(x, bias=False, kept=kept), h, with_bias=False)

    def project(self, x, bias=True, layers=None, kept=None):
        """All that depends on x alone, x U_l + b_l of each layer that x feeds, side by side.

        `layers` stand in for those of the transition. `kept`, of x's shape, says by how much the
        rows of each token count: 0 where its unit is dropped.

        x may be one step (B, D) or a whole sequence (B, T, D): this runs outside the loop.
        """
        tokens = self.num_tokens is not None
        for layer in self._input_layers:
            x = layer.activate(layer.weigh_input(x, tokens, kept))
            tokens = False
        projections = []
        for layer in layers or self._transition_layers:
            if "input_to_hidden" in layer.kernels:
                projection = layer.weigh_input(x, tokens, kept)
                with_bias = bias and layer.bias is not None
                projections.append(projection + layer.bias if with_bias else projection)
        return ops.concatenate(projections, axis=-1) if len(projections) > 1 else projections[0]

    def transition(self, projection, h, with_bias=True):
        """h(t) from `project`'s result at one step and h(t-1): all that the loop has to do.

        `with_bias` says whether the projection has the biases in it.
        """
        a, start = h, 0
        for layer in self._transition_layers:
            z = layer.weigh(hidden_to_hidden=a)
            if "shortcut" in layer.kernels:
                z = z + layer.weigh(shortcut=h)
            fed = "input_to_hidden" in layer.kernels
            if fed:
                end = start + z.shape[-1]
                alone = z.shape[-1] == projection.shape[-1]
                z, start = z + (projection if alone else projection[:, start:end]), end
            a = layer.activate(z, bias=not (fed and with_bias))
        return a

    def over_time(self, x, h, mask=None, dropout_mask=None, loop=DEFAULT_LOOP, kept=None):
        """h at every step, (B, T, H), from x (B, T, D) and the h before the first step.

        By the loop with a gradient of its own where `why_plain` has nothing against it. `kept` is
        that of `project`.
        """
        if self.why_plain(loop) is None:
            phi = derivatives.of(self.activation)
            layers = [layer.in_blocks(phi.pieces) for layer in self._transition_layers]
            what = transition.Transition(
                widths=(*(self.transition_units or ()), self.units),
                fed=tuple("input_to_hidden" in layer.kernels for layer in layers),
                shortcut=tuple("shortcut" in layer.kernels for layer in layers),
                bias=tuple(
                    self.use_bias and "input_to_hidden" not in layer.kernels for layer in layers
                ),
                phi=phi,
                masked=mask is not None,
                dropped=dropout_mask is not None,
                compiled=loop.compiled(),
                parts=loop.parts(),
                remat=loop.remat,
            )
            weights = [w for layer in layers for w in layer.in_the_loop()]
            weights = [ops.convert_to_tensor(weight) for weight in weights]
            projections = self.project(x, layers=layers, kept=kept)
            return transition.run(what, projections, h, mask, dropout_mask, weights)

        def step(projection, states):
            (h,) = states
            return [self.transition(projection, h if dropout_mask is None else h * dropout_mask)]

        return recurrence.run(step, self.project(x, kept=kept), [h], mask, loop.unroll)[0]

    def why_plain(self, loop=DEFAULT_LOOP):
        """Why the loop of `over_time` is differentiated as it is written; None if it is not."""
        return derivatives.why_plain(loop, self.activation)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], self.units)


@keras.saving.register_keras_serializable(package="keras_deep_rnn")
class Predict(Operator):
    """The operator ▷: y(t) = ▷ h(t), the deep output (section 3.3.2, figure 2 c).

        a_0 = h(t)
        a_l = phi(a_{l-1} V_l + b_l)
        y(t) = a_L

    The last layer to the classes is the user's own `keras.layers.Dense`. The weights come layer by
    layer: the `hidden_to_output` kernel (V), the bias; at the end those of activations that learn.

    Args:
        output_units: Widths of the layers, for example `(400,)`.
        output_activation: phi: a name, a function, or a layer such as `Maxout`.
        use_bias: Whether each layer has a bias.
        kernel_initializer: For every V_l.
        bias_initializer: For every bias.
        kernel_regularizer: Regularizer of every V_l.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on every V_l.
        bias_constraint: Constraint on the biases.

    Call arguments:
        h: Shape (B, H) or (B, T, H).

    Returns:
        y, of h's shape but for the last axis, which is the last of `output_units`.

    Raises:
        UserError: An argument is of the wrong kind or out of its range.

    Example:

    >>> import numpy as np
    >>> tuple(Predict((8, 5))(np.zeros((2, 4))).shape)
    (2, 5)
    """

    def __init__(
        self,
        output_units,
        output_activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        output_units = layer_sizes("output_units", output_units)
        self.keep(locals())
        self._output_layers = []

    def build(self, input_shape):
        self._output_layers = self._mlp(
            input_shape[-1], self.output_units, "hidden_to_output", self.output_activation
        )

    def call(self, h):
        y = h
        for layer in self._output_layers:
            y = layer(hidden_to_output=y)
        return y

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.output_units[-1])

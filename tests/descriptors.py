"""Every public network once; the conformance tests iterate over them."""

import dataclasses
import os

import keras
import numpy as np
import reference

import keras_deep_rnn as kdr

D, H = 3, 5
# The options of each cell where a stack is made of cells.
OF_CELLS = (
    "dtype", "activation", "use_bias", "dropout", "recurrent_dropout", "zoneout", "seed",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Network:
    """A layer of the package, its cell, and the arguments of both."""

    name: str
    layer: type
    cell: type
    arguments: dict
    states: int = 1

    def make_layer(self, **options):
        return self.layer(**self._with(options))

    def make_cell(self, **options):
        return self.cell(**self._with(options))

    def _with(self, options):
        """The arguments; operators and cells are made anew, with the options that are theirs."""
        made = {**self.arguments, **options}
        for name, value in self.arguments.items():
            if name == "cells":
                own = {n: options[n] for n in OF_CELLS if n in options}
                made = {n: v for n, v in made.items() if n not in own or n == "dtype"}
                made[name] = value(**own)
            elif name in ("plus", "predict"):
                made[name] = value(**{n: options[n] for n in ("dtype",) if n in options})
        return made

    def __str__(self):
        return self.name


def _network(name, family, states=1, **arguments):
    return Network(name, getattr(kdr, family), getattr(kdr, f"{family}Cell"), arguments, states)


NETWORKS = [
    _network("rnn", "DeepTransitionRNN", units=H),
    _network("deep_input", "DeepInputRNN", units=H, input_units=(6, 4)),
    _network("dt", "DeepTransitionRNN", units=H, transition_units=(4, 6)),
    _network("dt_all", "DeepTransitionRNN", units=H, transition_units=(4,), input_to="all"),
    _network("dts", "DeepTransitionRNN", units=H, transition_units=(4, 6), shortcut=True),
    _network(
        "dts_all",
        "DeepTransitionRNN",
        units=H,
        transition_units=(6, 4),
        shortcut=True,
        input_to="all",
        intermediate_activation="sigmoid",
    ),
    _network("do", "DeepOutputRNN", units=H, output_units=(7, 8), output_activation="sigmoid"),
    _network("dot", "DeepOutputTransitionRNN", units=H, transition_units=(4,), output_units=(7,)),
    _network(
        "dots",
        "DeepOutputTransitionRNN",
        units=H,
        transition_units=(4,),
        output_units=(7,),
        input_units=(6,),
        input_activation="relu",
        shortcut=True,
        input_to="all",
    ),
    _network(
        "operators",
        "DeepRNN",
        plus=lambda **own: kdr.Plus(H, transition_units=(4,), shortcut=True, **own),
        predict=lambda **own: kdr.Predict((7,), "sigmoid", **own),
    ),
    _network("srnn", "StackedRNN", states=2, units=(H, 4)),
    _network("srnn_residual", "StackedRNN", states=3, units=(H, H, H), skip="residual"),
    _network("srnn_all", "StackedRNN", states=2, units=(H, 4), skip="all_to_output"),
    _network(
        "srnn_deep",
        "StackedRNN",
        states=2,
        units=(H, H),
        transition_units=(4,),
        shortcut=True,
        intermediate_activation="relu",
    ),
    _network("rhn", "RecurrentHighway", units=H, depth=3),
    _network("rhn_all", "RecurrentHighway", units=H, depth=2, coupled_gates=False, input_to="all"),
    _network("dt_gru", "DeepTransitionGRU", units=H, depth=2),
    _network("gru_before", "DeepTransitionGRU", units=H, depth=2, reset_after=False),
    _network("dt_lstm", "DeepTransitionLSTM", states=2, units=H, depth=2),
    _network(
        "layer_norm",
        "DeepTransitionRNN",
        units=H,
        transition_units=(4,),
        shortcut=True,
        normalization="layer",
    ),
    _network(
        "gated_stack",
        "StackedRNN",
        states=4,
        cells=lambda **own: [
            kdr.RecurrentHighwayCell(H, depth=2, **own),
            kdr.DeepTransitionLSTMCell(4, **own),
            kdr.DeepTransitionGRUCell(H, normalization="layer", **own),
        ],
        skip="all_to_output",
    ),
    _network("learned_start", "DeepTransitionLSTM", states=2, units=H, learn_initial_state=True),
]
BY_NAME = {network.name: network for network in NETWORKS}
# Left out where another backend has run them all: the other networks cover them.
COVERED = ("deep_input", "dt", "dt_all", "dts", "do", "dot", "srnn", "srnn_residual")
if os.environ.get("KERAS_DEEP_RNN_TESTED"):
    NETWORKS = [network for network in NETWORKS if network.name not in COVERED]
# Its equations are tested in test_fast_dropout.py.
FAST_DROPOUT = _network(
    "fast_dropout", "FastDropoutRNN", states=2, units=H, dropout=0.2, recurrent_dropout=0.4
)
EVERY = [*NETWORKS, FAST_DROPOUT]
BY_NAME[FAST_DROPOUT.name] = FAST_DROPOUT


def randomize(layer, seed=0, scale=0.6):
    """Gives every weight, biases too, a value that is not zero."""
    rng = np.random.default_rng(seed)
    layer.set_weights(
        [rng.normal(0, scale, w.shape).astype("float32") for w in layer.get_weights()]
    )


def sequences(batch=3, steps=6, features=D, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, steps, features)).astype("float32")


def first_states(layer, batch=3, seed=2):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, n)).astype("float32") for n in layer.state_size]


def expected(layer, x, states=None, mask=None, weights=None, dropped=None):
    """Outputs, and the list of state sequences, of a layer of the package by the equations.

    Without `states` it starts where the layer does. `dropped` holds for each cell its dropout masks
    of x, h(t-1) and the input of ▷, or None.
    """
    weights = layer.get_weights() if weights is None else weights
    weights = [np.asarray(w, "float64") for w in weights]
    cells = layer.cell.cells if isinstance(layer, kdr.StackedRNN) else [layer.cell]
    levels = [Level(cell, weights) for cell in cells]
    assert not weights, "the equations account for every weight"
    dropped = dropped or [(None, None, None)] * len(cells)
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    if states is None:
        states = [np.tile(start, (len(x), 1)) for level in levels for start in level.start]
    rows = [
        _row(
            layer,
            levels,
            [[1 if m is None else m[i] for m in masks] for masks in dropped],
            x[i],
            [s[i] for s in states],
            mask[i],
        )
        for i in range(len(x))
    ]
    outputs = np.stack([row[0] for row in rows])
    return outputs, [np.stack([row[1][k] for row in rows]) for k in range(len(states))]


def phi_of(activation):
    return reference.PHI[activation.__name__]


class Level:
    """The equations of a cell, with its weights taken off the front of a list.

    Attributes:
        start: The states before the first step.
        step: Function of x(t), the list of states at t-1 and the recurrent dropout mask.
        output: ▷, a function of h(t).
    """

    def __init__(self, cell, weights):
        self.cell = cell
        widths = keras.tree.flatten(cell.state_size)
        learned = cell.learn_initial_state
        self.start = [weights.pop(0) if learned else np.zeros(width) for width in widths]
        own, maps = self._step(cell.plus, weights)
        norms = [reference.take(weights, "gamma", "beta") for _ in range(maps * self._normalized)]

        def norm(i, z):
            return reference.layer_norm(z, *norms[i]) if norms else z

        def step(x, states, of_h):
            new = own(x, states, of_h, norm)
            return [reference.zoneout(s, n, cell.zoneout) for s, n in zip(states, new)]

        self.step, self.output = step, lambda h: h
        if cell.predict is not None:
            read = reference.read_predict(
                weights, len(cell.predict.output_units), cell.predict.use_bias
            )
            phi = phi_of(cell.predict.output_activation)
            self.output = lambda h: reference.predict(h, read, phi)

    @property
    def _normalized(self):
        return self.cell.plus.normalization is not None

    def _step(self, plus, weights):
        """The step by the family of ⊕, and its number of affine maps."""
        phi, bias, family = phi_of(plus.activation), plus.use_bias, type(plus).__name__
        if family == "Plus":
            layers = len(plus.transition_units or ()) + 1
            mlp, transition = reference.read_plus(
                weights, len(plus.input_units or ()), layers, plus.shortcut, plus.input_to, bias
            )
            of_input = phi_of(plus.input_activation or plus.activation)
            between = phi_of(plus.intermediate_activation or plus.activation)
            phis = [between] * (layers - 1) + [phi]

            def step(x, states, of_h, norm):
                return [reference.plus(x, *states, mlp, transition, phis, of_input, of_h, norm)]

            return step, layers
        sigma = phi_of(plus.recurrent_activation)
        if family == "HighwayPlus":
            layers = reference.read_highway(weights, plus.depth, plus.input_to, bias)
            gates = 2 if plus.coupled_gates else 3

            def step(x, states, of_h, norm):
                return [reference.highway(x, *states, layers, gates, phi, sigma, of_h, norm)]

            return step, plus.depth
        if family == "GRUPlus":
            after = plus.reset_after
            steps = reference.read_gru(weights, plus.depth, after, bias)

            def step(x, states, of_h, norm):
                return [reference.gru(x, *states, steps, after, phi, sigma, of_h, norm)]

            return step, plus.depth + 1 if after else 2 * plus.depth
        assert family == "LSTMPlus"
        steps = reference.read_lstm(weights, plus.depth, bias)

        def step(x, states, of_h, norm):
            return reference.lstm(x, states, steps, phi, sigma, of_h, norm)

        return step, plus.depth


def _row(layer, levels, dropped, x, states, mask):
    if layer.go_backwards:
        x, mask = x[::-1], mask[::-1]
    outputs, histories = [], []
    zero_output_for_mask = layer.zero_output_for_mask and len(levels) == 1
    skip = getattr(layer.cell, "skip", None)
    for level, (of_x, of_h, of_y) in zip(levels, dropped):
        own = [states.pop(0) for _ in level.start]
        y, history = reference.run_sequence(
            lambda x, states, level=level, of_h=of_h: level.step(x, states, of_h),
            x * of_x,
            own,
            mask,
            lambda h, level=level, of_y=of_y: level.output(h * of_y),
            zero_output_for_mask,
        )
        if skip == "residual" and outputs:
            y = y + x
        outputs.append(y)
        histories += history
        x = y
    if skip == "all_to_output":
        x = np.concatenate(outputs, axis=-1)
    if layer.zero_output_for_mask:
        x = x * mask[:, None]
    return x, histories


def to_numpy(value):
    return keras.ops.convert_to_numpy(value)

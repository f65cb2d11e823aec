"""Every public network once: what the conformance tests iterate over."""

import dataclasses

import keras
import numpy as np
import reference

import keras_deep_rnn as kdr

D, H = 3, 5


@dataclasses.dataclass(frozen=True)
class Network:
    """A layer of the package, its cell, and how the paper's equations say the same."""

    name: str
    layer: type
    cell: type
    arguments: dict
    states: int = 1

    def make_layer(self, **options):
        return self.layer(**self._arguments(options), **options)

    def make_cell(self, **options):
        return self.cell(**self._arguments(options), **options)

    def _arguments(self, options):
        """The arguments; operators are made anew for each layer, with options that are theirs."""
        made = {}
        for name, value in self.arguments.items():
            if name in options:
                continue
            if callable(value) and name in ("plus", "predict"):
                own = {n: options[n] for n in ("dtype",) if n in options}
                value = value(**own)
            made[name] = value
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
    ),
]
# Has no ⊕ of its own: its equations are held against what they stand for in test_fast_dropout.py.
FAST_DROPOUT = _network(
    "fast_dropout", "FastDropoutRNN", states=2, units=H, dropout=0.2, recurrent_dropout=0.4
)
EVERY = [*NETWORKS, FAST_DROPOUT]


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


def expected(layer, x, states, mask=None, weights=None, dropped=None):
    """Outputs, and the list of state sequences, of a layer of the package by the equations.

    `dropped` holds for each cell its dropout masks of x, h(t-1) and what ▷ sees, or None.
    """
    weights = layer.get_weights() if weights is None else weights
    weights = [np.asarray(w, "float64") for w in weights]
    cells = layer.cell.cells if isinstance(layer, kdr.StackedRNN) else [layer.cell]
    own_weights = [read_cell(cell, weights) for cell in cells]
    dropped = dropped or [(None, None, None)] * len(cells)
    assert not weights, "the equations account for every weight"
    skip = layer.skip if isinstance(layer, kdr.StackedRNN) else None
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    rows = [
        _row(
            layer,
            cells,
            own_weights,
            [[1 if m is None else m[i] for m in masks] for masks in dropped],
            skip,
            x[i],
            [s[i] for s in states],
            mask[i],
        )
        for i in range(len(x))
    ]
    outputs = np.stack([row[0] for row in rows])
    return outputs, [np.stack([row[1][k] for row in rows]) for k in range(len(states))]


def read_cell(cell, weights):
    plus, predict = cell.plus, cell.predict
    read = reference.read_plus(
        weights,
        inputs=len(plus.input_units or ()),
        layers=len(plus.transition_units or ()) + 1,
        shortcut=plus.shortcut,
        input_to=plus.input_to,
        use_bias=plus.use_bias,
    )
    if predict is None:
        return read, []
    return read, reference.read_predict(weights, len(predict.output_units), predict.use_bias)


def _row(layer, cells, own_weights, dropped, skip, x, states, mask):
    if layer.go_backwards:
        x, mask = x[::-1], mask[::-1]
    outputs, histories = [], []
    zero_output_for_mask = layer.zero_output_for_mask and len(cells) == 1
    for cell, weights, masks, h in zip(cells, own_weights, dropped, states):
        y, history = _level(cell, weights, masks, x, h, mask, zero_output_for_mask)
        if skip == "residual" and outputs:
            y = y + x
        outputs.append(y)
        histories.append(history)
        x = y
    if skip == "all_to_output":
        x = np.concatenate(outputs, axis=-1)
    if layer.zero_output_for_mask:
        x = x * mask[:, None]
    return x, histories


def _level(cell, weights, dropped, x, h, mask, zero_output_for_mask):
    (mlp, transition), predict = weights
    plus = cell.plus
    phi = reference.PHI[plus.activation.__name__]
    input_phi = reference.PHI[(plus.input_activation or plus.activation).__name__]
    output_phi = cell.predict and reference.PHI[cell.predict.output_activation.__name__]
    of_x, of_h, of_y = dropped
    return reference.over_time(
        lambda x, h: reference.plus(x * of_x, h * of_h, mlp, transition, phi, input_phi),
        x,
        h,
        mask,
        lambda h: reference.predict(h * of_y, predict, output_phi),
        zero_output_for_mask,
    )


def to_numpy(value):
    return keras.ops.convert_to_numpy(value)

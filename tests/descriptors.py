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
    levels: tuple = ()

    def make_layer(self, **options):
        return self.layer(**self.arguments, **options)

    def make_cell(self, **options):
        return self.cell(**self.arguments, **options)

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


def expected(layer, x, states, mask=None, weights=None):
    """Outputs, and the list of state sequences, of a layer of the package by the equations."""
    weights = layer.get_weights() if weights is None else weights
    weights = [np.asarray(w, "float64") for w in weights]
    cells = layer.cell.cells if isinstance(layer, kdr.StackedRNN) else [layer.cell]
    own_weights = [read_cell(cell, weights) for cell in cells]
    assert not weights, "the equations account for every weight"
    skip = layer.skip if isinstance(layer, kdr.StackedRNN) else None
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    rows = [
        _row(layer, cells, own_weights, skip, x[i], [s[i] for s in states], mask[i])
        for i in range(len(x))
    ]
    outputs = np.stack([row[0] for row in rows])
    return outputs, [np.stack([row[1][k] for row in rows]) for k in range(len(states))]


def read_cell(cell, weights):
    plus = reference.read_plus(
        weights,
        inputs=len(cell.input_units or ()),
        layers=len(cell.transition_units or ()) + 1,
        shortcut=cell.shortcut,
        input_to=cell.input_to,
        use_bias=cell.use_bias,
    )
    predict = reference.read_predict(weights, len(cell.output_units or ()), cell.use_bias)
    return plus, predict


def _row(layer, cells, own_weights, skip, x, states, mask):
    if layer.go_backwards:
        x, mask = x[::-1], mask[::-1]
    outputs, histories = [], []
    zero_output_for_mask = layer.zero_output_for_mask and len(cells) == 1
    for cell, weights, h in zip(cells, own_weights, states):
        y, history = _level(cell, weights, x, h, mask, zero_output_for_mask)
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


def _level(cell, weights, x, h, mask, zero_output_for_mask):
    (mlp, transition), predict = weights
    phi = reference.PHI[cell.activation.__name__]
    input_phi = reference.PHI[(cell.input_activation or cell.activation).__name__]
    output_phi = reference.PHI[(cell.output_activation or cell.activation).__name__]
    return reference.over_time(
        lambda x, h: reference.plus(x, h, mlp, transition, phi, input_phi),
        x,
        h,
        mask,
        lambda h: reference.predict(h, predict, output_phi),
        zero_output_for_mask,
    )


def to_numpy(value):
    return keras.ops.convert_to_numpy(value)

"""What a drawing shows of a network: its layers and their widths, by name or of a layer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...layers import DeepRNN, Plus, Predict, StackedRNNCell
from ...layers.cells.base import state_widths
from ...layers.fast_dropout.recurrent import FastDropoutPlus
from ...layers.gated.base import GatedPlus
from ...layers.gated.gru import GRUPlus
from ...layers.gated.highway import HighwayPlus
from ...layers.gated.lstm import LSTMPlus
from ...utils.errors import ArgumentError
from ...utils.validation import one_of
from ..networks import GATED_NETWORKS, NETWORKS, sizes_of

# Names of the networks in titles.
TITLES = {
    "rnn": "RNN", "deep_input_rnn": "RNN with deep input", "dt_rnn": "DT-RNN",
    "dts_rnn": "DT(S)-RNN", "do_rnn": "DO-RNN", "dot_rnn": "DOT-RNN", "dots_rnn": "DOT(S)-RNN",
    "srnn": "sRNN", "fast_dropout_rnn": "RNN with fast dropout", "rhn": "recurrent highway network",
    "dt_gru": "DT-GRU", "dt_lstm": "DT-LSTM", "gru": "GRU", "lstm": "LSTM",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Structure:
    """A network as it is drawn.

    Attributes:
        title: Its name.
        units: Widths of h: of the levels of a stack, else one.
        input_units: Widths of the layers between x(t) and the transition.
        transition_units: Widths of the layers between h(t-1) and h(t).
        output_units: Widths of the layers between h(t) and y(t).
        shortcut: Whether h(t-1) feeds every layer of the transition.
        input_to: Layers of the transition that x(t) feeds: "first" or "all".
        gated: Whether the layers of the transition are gated.
        cell_state: Whether there is a second state c, as in an LSTM.
        skip: The skip connections of a stack: None, "residual" or "all_to_output".
        features: Width of x, or None.
        outputs: Width of y, or None.
    """

    title: str
    units: tuple[int, ...]
    input_units: tuple[int, ...] = ()
    transition_units: tuple[int, ...] = ()
    output_units: tuple[int, ...] = ()
    shortcut: bool = False
    input_to: str = "first"
    gated: bool = False
    cell_state: bool = False
    skip: str | None = None
    features: int | None = None
    outputs: int | None = None


def structure_of_network(kind: str, sizes: Mapping[str, Any]) -> Structure:
    """The structure of a network by name; for the arguments see `draw_network`.

    Example:

    >>> structure_of_network("dots_rnn", {"units": 400}).output_units
    (400,)
    """
    one_of(NETWORKS)("kind", kind)
    given = {**sizes}
    shown = {name: given.pop(name, None) for name in ("features", "outputs", "skip")}
    units = given.pop("units", None)
    if units is None:
        raise ArgumentError("sizes", "`units`", dict(sizes), verb="have")
    widths: list[int] = [*units] if isinstance(units, (tuple, list)) else [units]
    if not widths:
        raise ArgumentError("units", "a width, or those of the levels", units)
    if len(widths) > 1:
        given["levels"] = len(widths)  # which only a stack has
    found = sizes_of(kind, widths[-1], given)
    levels, depth = found.pop("levels", 1), found.pop("depth", 1)
    if kind in GATED_NETWORKS:
        found["transition_units"] = tuple(widths * (depth - 1))
    return Structure(
        TITLES[kind],
        tuple(widths if len(widths) > 1 else widths * levels),
        shortcut=kind in ("dts_rnn", "dots_rnn"),
        gated=kind in GATED_NETWORKS,
        cell_state=kind in ("lstm", "dt_lstm"),
        **found,
        **shown,
    )


def structure_of_layer(layer: DeepRNN, outputs: int | None = None) -> Structure:
    """The structure of a built recurrent layer.

    A network with a ⊕ of the user's own is drawn as one without layers between h(t-1) and h(t), a
    stack by its states alone.

    Args:
        layer: The layer.
        outputs: Width of y, where the layer's output goes to an output layer.

    Example:

    >>> from keras_deep_rnn import DeepTransitionRNN
    >>> layer = DeepTransitionRNN(8, transition_units=(6,))
    >>> layer.build((None, None, 3))
    >>> found = structure_of_layer(layer)
    >>> found.title, found.units, found.transition_units, found.features
    ('DT-RNN', (8,), (6,), 3)
    """
    cell = layer.cell
    features = getattr(cell, "input_tokens", None) or layer._features
    shown: dict[str, Any] = {"features": features, "outputs": outputs}
    if isinstance(cell, StackedRNNCell):
        return Structure(TITLES["srnn"], cell.units, skip=cell.skip, **shown)
    plus, units = cell.plus, (state_widths(cell)[0],)
    if isinstance(cell.predict, Predict):
        shown["output_units"] = tuple(cell.predict.output_units)
    if isinstance(plus, GatedPlus):
        return Structure(
            _gated_title(plus),
            units,
            transition_units=units * (plus.depth - 1),
            gated=True,
            cell_state=isinstance(plus, LSTMPlus),
            input_to=getattr(plus, "input_to", "first"),
            **shown,
        )
    if not isinstance(plus, Plus):
        fast_dropout = isinstance(plus, FastDropoutPlus)
        title = TITLES["fast_dropout_rnn"] if fast_dropout else f"⊕ is a {type(plus).__name__}"
        return Structure(title, units, **shown)
    transition, inputs = plus.transition_units or (), plus.input_units or ()
    depths = "".join(
        letter for letter, has in (("O", "output_units" in shown), ("T", transition)) if has
    )
    shortcut = "(S)" if plus.shortcut and transition else ""
    title = f"{'D' if depths else ''}{depths}{shortcut}-RNN".removeprefix("-")
    return Structure(
        f"{title} with deep input" if inputs else title,
        units,
        input_units=tuple(inputs),
        transition_units=tuple(transition),
        shortcut=plus.shortcut,
        input_to=plus.input_to,
        **shown,
    )


def _gated_title(plus: GatedPlus) -> str:
    for plus_class, shallow, deep in (
        (HighwayPlus, "rhn", "rhn"),
        (GRUPlus, "gru", "dt_gru"),
        (LSTMPlus, "lstm", "dt_lstm"),
    ):
        if isinstance(plus, plus_class):
            return TITLES[shallow if plus.depth == 1 else deep]
    return type(plus).__name__

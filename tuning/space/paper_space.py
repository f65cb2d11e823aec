"""`paper_space`: the default search space, over networks, depths and training settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...training.networks import PAPER_NETWORKS, SEARCHED_NETWORKS
from ...utils.errors import ArgumentError
from ...utils.validation import one_of
from .hyperparameter import Hyperparameter
from .space import SearchSpace

# {depth: networks that have it}. `levels` and `depth` are settings of a run; the others become the
# settings in `SIZES`, one width per layer.
DEPTHS = {
    "input_depth": ("deep_input_rnn",),
    "transition_depth": ("dt_rnn", "dts_rnn", "dot_rnn", "dots_rnn"),
    "output_depth": ("do_rnn", "dot_rnn", "dots_rnn"),
    "levels": ("srnn",),
    "depth": ("rhn", "dt_gru", "dt_lstm"),
}
SIZES = {
    "input_depth": "input_units",
    "transition_depth": "transition_units",
    "output_depth": "output_units",
}


def paper_space(
    *,
    network: str | Sequence[str] = PAPER_NETWORKS,
    input_depth: int | Sequence[int] | None = (1, 3),
    transition_depth: int | Sequence[int] | None = (1, 3),
    output_depth: int | Sequence[int] | None = (1, 3),
    levels: int | Sequence[int] | None = (2, 4),
    depth: int | Sequence[int] | None = (1, 3),
    units: int | Sequence[int] | None = (32, 512),
    dropout: float | Sequence[float] | None = (0.0, 0.2),
    recurrent_dropout: float | Sequence[float] | None = (0.0, 0.5),
    output_dropout: float | Sequence[float] | None = (0.0, 0.5),
    learning_rate: float | Sequence[float] | None = (3e-4, 1e-2),
    clipnorm: float | Sequence[float] | None = (0.1, 10.0),
    batch_size: int | Sequence[int] | None = (8, 16, 32),
) -> SearchSpace:
    """The default search space: the paper's networks, or others by name.

    Hyperparameters have the names of settings of `deep-rnn train`, except for the depths, which
    `settings_of` turns into layer widths. Shortcuts are part of the network's name: `dts_rnn` is
    `dt_rnn` with shortcuts.

    `network` and `batch_size` take a list of choices, the other arguments a pair (low, high). A
    single value is fixed. None leaves a setting, except for `network`, at its default.

    Args:
        network: Networks to choose from. The default is the paper's eight; `rhn`, `dt_gru`,
            `dt_lstm`, `gru` and `lstm` are available too.
        input_depth: Number of deep input layers (deep_input_rnn).
        transition_depth: Number of intermediate layers of the transition (dt_rnn, dts_rnn,
            dot_rnn, dots_rnn).
        output_depth: Number of deep output layers (do_rnn, dot_rnn, dots_rnn).
        levels: Number of stacked recurrent layers (srnn).
        depth: Number of gated layers of the transition (rhn, dt_gru, dt_lstm).
        units: Width of every layer, on a logarithmic scale. None with a parameter budget.
        dropout: Input dropout rate, in steps of 0.1.
        recurrent_dropout: Recurrent dropout rate, in steps of 0.1.
        output_dropout: Dropout rate before the deep output and before the output layer, in steps
            of 0.1.
        learning_rate: Initial learning rate, on a logarithmic scale.
        clipnorm: Gradient norm clipping threshold, on a logarithmic scale.
        batch_size: Batch sizes to choose from.

    Returns:
        A `SearchSpace`.

    Raises:
        ArgumentError: An argument has another form, or a network is unknown.

    Example:

    >>> space = paper_space(network=["rnn", "dts_rnn"], units=None, batch_size=16)
    >>> list(space.names)[:2]
    ['network', 'transition_depth']
    >>> space.defaults()["network"], "transition_depth" in space.defaults()
    ('rnn', False)
    """
    networks = (network,) if isinstance(network, str) else network
    if not isinstance(networks, (list, tuple)) or not networks:
        raise ArgumentError("network", "a network or a list of networks", network)
    for name in networks:
        one_of(SEARCHED_NETWORKS)("network", name)
    made = [_hyperparameter("network", list(networks), "choice")]
    depths = {
        "input_depth": input_depth,
        "transition_depth": transition_depth,
        "output_depth": output_depth,
        "levels": levels,
        "depth": depth,
    }
    for name, given in depths.items():
        deep = [network for network in networks if network in DEPTHS[name]]
        if deep:
            made.append(_hyperparameter(name, given, "int", when={"network": deep}))
    made += [
        _hyperparameter("units", units, "int", log=True),
        _hyperparameter("dropout", dropout, "float", step=0.1),
        _hyperparameter("recurrent_dropout", recurrent_dropout, "float", step=0.1),
        _hyperparameter("output_dropout", output_dropout, "float", step=0.1),
        _hyperparameter("learning_rate", learning_rate, "float", log=True),
        _hyperparameter("clipnorm", clipnorm, "float", log=True),
        _hyperparameter("batch_size", batch_size, "choice"),
    ]
    return SearchSpace(filter(None, made))


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts sampled values to settings of `deep-rnn train`: depths become layer widths.

    Layers of the deep input, transition and output have `deep_units` units if that is given, as a
    budget may require; all others have `units`.

    Args:
        values: Dict of active values, with `units`.

    Returns:
        Dict of keyword arguments of `Settings`. Those of the network are arguments of
        `build_network`, too.

    Example:

    >>> settings_of({"network": "dts_rnn", "transition_depth": 2, "units": 50, "batch_size": 8})
    {'network': 'dts_rnn', 'units': 50, 'batch_size': 8, 'transition_units': (50, 50)}
    """
    others = (*SIZES, "deep_units")
    settings = {name: value for name, value in values.items() if name not in others}
    width = values.get("deep_units", values["units"])
    for depth, sizes in SIZES.items():
        if values.get(depth):
            settings[sizes] = (width,) * values[depth]
    return settings


def _hyperparameter(name: str, given: Any, kind: str, **more: Any) -> Hyperparameter | None:
    """The hyperparameter of a range, of choices or of a fixed value; None for None."""
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        return Hyperparameter(name, "fixed", value=given, when=more.get("when"))
    if kind == "choice":
        return Hyperparameter(name, kind, values=given, **more)
    if len(given) != 2:
        raise ArgumentError(name, "a pair (low, high) or one value", given)
    return Hyperparameter(name, kind, low=given[0], high=given[1], **more)

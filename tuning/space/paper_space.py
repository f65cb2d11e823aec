"""The ready search space: the paper's networks and gated ones, how deep, and how they train."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...training.networks import PAPER_NETWORKS, SEARCHED_NETWORKS
from ...utils.errors import ArgumentError
from ...utils.validation import one_of
from .hyperparameter import Hyperparameter
from .space import SearchSpace

# Which networks have which depth. A depth counts the layers of the setting beside it; `levels` and
# `depth` are settings themselves.
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
    """The search space of the paper's family of networks, and of gated ones that are named.

    Every name is that of a setting of `deep-rnn train`, but for the depths; `settings_of` turns
    the values into such settings. What the name of a network says, such as its shortcuts, is no
    hyperparameter of its own: `dts_rnn` is `dt_rnn` with shortcuts.

    Args:
        network: Names of networks to choose from: the paper's eight unless told, and `rhn`,
            `dt_gru`, `dt_lstm`, `gru` and `lstm`.
        input_depth: Layers before the recurrence, of deep_input_rnn.
        transition_depth: Intermediate layers of the transition, of dt_rnn, dts_rnn, dot_rnn and
            dots_rnn.
        output_depth: Layers of the deep output, of do_rnn, dot_rnn and dots_rnn.
        levels: Levels, of srnn.
        depth: Gated layers in the transition, of rhn, dt_gru and dt_lstm.
        units: Width of every layer, sampled by its logarithm. None where a budget decides it.
        dropout: Share of the inputs to drop, in steps of 0.1.
        recurrent_dropout: Share of h(t-1) to drop, in steps of 0.1.
        output_dropout: Share to drop before the deep output and before the classes, in steps of
            0.1. The latter every network has, so it is active for all.
        learning_rate: Rate at the start, sampled by its logarithm.
        clipnorm: Largest norm of the gradient, sampled by its logarithm.
        batch_size: Sizes to choose from.

    `network` and `batch_size` are lists of choices, the others pairs of a smallest and a largest
    value. A single value is fixed; None leaves any setting but the network to its default.

    Returns:
        A `SearchSpace`.

    Raises:
        UserError: An argument is not of these forms, or a network is unknown.

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
    hyperparameters = [_hyperparameter("network", list(networks), "choice")]
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
            hyperparameters.append(_hyperparameter(name, given, "int", when={"network": deep}))
    hyperparameters += [
        _hyperparameter("units", units, "int", log=True),
        _hyperparameter("dropout", dropout, "float", step=0.1),
        _hyperparameter("recurrent_dropout", recurrent_dropout, "float", step=0.1),
        _hyperparameter("output_dropout", output_dropout, "float", step=0.1),
        _hyperparameter("learning_rate", learning_rate, "float", log=True),
        _hyperparameter("clipnorm", clipnorm, "float", log=True),
        _hyperparameter("batch_size", batch_size, "choice"),
    ]
    return SearchSpace(
        [hyperparameter for hyperparameter in hyperparameters if hyperparameter is not None]
    )


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sampled values as settings of `deep-rnn train`: depths become widths of layers.

    All layers are `units` wide; where `deep_units` is given, as a budget may need it, the layers
    of the deep input, transition and output are that wide.

    Args:
        values: Dict of active values, with `units`.

    Returns:
        Dict of keyword arguments of `Settings`; those about the network are arguments of
        `build_network` too.

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
    """A hyperparameter from a range or choices, from one value that is fixed, or none from None."""
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        return Hyperparameter(name, "fixed", value=given, when=more.get("when"))
    if kind == "choice":
        return Hyperparameter(name, kind, values=given, **more)
    if len(given) != 2:
        raise ArgumentError(name, "a pair of low and high or one value", given)
    return Hyperparameter(name, kind, low=given[0], high=given[1], **more)

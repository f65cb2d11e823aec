"""Parameter budgets: the layer width at which a network has a given number of parameters.

The number of parameters has a closed form, so bisection finds the width without building models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...training.networks import DEFAULT_DEPTH, NADE_UNITS
from ...utils.errors import ArgumentError, Words
from ...utils.validation import positive_integer
from .paper_space import DEPTHS, SIZES, settings_of

if TYPE_CHECKING:
    from .space import SearchSpace

# Relative distance from the budget that every network should have at most.
TOLERANCE = 0.02
# Small networks may miss it, because one more unit adds more parameters; a budget with a network
# beyond this distance is refused.
LIMIT = 0.05
# The hyperparameters, beside the widths, on which the number of parameters depends.
STRUCTURE = ("network", *DEPTHS, "input_to", "skip", "tied", "output")

_SHORTCUT = ("dts_rnn", "dots_rnn")
# Number of affine maps of H units in a gated layer.
_GATED = {"rhn": 2, "dt_gru": 3, "gru": 3, "dt_lstm": 4, "lstm": 4}


def count_parameters(
    settings: Mapping[str, Any],
    *,
    features: int,
    outputs: int | Callable[[int], int] | None = None,
    before: int = 0,
    bidirectional: bool = False,
) -> int:
    """The number of parameters of a network, equal to `count_params()` of the built model.

    The state of a stateful network is not counted.

    Args:
        settings: Dict with `network`, `units` and, if the network has them, `input_units`,
            `transition_units`, `output_units`, `levels`, `depth`, `input_to`, `skip`, `tied`,
            `output` and `nade_units`, with the defaults of `build_network`. Other settings are
            ignored.
        features: D, the number of input features.
        outputs: Number of units of the dense output layer; None: `features`. Or a function from
            the width of the recurrent layer's output to the number of parameters after it.
        before: Number of parameters before the recurrent layer.
        bidirectional: Whether a second recurrent layer reads the sequence backwards.

    Example:

    >>> from keras_deep_rnn import build_network
    >>> sizes = {"network": "dts_rnn", "units": 30, "transition_units": (20,)}
    >>> model = build_network(**sizes, kind="piano_roll", features=88)
    >>> count_parameters(sizes, features=88) == model.count_params()
    True
    """
    network, units = settings["network"], settings["units"]

    def widths(depth: str) -> tuple[int, ...]:
        default = (units,) if network in DEPTHS[depth] else ()
        return settings.get(SIZES[depth]) or default

    levels = settings.get("levels") or DEFAULT_DEPTH
    stacked = network == "srnn" and settings.get("skip") == "all_to_output"
    h = units * levels if stacked else units
    y = (h, *widths("output_depth"))[-1]
    total, x = 0, y if settings.get("tied") else features
    for width in widths("input_depth"):
        total, x = total + (x + 1) * width, width
    if network == "srnn":
        total += (x + units + 1) * units + (levels - 1) * (2 * units + 1) * units
    elif network in _GATED:
        width = _GATED[network] * units
        depth = (settings.get("depth") or DEFAULT_DEPTH) if network in DEPTHS["depth"] else 1
        total += depth * (units + 1) * width
        total += (depth if settings.get("input_to") == "all" else 1) * x * width
        # A GRU has separate input and recurrent biases.
        total += width if network in ("dt_gru", "gru") else 0
    else:
        below = units
        for number, width in enumerate((*widths("transition_depth"), units), start=1):
            fan_in = below + 1
            if number == 1 or settings.get("input_to") == "all":
                fan_in += x
            if number > 1 and network in _SHORTCUT:
                fan_in += units
            total, below = total + fan_in * width, width
    for width in widths("output_depth"):
        total, h = total + (h + 1) * width, width
    if bidirectional:
        total, y = 2 * total, 2 * y
    total += before
    if callable(outputs):
        return total + outputs(y)
    if settings.get("output") == "nade":
        hidden = settings.get("nade_units") or NADE_UNITS
        return total + (y + 1) * (features + hidden) + 2 * features * hidden
    return total + (y + 1) * (features if outputs is None else outputs)


def units_for_budget(
    values: Mapping[str, Any],
    budget: int,
    *,
    features: int,
    outputs: int | Callable[[int], int] | None = None,
    before: int = 0,
    bidirectional: bool = False,
) -> dict[str, int]:
    """The layer widths at which a network has about `budget` parameters.

    All layers have the same width if that comes within 2 % of the budget. Otherwise, as with small
    networks, the layers of a deep input, transition or output get a width of their own: the one
    nearest to `units` within 2 %. A network without such layers gets the width nearest to the
    budget.

    Args:
        values: Dict of sampled values: `network` and its depths. `units` and `deep_units` are
            ignored.
        budget: Number of parameters.
        features: See `count_parameters`.
        outputs: See `count_parameters`.
        before: See `count_parameters`.
        bidirectional: See `count_parameters`.

    Returns:
        `{"units": width}`, or `{"units": width, "deep_units": width}`, for `settings_of`.

    Raises:
        ArgumentError: No width comes within 5 % of the budget.

    Example:

    >>> values = {"network": "dots_rnn", "transition_depth": 2, "output_depth": 1}
    >>> widths = units_for_budget(values, 400_000, features=88)
    >>> widths
    {'units': 244}
    >>> count_parameters(settings_of({**values, **widths}), features=88)
    401224
    """
    budget = positive_integer("budget", budget)

    sizes: dict[str, Any] = {
        "features": features,
        "outputs": outputs,
        "before": before,
        "bidirectional": bidirectional,
    }

    def count(units: int, deep_units: int) -> int:
        wide = settings_of({**values, "units": units, "deep_units": deep_units})
        return count_parameters(wide, **sizes)

    def distance(widths: tuple[int, int]) -> float:
        return abs(count(*widths) / budget - 1)

    units = _nearest(lambda width: count(width, width), budget)
    candidates = [(units, units)]
    if distance(candidates[0]) > TOLERANCE and any(values.get(depth) for depth in SIZES):
        for width in range(max(1, units - 3), units + 4):
            deep_units = _nearest(lambda deep_units, width=width: count(width, deep_units), budget)
            candidates.append((width, deep_units))
    best = min(
        candidates, key=lambda pair: (max(distance(pair), TOLERANCE), abs(pair[0] - pair[1]))
    )
    if distance(best) > LIMIT:
        structure = " ".join(f"{name} {values[name]}" for name in STRUCTURE if values.get(name))
        raise ArgumentError(
            "budget",
            f"within {LIMIT:.0%} of a size that the network can have: {structure}, {features} "
            f"features and {best[0]} units have {count(*best):,} parameters",
            Words(f"{budget:,}"),
        )
    names = ("units", "deep_units") if best[0] != best[1] else ("units",)
    return dict(zip(names, best))


def check_budget(
    space: SearchSpace,
    budget: int,
    *,
    features: int,
    outputs: int | Callable[[int], int] | None = None,
    before: int = 0,
    bidirectional: bool = False,
    fixed: Mapping[str, Any] | None = None,
) -> None:
    """Checks that every network and depth of a space can meet a budget.

    Args:
        space: `SearchSpace`.
        budget: Number of parameters.
        features: See `count_parameters`.
        outputs: See `count_parameters`.
        before: See `count_parameters`.
        bidirectional: See `count_parameters`.
        fixed: Dict of settings that are not searched.

    Raises:
        ArgumentError: The space or the settings set a width, or a network cannot meet the budget.
    """
    fixed = fixed or {}
    for name in ("units", "deep_units"):
        for place, names in (("space", space), ("settings", fixed)):
            if name in names:
                raise ArgumentError(name, f"left out of the {place}: the budget decides it")
    for values in space.combinations(STRUCTURE):
        units_for_budget(
            {**fixed, **values},
            budget,
            features=features,
            outputs=outputs,
            before=before,
            bidirectional=bidirectional,
        )


def _nearest(count: Callable[[int], int], budget: int) -> int:
    """The width whose `count`, which increases with it, is nearest to the budget."""
    low, high = 1, 2
    while count(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - budget))

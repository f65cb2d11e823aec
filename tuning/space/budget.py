"""Networks of equal size: the width that a budget of parameters leaves to a variant and a depth.

The number of parameters has a closed form, so the width is found by bisection without building a
network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...training.networks import DEFAULT_DEPTH
from ...utils.errors import ArgumentError, Words
from ...utils.validation import positive_integer
from .paper_space import DEPTHS, SIZES, settings_of

if TYPE_CHECKING:
    from .space import SearchSpace

# Networks are compared at sizes within this share of the budget.
TOLERANCE = 0.02
# Small networks change by more than that from one whole width to the next; beyond this share the
# sizes are no longer comparable, and the budget is refused.
LIMIT = 0.05
# The values that decide how many parameters a network has, beside its widths.
STRUCTURE = ("network", *DEPTHS, "input_to", "skip")

_SHORTCUT = ("dts_rnn", "dots_rnn")
# The affine maps of H units that stand side by side in a gated layer.
_GATED = {"rhn": 2, "dt_gru": 3, "gru": 3, "dt_lstm": 4, "lstm": 4}


def count_parameters(
    settings: Mapping[str, Any], *, features: int, outputs: int | Callable[[int], int] | None = None
) -> int:
    """The number of parameters of a network, as `count_params` of the built model gives it.

    With D features, and for every layer its width and the widths that feed it, it adds up one
    weight for each pair, and the biases. A state that is carried from batch to batch is none.

    Args:
        settings: Dict with `network`, `units` and, as far as the network has them, `input_units`,
            `transition_units`, `output_units`, `levels`, `depth`, `input_to` and `skip`; what is
            not given is as in `build_network`. Others are ignored.
        features: D, the width of x.
        outputs: Number of outputs of the dense layer to the classes; None for `features`. Or a
            function that gives the number of parameters after the recurrent layer for its width.

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

    total, x = 0, features
    for width in widths("input_depth"):
        total, x = total + (x + 1) * width, width
    if network == "srnn":
        levels = settings.get("levels") or DEFAULT_DEPTH
        total += (x + units + 1) * units + (levels - 1) * (2 * units + 1) * units
        y = units * levels if settings.get("skip") == "all_to_output" else units
    elif network in _GATED:
        width, y = _GATED[network] * units, units
        depth = (settings.get("depth") or DEFAULT_DEPTH) if network in DEPTHS["depth"] else 1
        total += depth * (units + 1) * width
        total += (depth if settings.get("input_to") == "all" else 1) * x * width
        # A GRU has a bias of x W beside that of h R.
        total += width if network in ("dt_gru", "gru") else 0
    else:
        y = below = units
        for number, width in enumerate((*widths("transition_depth"), units), start=1):
            fan_in = below + 1
            if number == 1 or settings.get("input_to") == "all":
                fan_in += x
            if number > 1 and network in _SHORTCUT:
                fan_in += units
            total, below = total + fan_in * width, width
    for width in widths("output_depth"):
        total, y = total + (y + 1) * width, width
    if callable(outputs):
        return total + outputs(y)
    return total + (y + 1) * (features if outputs is None else outputs)


def units_for_budget(
    values: Mapping[str, Any],
    budget: int,
    *,
    features: int,
    outputs: int | Callable[[int], int] | None = None,
) -> dict[str, int]:
    """The widths at which a network has about `budget` parameters.

    All layers are equally wide if a whole width comes within 2 % of the budget. If none does, as
    happens to small networks, the layers of a deep input, transition or output get a width of
    their own, the nearest to `units` that comes within 2 %. A network without such layers gets
    the width that comes nearest.

    Args:
        values: Dict of sampled values: `network`, and depths as far as the network has them.
            `units` and `deep_units` are ignored.
        budget: Number of parameters.
        features: As for `count_parameters`.
        outputs: As for `count_parameters`.

    Returns:
        `{"units": width}`, or `{"units": width, "deep_units": width}`, for `settings_of`.

    Raises:
        UserError: No width comes within 5 % of the budget.

    Example:

    >>> values = {"network": "dots_rnn", "transition_depth": 2, "output_depth": 1}
    >>> widths = units_for_budget(values, 400_000, features=88)
    >>> widths
    {'units': 244}
    >>> count_parameters(settings_of({**values, **widths}), features=88)
    401224
    """
    budget = positive_integer("budget", budget)

    def count(units: int, deep_units: int) -> int:
        wide = settings_of({**values, "units": units, "deep_units": deep_units})
        return count_parameters(wide, features=features, outputs=outputs)

    def off(widths: tuple[int, int]) -> float:
        return abs(count(*widths) / budget - 1)

    units = _nearest(lambda width: count(width, width), budget)
    found = [(units, units)]
    if off(found[0]) > TOLERANCE and any(values.get(depth) for depth in SIZES):
        for width in range(max(1, units - 3), units + 4):
            deep_units = _nearest(lambda deep_units, width=width: count(width, deep_units), budget)
            found.append((width, deep_units))
    best = min(found, key=lambda pair: (max(off(pair), TOLERANCE), abs(pair[0] - pair[1])))
    if off(best) > LIMIT:
        structure = " ".join(f"{name} {values[name]}" for name in STRUCTURE if values.get(name))
        raise ArgumentError(
            "budget",
            f"within {LIMIT:.0%} of what a whole width gives: {structure}, {features} features "
            f"and {best[0]} units have {count(*best):,} parameters",
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
    fixed: Mapping[str, Any] | None = None,
) -> None:
    """Refuses a budget that some network and depth of a space cannot meet.

    Args:
        space: `SearchSpace`.
        budget: Number of parameters.
        features: As for `count_parameters`.
        outputs: As for `count_parameters`.
        fixed: Dict of values that are not searched.

    Raises:
        UserError: Widths are chosen or fixed already, or a network cannot meet the budget.
    """
    fixed = fixed or {}
    for name in ("units", "deep_units"):
        for place, names in (("space", space), ("settings", fixed)):
            if name in names:
                raise ArgumentError(name, "left to the budget", Words(f"it in the {place}"))
    for values in space.combinations(STRUCTURE):
        units_for_budget({**fixed, **values}, budget, features=features, outputs=outputs)


def _nearest(count: Callable[[int], int], budget: int) -> int:
    """The width of at least 1 whose growing `count` is nearest to the budget."""
    low, high = 1, 2
    while count(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - budget))

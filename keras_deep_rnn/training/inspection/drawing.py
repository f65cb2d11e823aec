"""Draws a network as the paper's figure 2 does: one time step, from x(t) and h(t-1) to y(t)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...utils.errors import ArgumentError
from ...utils.validation import one_of
from .. import plots
from ..networks import GATED_NETWORKS, NETWORKS, sizes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colors of the fill, the edge and the text of a box.
STYLES = {
    "data": ("#f1f1f1", plots.GREY, plots.INK),
    "before": ("white", plots.BLUE, plots.BLUE),
    "layer": ("#dfe8f4", plots.BLUE, plots.INK),
    "state": (plots.BLUE, plots.BLUE, "white"),
    "output": ("#fbe6d6", plots.ORANGE, plots.INK),
}
# Of a box; between the columns of boxes, whose rows are 1 apart; of an arc.
WIDTH, HEIGHT, SPACE, BEND = 0.86, 0.56, 1.3, -0.45
# Names of the networks in titles.
TITLES = {
    "rnn": "RNN", "deep_input_rnn": "RNN with deep input", "dt_rnn": "DT-RNN",
    "dts_rnn": "DT(S)-RNN", "do_rnn": "DO-RNN", "dot_rnn": "DOT-RNN", "dots_rnn": "DOT(S)-RNN",
    "srnn": "sRNN", "fast_dropout_rnn": "RNN with fast dropout", "rhn": "recurrent highway network",
    "dt_gru": "DT-GRU", "dt_lstm": "DT-LSTM", "gru": "GRU", "lstm": "LSTM",
}  # fmt: skip


class Box(NamedTuple):
    """A layer, or x, h(t-1), y: its place, symbol, width (None: not known) and style."""

    x: float
    y: float
    symbol: str
    size: int | None
    style: str
    gated: bool = False


class Arrow(NamedTuple):
    """An arrow between two boxes by name; `bend` is that of an arc, 0 for a straight line."""

    start: str
    end: str
    color: str = plots.INK
    bend: float = 0.0


@dataclasses.dataclass
class Plan:
    """Boxes by name, and the arrows between them."""

    boxes: dict[str, Box] = dataclasses.field(default_factory=dict)
    arrows: list[Arrow] = dataclasses.field(default_factory=list)

    def chain(self, names: Sequence[str], color: str = plots.INK) -> None:
        """Arrows from each box to the next."""
        self.arrows += [Arrow(a, b, color) for a, b in zip(names, names[1:])]


def draw_network(
    axes: "Axes", kind: str, sizes: Mapping[str, Any], *, show_sizes: bool = True
) -> None:
    """Draws one time step of a network: h(t-1) on the left, x(t) below, y(t) above.

    Blue arrows are those of the recurrence, orange ones the shortcuts. A box with a small σ is a
    gated layer, which can keep its input.

    Args:
        axes: Axes of matplotlib; its frame is removed.
        kind: One of `NETWORKS`.
        sizes: `units` (of srnn also the tuple of its levels' widths), and as far as the network has
            them `transition_units`, `output_units`, `input_units`, `levels`, `depth`, `input_to`,
            `skip`; `features` and `outputs`, the widths of x and y, are left out where not known.
        show_sizes: Whether to write the widths into the boxes.

    Raises:
        UserError: The network or one of the sizes is not known.

    Example:

    >>> from keras_deep_rnn.training import plots
    >>> axes = plots.figure_of(4, 3).add_subplot()
    >>> draw_network(axes, "dots_rnn", {"units": 400, "features": 88})
    >>> sorted(text.get_text().splitlines()[0] for text in axes.texts if text.get_text())
    ['$a_t$', '$h_t$', '$h_{t-1}$', '$o_t$', '$x_t$', '$y_t$']
    """
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    plan = plan_of(kind, sizes)
    for box in plan.boxes.values():
        fill, edge, ink = STYLES[box.style]
        corner = box.x - WIDTH / 2, box.y - HEIGHT / 2
        axes.add_patch(
            FancyBboxPatch(
                corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1", fc=fill, ec=edge,
                lw=1.3, zorder=3,
            )
        )  # fmt: skip
        written = f"{box.symbol}\n{box.size}" if show_sizes and box.size else box.symbol
        axes.text(
            box.x, box.y, written, ha="center", va="center_baseline", color=ink, fontsize=10,
            linespacing=1.25, zorder=4,
        )  # fmt: skip
        if box.gated:
            axes.text(
                box.x - WIDTH / 2, box.y + HEIGHT / 2, "σ", ha="center", va="center", fontsize=7.5,
                color=plots.ORANGE, zorder=5,
                bbox={"boxstyle": "circle,pad=0.18", "fc": "white", "ec": plots.ORANGE, "lw": 1},
            )  # fmt: skip
    for arrow in plan.arrows:
        start, end = plan.boxes[arrow.start], plan.boxes[arrow.end]
        axes.add_patch(
            FancyArrowPatch(
                *_ends(start, end, arrow.bend), arrowstyle="-|>", mutation_scale=9, lw=1.3,
                connectionstyle=f"arc3,rad={arrow.bend}", color=arrow.color, shrinkA=0, shrinkB=1,
                zorder=2,
            )
        )  # fmt: skip
    xs, ys = ([box[i] for box in plan.boxes.values()] for i in (0, 1))
    axes.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(min(ys) - 0.45, max(ys) + 0.45))
    axes.set_aspect("equal")
    axes.axis("off")


def plan_of(kind: str, sizes: Mapping[str, Any]) -> Plan:
    """The boxes and arrows of a network; see `draw_network`."""
    one_of(NETWORKS)("kind", kind)
    given = {name: value for name, value in sizes.items() if name not in ("features", "outputs")}
    units, skip = given.pop("units", None), given.pop("skip", None)
    if units is None:
        raise ArgumentError("sizes", "`units`", dict(sizes), verb="have")
    widths = list(units) if isinstance(units, (tuple, list)) else [units]
    if kind == "srnn" and len(widths) > 1:
        given["levels"] = len(widths)
    found = sizes_of(kind, widths[-1], given)
    plan = Plan()
    if kind == "srnn":
        levels = widths if len(widths) > 1 else widths * found["levels"]
        below, above = _stack(plan, levels)
    else:
        below, above = _transition(plan, kind, widths[0], found)
    for number, width in enumerate(found.get("output_units") or (), start=1):
        top = plan.boxes[above]
        name = f"o_{number}"
        symbol = _numbered("o", number, len(found["output_units"]))
        plan.boxes[name] = Box(top.x, top.y + 1, symbol, width, "output")
        plan.chain([above, name])
        above = name
    top = plan.boxes[above]
    plan.boxes["y"] = Box(top.x, top.y + 1, "$y_t$", sizes.get("outputs"), "data")
    plan.chain([above, "y"])
    inputs = list(enumerate(found.get("input_units") or (), start=1))
    column = plan.boxes[below[0]].x
    plan.boxes["x"] = Box(column, -1 - len(inputs), "$x_t$", sizes.get("features"), "data")
    path = ["x"]
    for number, width in inputs:
        symbol = _numbered("z", number, len(inputs))
        name = f"z_{number}"
        plan.boxes[name] = Box(column, number - 1 - len(inputs), symbol, width, "output")
        path.append(name)
    plan.chain([*path, below[0]])
    plan.arrows += [Arrow(path[-1], layer) for layer in below[1:]]
    if kind == "srnn" and skip:
        _skip(plan, skip, len(levels))
    return plan


def _transition(
    plan: Plan, kind: str, units: int, found: Mapping[str, Any]
) -> tuple[list[str], str]:
    """Adds h(t-1) and the layers to h(t); gives those that x(t) feeds, and h(t)."""
    gated = kind in GATED_NETWORKS
    widths = found.get("transition_units") or ()
    if gated:
        widths = (units,) * (found.get("depth", 1) - 1)
    states = "h_{0}, c_{0}" if kind in ("lstm", "dt_lstm") else "h_{0}"
    plan.boxes["before"] = Box(
        0, 0, f"${states.replace('{0}', '{t-1}')}$", units, "before"
    )
    layers = []
    for number, width in enumerate(widths, start=1):
        symbol = _numbered("s" if gated else "a", number, len(widths))
        layers.append(f"a_{number}")
        plan.boxes[layers[-1]] = Box(SPACE * number, 0, symbol, width, "layer", gated)
    layers.append("h")
    plan.boxes["h"] = Box(
        SPACE * len(layers), 0, f"${states.replace('{0}', 't')}$", units, "state", gated
    )
    plan.chain(["before", *layers], plots.BLUE)
    if kind in ("dts_rnn", "dots_rnn"):
        plan.arrows += [Arrow("before", layer, plots.ORANGE, BEND) for layer in layers[1:]]
    return layers if found.get("input_to") == "all" else layers[:1], "h"


def _stack(plan: Plan, widths: Sequence[int]) -> tuple[list[str], str]:
    """Adds the levels of a stack, from below; gives the one that x(t) feeds, and the top one."""
    names = [f"h_{level}" for level in range(1, len(widths) + 1)]
    for level, (name, width) in enumerate(zip(names, widths)):
        before = f"$h^{{({level + 1})}}_{{t-1}}$"
        plan.boxes[f"{name} before"] = Box(0, level, before, width, "before")
        plan.boxes[name] = Box(SPACE, level, f"$h^{{({level + 1})}}_t$", width, "state")
        plan.chain([f"{name} before", name], plots.BLUE)
    plan.chain(names)
    return names[:1], names[-1]


def _skip(plan: Plan, skip: str, levels: int) -> None:
    """Adds the arrows of a stack's `skip`."""
    path = [*(f"h_{level}" for level in range(1, levels + 1)), "y"]
    if skip == "all_to_output":
        pairs = [(name, "y") for name in path[:-2]]
    else:
        pairs = list(zip(path, path[2:]))
    plan.arrows += [Arrow(start, end, plots.ORANGE, -BEND) for start, end in pairs]


def _numbered(letter: str, number: int, count: int) -> str:
    return f"${letter}_t$" if count == 1 else f"${letter}^{{({number})}}_t$"


def _ends(start: Box, end: Box, bend: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves its first box, and where it meets the second."""
    if start.y == end.y and bend:  # an arc over the boxes between
        return (start.x, start.y + HEIGHT / 2), (end.x - WIDTH / 4, end.y + HEIGHT / 2)
    if start.x == end.x and bend:
        return (start.x + WIDTH / 2, start.y), (end.x + WIDTH / 2, end.y)
    if start.y == end.y:
        return (start.x + WIDTH / 2, start.y), (end.x - WIDTH / 2, end.y)
    return (start.x, start.y + HEIGHT / 2), (end.x, end.y - HEIGHT / 2)

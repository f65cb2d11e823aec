"""Draws a network as the paper's figure 2 does: one time step, from x(t) and h(t-1) to y(t)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import plots
from .structure import Structure, structure_of_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colors of the fill, the edge and the text of a box.
STYLES = {
    "data": ("#f1f1f1", plots.GREY, plots.INK),
    "before": ("white", plots.BLUE, plots.BLUE),
    "transition": ("#dfe8f4", plots.BLUE, plots.INK),
    "state": (plots.BLUE, plots.BLUE, "white"),
    "deep": ("#fbe6d6", plots.ORANGE, plots.INK),
}
# Of a box; between the columns of boxes, whose rows are 1 apart; of an arc.
WIDTH, HEIGHT, SPACE, BEND = 0.86, 0.56, 1.3, -0.45


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
        """Adds an arrow from each box to the next."""
        self.arrows += [Arrow(a, b, color) for a, b in itertools.pairwise(names)]


def draw_network(
    axes: "Axes", kind: str, sizes: Mapping[str, Any], *, show_sizes: bool = True
) -> None:
    """Draws one time step of a network: h(t-1) on the left, x(t) below, y(t) above.

    Blue arrows are those of the recurrence, orange ones the shortcuts. A box with a small σ is a
    gated layer, which can keep what it gets.

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
    draw_structure(axes, structure_of_network(kind, sizes), show_sizes=show_sizes)


def draw_structure(axes: "Axes", structure: Structure, *, show_sizes: bool = True) -> None:
    """The same of a `Structure`."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    plan = plan_of(structure)
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
    xs, ys = ([getattr(box, name) for box in plan.boxes.values()] for name in ("x", "y"))
    right = 0.6 + (0.4 * len(structure.units) if structure.skip else 0)  # room for the arcs
    axes.set(xlim=(min(xs) - 0.6, max(xs) + right), ylim=(min(ys) - 0.45, max(ys) + 0.45))
    axes.set_aspect("equal")
    axes.axis("off")


def plan_of(structure: Structure) -> Plan:
    """The boxes and arrows of a network."""
    plan = Plan()
    if len(structure.units) > 1:
        receiving, top = _stack(plan, structure)
    else:
        receiving, top = _transition(plan, structure)
    for number, width in enumerate(structure.output_units, start=1):
        symbol = _numbered("o", number, len(structure.output_units))
        top = _above(plan, top, f"o_{number}", symbol, width, "deep")
    _above(plan, top, "y", "$y_t$", structure.outputs, "data")
    column, depth = plan.boxes[receiving[0]].x, len(structure.input_units)
    plan.boxes["x"] = Box(column, -1 - depth, "$x_t$", structure.features, "data")
    below = "x"
    for number, width in enumerate(structure.input_units, start=1):
        below = _above(plan, below, f"z_{number}", _numbered("z", number, depth), width, "deep")
    plan.arrows += [Arrow(below, layer) for layer in receiving]
    if structure.skip:
        path = [*(f"h_{level}" for level in range(1, len(structure.units) + 1)), "y"]
        past = [(a, "y") for a in path[:-2]]
        pairs = past if structure.skip == "all_to_output" else list(zip(path, path[2:]))
        plan.arrows += [Arrow(*pair, plots.ORANGE, -BEND) for pair in pairs]
    return plan


def _above(plan: Plan, below: str, name: str, symbol: str, size: int | None, style: str) -> str:
    """Adds a box above another, with an arrow to it; gives its name."""
    x, y = plan.boxes[below][:2]
    plan.boxes[name] = Box(x, y + 1, symbol, size, style)
    plan.chain([below, name])
    return name


def _transition(plan: Plan, structure: Structure) -> tuple[list[str], str]:
    """Adds h(t-1) and the layers to h(t); gives those that x(t) feeds, and h(t)."""
    (units,), gated = structure.units, structure.gated
    before, after = "$h_{t-1}$", "$h_t$"
    if structure.cell_state:
        before, after = "$h, c_{t-1}$", "$h, c_t$"
    plan.boxes["before"] = Box(0, 0, before, units, "before")
    layers = []
    for number, width in enumerate(structure.transition_units, start=1):
        symbol = _numbered("s" if gated else "a", number, len(structure.transition_units))
        layers.append(f"a_{number}")
        plan.boxes[layers[-1]] = Box(SPACE * number, 0, symbol, width, "transition", gated)
    layers.append("h")
    plan.boxes["h"] = Box(SPACE * len(layers), 0, after, units, "state", gated)
    plan.chain(["before", *layers], plots.BLUE)
    if structure.shortcut:
        plan.arrows += [Arrow("before", layer, plots.ORANGE, BEND) for layer in layers[1:]]
    return layers if structure.input_to == "all" else layers[:1], "h"


def _stack(plan: Plan, structure: Structure) -> tuple[list[str], str]:
    """Adds the levels of a stack, from below; gives the one that x(t) feeds, and the top one."""
    names = [f"h_{level}" for level in range(1, len(structure.units) + 1)]
    for level, (name, width) in enumerate(zip(names, structure.units)):
        before = f"$h^{{({level + 1})}}_{{t-1}}$"
        plan.boxes[f"{name} before"] = Box(0, level, before, width, "before")
        plan.boxes[name] = Box(SPACE, level, f"$h^{{({level + 1})}}_t$", width, "state")
        plan.chain([f"{name} before", name], plots.BLUE)
    plan.chain(names)
    return names[:1], names[-1]


def _numbered(letter: str, number: int, count: int) -> str:
    return f"${letter}_t$" if count == 1 else f"${letter}^{{({number})}}_t$"


def _ends(start: Box, end: Box, bend: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves its first box, and where it meets the second."""
    if bend and start.y == end.y:  # over the boxes between
        return (start.x, start.y + HEIGHT / 2), (end.x - WIDTH / 4, end.y + HEIGHT / 2)
    if bend:  # past them on the right
        return (start.x + WIDTH / 2, start.y), (end.x + WIDTH / 2, end.y)
    if start.y == end.y:
        return (start.x + WIDTH / 2, start.y), (end.x - WIDTH / 2, end.y)
    return (start.x, start.y + HEIGHT / 2), (end.x, end.y - HEIGHT / 2)

"""Plots the published and measured results of a task, and the learning curves."""

from typing import TYPE_CHECKING

from ..training.plots import BLUE, GREY, INK, NETWORK_COLOURS, ORANGE, figure_of, save
from ..utils.types import PathLike
from . import published, records
from .records import TaskRecords

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"paper": BLUE, "modern": ORANGE}
LINES = {"paper": (0, (4, 1.5)), "modern": "-"}
JOINT = tuple(published.FAMILIES["joint output"])


def write_picture(path: PathLike, task: str, task_records: TaskRecords, results: PathLike) -> None:
    """Plots the results of a task.

    On the left are the test results: published ones as rings, measured ones as dots with the
    standard deviation of their runs, or as crosses for single runs. On the right are the validation
    results of the first seed over the epochs: a colour is a network, and dashes are the paper's
    recipe. Joint outputs, whose results are far better, have axes of their own.

    Args:
        path: PNG file to write.
        task: One of `published.TASKS`.
        task_records: {(network, recipe): record, or None}.
        results: Folder of the records, for the learning curves.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    measured = {key: record for key, record in task_records.items() if record}
    curves = {key: _curve(results, task, *key) for key in measured}
    groups = [[key for key in curves if (key[0] in JOINT) == joint] for joint in (False, True)]
    groups = [keys for keys in groups if keys]
    figure = figure_of(13, 5)
    grid = figure.add_gridspec(
        len(groups), 2, width_ratios=(1.1, 1), height_ratios=(3, 1)[: len(groups)]
    )
    numbers = figure.add_subplot(grid[:, 0])
    _draw_numbers(numbers, task, task_records)
    unit = next(published.UNITS[record["primary"]] for record in measured.values())
    numbers.set_xlabel(unit)
    numbers.set_title("Test split", loc="left", fontsize=10, color=INK)
    panels = [figure.add_subplot(grid[i, 1]) for i in range(len(groups))]
    last = max(rows[-1]["epoch"] for rows in curves.values())
    for axes, keys in zip(panels, groups):
        _draw_curves(axes, {key: curves[key] for key in keys})
        axes.set_xlim(0, last * 1.02)
    panels[0].set_ylabel(unit)
    panels[0].set_title("Validation split, first seed", loc="left", fontsize=10, color=INK)
    panels[-1].set_xlabel("epoch")
    title = f"{published.TASKS[task]}: the paper's networks and others, published and measured"
    figure.suptitle(title, x=0.02, ha="left", color=INK)
    for axes in (numbers, *panels):
        axes.grid(color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _curve(results: PathLike, task: str, network: str, recipe: str) -> records.Curve:
    curves = records.read_curves(results, f"{task}/{network}-{recipe}")
    return curves[min(curves)]


def _draw_numbers(axes: "Axes", task: str, task_records: TaskRecords) -> None:
    measured = {network for (network, _), record in task_records.items() if record}
    shown = measured | set(published.PUBLISHED[task])
    networks = [network for network in published.networks_of(task) if network in shown]
    for row, network in enumerate(networks):
        ring = {"mfc": "none", "mec": GREY, "ms": 8}
        if network in published.PUBLISHED[task]:
            axes.plot(published.PUBLISHED[task][network], row, "o", **ring)
        for shift, recipe in ((-0.15, "paper"), (0.15, "modern")):
            record = task_records.get((network, recipe))
            if not record or not record["summary"]["test"]:
                continue
            result = record["summary"]["test"][record["primary"]]
            marker = "x" if result["runs"] == 1 else "o"
            dot = {"fmt": marker, "color": COLOURS[recipe], "ms": 5, "capsize": 2}
            axes.errorbar(result["mean"], row + shift, xerr=result["spread"], **dot)
    axes.plot([], [], "o", mfc="none", mec=GREY, ms=8, label="published")
    for recipe, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=f"measured, {recipe} recipe")
    axes.plot([], [], "x", color=GREY, ms=5, label="cross: a single run")
    axes.set_yticks(range(len(networks)), [published.NETWORKS[network] for network in networks])
    axes.set_ylim(len(networks) - 0.5, -0.5)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.12))


def _draw_curves(axes: "Axes", curves: dict[tuple[str, str], records.Curve]) -> None:
    """Draws learning curves; the legend beside them has the best one first."""
    values = {key: [row["validation"] for row in rows] for key, rows in curves.items()}
    for network, recipe in sorted(curves, key=lambda key: min(values[key])):
        axes.plot(
            [row["epoch"] for row in curves[network, recipe]],
            values[network, recipe],
            linestyle=LINES[recipe],
            color=NETWORK_COLOURS[network],
            label=f"{published.NETWORKS[network]}, {recipe}",
            lw=1.5,
        )
    # The first epochs are so much worse that they would flatten the rest.
    last = [
        value for of_key in values.values() for value in (min(of_key), of_key[len(of_key) // 6])
    ]
    low, high = min(last), max(last)
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1.02))

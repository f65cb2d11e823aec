"""Plots the published and measured results of a task, and the learning curves."""

from typing import TYPE_CHECKING

from ..training.plots import BLUE, GREY, INK, ORANGE, figure_of, save
from ..utils.types import PathLike
from . import published, records
from .records import TaskRecords

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"paper": BLUE, "modern": ORANGE}
LINES = {
    "rnn": ":", "dts_rnn": "--", "dots_rnn": "-", "srnn": "-.", "dots_rnn_lp": (0, (5, 1)),
    "fast_dropout_rnn": (0, (1, 3)), "rhn": (0, (8, 2)), "dt_gru": (0, (4, 1, 1, 1)),
    "dt_lstm": (0, (6, 1, 1, 1, 1, 1)), "gru": (0, (1, 1)), "lstm": (0, (3, 3)),
    "srnn_tied": (0, (2, 1)), "dots_rnn_nade": (0, (10, 1)),
}  # fmt: skip


def write_picture(path: PathLike, task: str, task_records: TaskRecords, results: PathLike) -> None:
    """Plots the results of a task.

    On the left are the test results: published ones as rings, measured ones as dots with the
    standard deviation of their runs. On the right are the validation results of the first seed over
    the epochs.

    Args:
        path: PNG file to write.
        task: One of `published.TASKS`.
        task_records: {(network, recipe): record, or None}.
        results: Folder of the records, for the learning curves.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    figure = figure_of(11, 4.2)
    numbers, curves = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_numbers(numbers, task, task_records)
    _draw_curves(curves, task, task_records, results)
    unit = next(published.UNITS[record["primary"]] for record in task_records.values() if record)
    numbers.set_xlabel(f"{unit}, test")
    curves.set(xlabel="epoch", ylabel=f"{unit}, validation")
    figure.suptitle(published.TASKS[task], x=0.02, ha="left", color=INK)
    for axes in (numbers, curves):
        axes.grid(color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _draw_numbers(axes: "Axes", task: str, task_records: TaskRecords) -> None:
    measured = {network for (network, _), record in task_records.items() if record}
    shown = measured | set(published.PUBLISHED[task])
    networks = [network for network in published.networks_of(task) if network in shown]
    for row, network in enumerate(networks):
        ring = {"mfc": "none", "mec": GREY, "ms": 8}
        label = "published" if row == 0 else None
        if network in published.PUBLISHED[task]:
            axes.plot(published.PUBLISHED[task][network], row, "o", label=label, **ring)
        for shift, recipe in ((-0.15, "paper"), (0.15, "modern")):
            record = task_records.get((network, recipe))
            if not record or not record["summary"]["test"]:
                continue
            result = record["summary"]["test"][record["primary"]]
            spread = result["spread"] or 0
            dot = {"fmt": "o", "color": COLOURS[recipe], "ms": 5, "capsize": 2}
            axes.errorbar(result["mean"], row + shift, xerr=spread, **dot)
    for recipe, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=f"measured, {recipe} recipe")
    axes.set_yticks(range(len(networks)), [published.NETWORKS[network] for network in networks])
    axes.set_ylim(len(networks) - 0.5, -0.5)
    axes.legend(frameon=False, fontsize=8)


def _draw_curves(axes: "Axes", task: str, task_records: TaskRecords, results: PathLike) -> None:
    last = []
    for (network, recipe), record in task_records.items():
        if not record:
            continue
        curves = records.read_curves(results, f"{task}/{network}-{recipe}")
        rows = curves[min(curves)]
        values = [row["validation"] for row in rows]
        axes.plot(
            [row["epoch"] for row in rows],
            values,
            linestyle=LINES[network],
            color=COLOURS[recipe],
            label=f"{published.NETWORKS[network]}, {recipe}",
            lw=1.2,
        )
        last += [min(values), values[len(values) // 6]]
    # The first epochs are so much worse that they would flatten the rest.
    low, high = min(last), max(last)
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.legend(frameon=False, fontsize=7, ncols=2)

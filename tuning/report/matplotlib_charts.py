"""The charts of a search as images for documents, by matplotlib."""

from __future__ import annotations

import math
import os
import random
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...training.plots import GREY, INK, NETWORK_COLOURS, ORANGE, require
from ...utils.files import replacing, write_errors
from ..search.analysis import (
    by_network,
    caution,
    compared,
    depths_of,
    heading,
    ranking_table,
    scores,
    wide,
    window,
)
from ..search.trial import Trial, best_of, score_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..job.job import Job

RANKING = "ranking.md"
# {network: marker of plotly, marker of matplotlib}
_SHAPES = {
    "rnn": ("circle", "o"),
    "deep_input_rnn": ("square", "s"),
    "dt_rnn": ("triangle-up", "^"),
    "dts_rnn": ("triangle-down", "v"),
    "do_rnn": ("diamond", "D"),
    "dot_rnn": ("triangle-left", "<"),
    "dots_rnn": ("pentagon", "p"),
    "srnn": ("x", "X"),
    "rhn": ("star", "*"),
    "dt_gru": ("hexagon", "h"),
    "dt_lstm": ("cross", "P"),
    "gru": ("hexagon2", "H"),
    "lstm": ("triangle-right", ">"),
}
# {network: colour, marker of plotly, marker of matplotlib}
MARKERS = {name: (NETWORK_COLOURS[name], *shapes) for name, shapes in _SHAPES.items()}
# Marker of the best trial.
RING = {"mfc": "none", "mec": ORANGE, "mew": 1.5, "clip_on": False}


def write_pictures(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> list[Path]:
    """Writes the images and the ranking of a search.

    depth.png and size.png show the score against the depth and the size of the networks.
    ranking.md is a Markdown table of networks and depths, ordered by their best trial.

    Args:
        folder: Output folder; it is created.
        job: Complete `Job`.
        trials: List of `Trial`.

    Returns:
        List of the paths; empty if no trial is completed.

    Raises:
        UserError: matplotlib is not installed, or a file cannot be written.
    """
    require()
    equal, folder = compared(job, trials), Path(folder)
    if not equal:
        return []
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    figures = {"depth.png": _depth_picture(job, equal), "size.png": _size_picture(job, equal)}
    for name, figure in figures.items():
        with replacing(folder / name) as partial:
            figure.savefig(partial, dpi=140, format="png")
    with replacing(folder / RANKING) as partial:
        partial.write_text(_ranking(equal), encoding="utf-8")
    return [folder / name for name in (*figures, RANKING)]


def _ranking(trials: Sequence[Trial]) -> str:
    """The ranking as a Markdown table, and what chance may have decided in it."""
    columns, rows = ranking_table(trials)
    lines = [columns, ["---"] * len(columns), *rows]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    warning = caution(trials)
    return f"{table}\n{textwrap.fill(warning, 120)}\n" if warning else table


def panels(trials: Sequence[Trial]) -> dict[tuple[str, str], dict[int, list[Trial]]]:
    """The panels of the depth chart: {(network, hyperparameter): {depth: trials}}."""
    found = {}
    for network, of_network in by_network(trials).items():
        for name in depths_of(of_network[0]) or ["layers"]:
            by_depth = found[network, name] = {}
            for trial in sorted(of_network, key=lambda t: depths_of(t).get(name, 1)):
                by_depth.setdefault(depths_of(trial).get(name, 1), []).append(trial)
    return found


def jitter(depth: int, trials: Sequence[Trial]) -> list[float]:
    """The x coordinates of the trials of a depth, with random offsets against overlaps.

    The offset of a trial depends on its id only, so that it means nothing and never changes.
    """
    width = min(0.3, 0.05 * (len(trials) - 1))
    return [depth + random.Random(trial.id).uniform(-width, width) for trial in trials]


def median_bars(
    by_depth: Mapping[int, Sequence[Trial]],
) -> tuple[list[float | None], list[float | None]]:
    """The x and y coordinates of a bar at the median of each depth; None is between bars."""
    x: list[float | None] = []
    y: list[float | None] = []
    for depth, same in by_depth.items():
        middle = statistics.median(scores(same))
        x += [depth - 0.35, depth + 0.35, None]
        y += [middle, middle, None]
    return x, y


def depth_ticks(by_depth: Mapping[int, Sequence[Trial]], low: int, high: int) -> dict[int, str]:
    """{depth: label with the number of trials} of an axis."""
    return {depth: f"{depth}\n({len(by_depth.get(depth, ()))})" for depth in range(low, high + 1)}


def depth_range(job: Job, name: str, by_depth: Iterable[int]) -> tuple[int, int]:
    """The smallest and the largest depth of a panel, in the space or in a trial."""
    possible = job.space[name].choices if name in job.space else None
    every = [*by_depth, *(possible or ())]
    return min(every), max(every)


def _depth_picture(job: Job, trials: Sequence[Trial]) -> Figure:
    from matplotlib.figure import Figure

    drawn, best = panels(trials), best_of(trials)
    columns = min(5, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(2.1 * max(columns, 2), 0.4 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes, ((network, name), by_depth) in zip(grid.flat, drawn.items()):
        colour, _, marker = MARKERS[network]
        # matplotlib draws no line to a NaN.
        x, y = (np.array(part, dtype=float) for part in median_bars(by_depth))
        axes.plot(x, y, color=colour, lw=2, alpha=0.7)
        for depth, same in by_depth.items():
            x = jitter(depth, same)
            axes.plot(x, scores(same), marker, color=colour, ms=5, mec="white", mew=0.5)
            if best in same:
                axes.plot(x[same.index(best)], score_of(best), "o", ms=11, **RING)
        axes.set_title(network, fontsize=10, color=INK)
        low, high = depth_range(job, name, by_depth)
        ticks = depth_ticks(by_depth, low, high)
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlim(low - 0.5, high + 0.5)
        axes.set_xlabel(name.replace("_", " "))
        _style(axes, trials)
    for axes in grid[:, 0]:
        axes.set_ylabel(job.objective)
    _explain(figure, job, trials, "Bar: median. (n): trials. Horizontal offsets are random.")
    return figure


def _size_picture(job: Job, trials: Sequence[Trial]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for network, same in by_network(trials).items():
        colour, _, marker = MARKERS[network]
        sizes = [trial.parameters for trial in same]
        axes.plot(
            sizes, scores(same), marker, color=colour, ms=7, mec="white", mew=0.5, label=network
        )
    best = cast(Trial, best_of(trials))
    axes.plot(best.parameters, score_of(best), "o", ms=13, **RING, label="best")
    if wide(trials):
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="parameters", ylabel=job.objective)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _style(axes, trials)
    _explain(figure, job, trials)
    return figure


def _style(axes: Any, trials: Sequence[Trial]) -> None:
    axes.set_ylim(*window(trials)[:2])
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _explain(figure: Figure, job: Job, trials: Sequence[Trial], note: str = "") -> None:
    """The title of a picture, and below it how to read it."""
    title = f"{heading(job, trials)}: validation, lower is better"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, parse_math=False)
    beyond = window(trials)[2]
    if beyond:
        note += f" {beyond} of {len(trials)} trials have far worse scores and are not shown."
    if note:
        figure.supxlabel(note.strip(), x=1, ha="right", fontsize=8, color=GREY)

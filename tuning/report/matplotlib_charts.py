"""What a search has found, as charts: on a page for the browser, and as pictures for documents."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...training.plots import GREY, INK, ORANGE, require
from ...utils.files import replacing, write_errors
from ..search.analysis import by_network, compared, depths_of, ranking_table, scores, wide, window
from ..search.project import REPORT
from ..search.trial import Trial, best_of, score_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..job.job import Job

PAGE, SCRIPT, RANKING = "index.html", "plotly.min.js", "ranking.md"
# Colours that colour-blind readers tell apart (Okabe and Ito's), signs of plotly and of matplotlib.
LOOKS = {
    "rnn": ("#7f7f7f", "circle", "o"),
    "deep_input_rnn": ("#e69f00", "square", "s"),
    "dt_rnn": ("#56b4e9", "triangle-up", "^"),
    "dts_rnn": ("#0072b2", "triangle-down", "v"),
    "do_rnn": ("#009e73", "diamond", "D"),
    "dot_rnn": ("#cc79a7", "triangle-left", "<"),
    "dots_rnn": ("#d55e00", "pentagon", "p"),
    "srnn": ("#222222", "x", "X"),
    "rhn": ("#f0e442", "star", "*"),
    "dt_gru": ("#0072b2", "hexagon", "h"),
    "dt_lstm": ("#d55e00", "cross", "P"),
    "gru": ("#56b4e9", "hexagon2", "H"),
    "lstm": ("#e69f00", "triangle-right", ">"),
}
# How matplotlib marks the best trial.
RING = {"mfc": "none", "mec": ORANGE, "mew": 1.5, "clip_on": False}


def write_page(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> None:
    """Writes PROJECT/report/index.html, and beside it the script that draws its charts.

    Args:
        folder: The project folder; its report/ is there.
        job: Complete `Job`.
        trials: List of `Trial`.

    Raises:
        UserError: Optuna or plotly is not installed, or a file cannot be written.
    """
    from plotly.offline import get_plotlyjs

    from .page import page

    report = Path(folder, REPORT)
    content = page(job, trials, script=SCRIPT)
    # The page comes last: whoever finds it finds its script.
    for name, text in ((SCRIPT, get_plotlyjs()), (PAGE, content)):
        with replacing(report / name) as partial:
            partial.write_text(text, encoding="utf-8")


def write_pictures(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> list[Path]:
    """Writes what a document shows of a search.

    depth.png and size.png draw the score against the depth of each network and against its size;
    ranking.md is a table of networks and depths, the one with the best trial first.

    Args:
        folder: Where to write them; it is made.
        job: Complete `Job`.
        trials: List of `Trial`.

    Returns:
        List of the paths; empty where no trial has completed.

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
    """The ranking as a table of Markdown."""
    columns, rows = ranking_table(trials)
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def panels(trials: Sequence[Trial]) -> dict[tuple[str, str], dict[int, list[Trial]]]:
    """What the score is drawn against: {(network, name of a depth): {depth: trials}}."""
    found = {}
    for network, of_network in by_network(trials).items():
        for name in depths_of(of_network[0]) or ["layers"]:
            by_depth = found[network, name] = {}
            for trial in sorted(of_network, key=lambda t: depths_of(t).get(name, 1)):
                by_depth.setdefault(depths_of(trial).get(name, 1), []).append(trial)
    return found


def spread(depth: int, trials: Sequence[Trial]) -> list[float]:
    """Places beside each other for the trials of a depth; the best is in the middle."""
    step = min(0.1, 0.6 / len(trials))
    places = {
        trial.id: depth + step * (i // 2 + i % 2) * (-1) ** i
        for i, trial in enumerate(sorted(trials, key=score_of))
    }
    return [places[trial.id] for trial in trials]


def ends(job: Job, name: str, by_depth: Iterable[int]) -> tuple[int, int]:
    """The smallest and the largest depth that there could be in a panel."""
    possible = job.space[name].choices if name in job.space else None
    every = [*by_depth, *(possible or ())]
    return min(every), max(every)


def _depth_picture(job: Job, trials: Sequence[Trial]) -> Figure:
    from matplotlib.figure import Figure

    drawn, best = panels(trials), best_of(trials)
    columns = min(5, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(2.1 * max(columns, 2), 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes, ((network, name), by_depth) in zip(grid.flat, drawn.items()):
        colour, _, sign = LOOKS[network]
        depths = list(by_depth)
        lowest = [min(scores(same)) for same in by_depth.values()]
        axes.plot(depths, lowest, color=colour, lw=1.5, alpha=0.7)
        for depth, same in by_depth.items():
            x = spread(depth, same)
            axes.plot(x, scores(same), sign, color=colour, ms=5, mec="white", mew=0.5)
            if best in same:
                axes.plot(depth, score_of(best), "o", ms=11, **RING)
        axes.set_title(network, fontsize=10, color=INK)
        low, high = ends(job, name, by_depth)
        axes.set_xticks(range(low, high + 1))
        axes.set_xlim(low - 0.5, high + 0.5)
        axes.set_xlabel(name.replace("_", " "))
        _dress(axes, trials)
    for axes in grid[:, 0]:
        axes.set_ylabel(job.objective)
    _tell_beyond(figure, trials)
    return figure


def _size_picture(job: Job, trials: Sequence[Trial]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for network, same in by_network(trials).items():
        colour, _, sign = LOOKS[network]
        sizes = [trial.parameters for trial in same]
        axes.plot(
            sizes, scores(same), sign, color=colour, ms=7, mec="white", mew=0.5, label=network
        )
    best = cast(Trial, best_of(trials))
    axes.plot(best.parameters, score_of(best), "o", ms=13, **RING, label="best")
    if wide(trials):
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="parameters", ylabel=job.objective)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _dress(axes, trials)
    _tell_beyond(figure, trials)
    return figure


def _dress(axes: Any, trials: Sequence[Trial]) -> None:
    axes.set_ylim(*window(trials)[:2])
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _tell_beyond(figure: Figure, trials: Sequence[Trial]) -> None:
    beyond = window(trials)[2]
    if beyond:
        text = f"{beyond} of {len(trials)} trials are far worse and not shown"
        figure.supxlabel(text, x=1, ha="right", fontsize=8, color=GREY)

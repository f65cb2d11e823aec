"""The interactive charts of a search, by plotly; hyperparameter importances, by Optuna."""

from __future__ import annotations

import html
import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ...training.plots import BLUE, INK, ORANGE
from ...utils.errors import missing_extra
from ..search.analysis import (
    brief,
    by_network,
    describe,
    layers,
    measured,
    scores,
    varies,
    wide,
    window,
)
from ..search.trial import ENDED, FAILED, Trial, best_of, score_of
from .matplotlib_charts import (
    MARKERS,
    depth_range,
    depth_ticks,
    jitter,
    median_bars,
    panels,
)
from .optuna_storage import quiet

if TYPE_CHECKING:
    from ..job.job import Job

try:
    import optuna
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "tuning") from None

# Minimum number of trials for importances.
MIN_TRIALS = 10
NONE = "none"
DARK_TO_LIGHT = [[0, "#08306b"], [0.5, "#6baed6"], [1, "#dbe7f3"]]
LAYOUT = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
    "margin": {"l": 70, "r": 20, "t": 50, "b": 50},
    "hoverlabel": {"align": "left"},
}


def depths(job: Job, trials: Sequence[Trial]) -> go.Figure:
    """The score against each depth of each network, with the median of each depth."""
    drawn, best = panels(trials), best_of(trials)
    columns = min(5, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = make_subplots(
        rows,
        columns,
        shared_yaxes=True,
        subplot_titles=[network for network, _ in drawn],
        horizontal_spacing=0.02,
        vertical_spacing=0.24 if rows > 1 else 0,
    )
    for i, ((network, name), by_depth) in enumerate(drawn.items()):
        place: dict[str, Any] = {"row": i // columns + 1, "col": i % columns + 1}
        x, y = median_bars(by_depth)
        line = {"color": MARKERS[network][0], "width": 2}
        figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **place)
        points = [
            (at, trial)
            for depth, same in by_depth.items()
            for at, trial in zip(jitter(depth, same), same)
        ]
        figure.add_scatter(**_points(job, network, points), **place)
        for at, trial in points:
            if trial is best:
                figure.add_scatter(**_ring(at, score_of(trial)), **place)
        low, high = depth_range(job, name, by_depth)
        span = [low - 0.5, high + 0.5]
        ticks = depth_ticks(by_depth, low, high)
        figure.update_xaxes(
            title_text=name.replace("_", " "),
            tickvals=list(ticks),
            ticktext=[text.replace("\n", "<br>") for text in ticks.values()],
            range=span,
            **place,
        )
    figure.update_yaxes(range=window(trials)[:2])
    figure.update_yaxes(title_text=job.objective, col=1)
    return figure.update_layout(**LAYOUT, height=80 + 270 * rows, showlegend=False)


def sizes(job: Job, trials: Sequence[Trial]) -> go.Figure:
    """The score against the number of parameters, by network."""
    figure, best = go.Figure(), cast(Trial, best_of(trials))
    for network, same in by_network(trials).items():
        points = [(trial.parameters, trial) for trial in same]
        figure.add_scatter(**_points(job, network, points))
    figure.add_scatter(**_ring(best.parameters, score_of(best)))
    figure.update_xaxes(title_text="parameters", tickformat=",")
    if wide(trials):
        figure.update_xaxes(type="log", dtick="D2")  # ticks at 1, 2, 5 times the powers of ten
    figure.update_yaxes(title_text=job.objective, range=window(trials)[:2])
    return figure.update_layout(**LAYOUT, height=420)


def parallel_coordinates(job: Job, trials: Sequence[Trial]) -> go.Figure:
    """Every trial as a line through its values; inactive hyperparameters are at the bottom."""
    high = window(trials)[1]
    shown = [min(score, high) for score in scores(trials)]
    dimensions = [
        _dimension(name, [trial.values.get(name) for trial in trials], log=job.space[name].log)
        for name in job.space.names
        if varies(job.space[name])
    ]
    if wide(trials):
        dimensions.append(
            _dimension("parameters", [trial.parameters for trial in trials], log=True)
        )
    dimensions.append({"label": job.objective, "values": shown, "range": [min(shown), high]})
    line = {"color": shown, "colorscale": DARK_TO_LIGHT, "cmin": min(shown), "cmax": high}
    chart = go.Parcoords(dimensions=dimensions, line=line, labelfont={"size": 12})
    margin = {"l": 110, "r": 50, "t": 70, "b": 30}
    return go.Figure(chart).update_layout(**{**LAYOUT, "margin": margin}, height=460)


def importances(job: Job, trials: Sequence[Trial]) -> go.Figure | None:
    """Hyperparameter importances for the rank of the trials, by fANOVA; None for too few trials."""
    if len(trials) < MIN_TRIALS or len(set(scores(trials))) < 2:
        return None
    values = [{**job.space.active(t.values), "layers": layers(t)} for t in trials]
    names = [name for name in values[0] if all(name in each for each in values)]
    names = [name for name in names if len({each[name] for each in values}) > 1]
    if not names:
        return None
    ranges = job.space.to_optuna_distributions(values[0])
    ranges["layers"] = optuna.distributions.IntDistribution(1, max(v["layers"] for v in values))
    chosen = {name: ranges[name] for name in names}
    # Ranks, because the score of a network that learnt nothing would dominate the variance.
    order = sorted(range(len(trials)), key=lambda i: score_of(trials[i]))
    with quiet():
        study = optuna.create_study()
        for rank, i in enumerate(order):
            params = {name: values[i][name] for name in names}
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=chosen, value=rank)
            )
        trees = min(64, max(8, 6400 // len(trials)))  # seconds for hundreds of trials
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=trees, seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    found = dict(sorted(found.items(), key=lambda item: item[1]))
    text = [f"{share:.0%}" for share in found.values()]
    bars = go.Bar(
        x=list(found.values()),
        y=list(found),
        text=text,
        orientation="h",
        marker={"color": BLUE},
        hoverinfo="skip",
        textposition="outside",
        cliponaxis=False,
    )
    figure = go.Figure(bars).update_layout(**LAYOUT, height=90 + 32 * len(found))
    figure.update_xaxes(tickformat=".0%", title_text="share of the variance in rank")
    return figure.update_yaxes(automargin=True)


def history(job: Job, trials: Sequence[Trial]) -> go.Figure:
    """The optimization history: scores in the order of completion, the best so far, failures."""
    ended = sorted((t for t in trials if t.status in ENDED), key=lambda t: (t.ended or "", t.id))
    number = {trial.id: i for i, trial in enumerate(ended, start=1)}
    done, failed = measured(ended), [trial for trial in ended if trial.status == FAILED]
    figure = go.Figure().update_layout(**LAYOUT, height=360)
    low, high, _ = window(done)
    for network, same in by_network(done).items():
        figure.add_scatter(**_points(job, network, [(number[t.id], t) for t in same]))
    best = list(itertools.accumulate(scores(done), min))
    figure.add_scatter(
        x=[*(number[trial.id] for trial in done), len(ended)],
        y=[*best, best[-1]],
        mode="lines",
        line={"shape": "hv", "color": ORANGE, "width": 2},
        name="best so far",
        hoverinfo="skip",
    )
    if failed:
        figure.add_scatter(
            x=[number[trial.id] for trial in failed],
            y=[high] * len(failed),
            mode="markers",
            marker={"symbol": "x-thin", "size": 9, "line": {"color": "#b00020", "width": 2}},
            name="failed",
            text=[_hover(job, trial) for trial in failed],
            hovertemplate="%{text}<extra></extra>",
            cliponaxis=False,
        )
    figure.update_xaxes(title_text="finished trials", range=[0.5, len(ended) + 0.5])
    if len(ended) <= 10:
        figure.update_xaxes(dtick=1)
    return figure.update_yaxes(title_text=job.objective, range=[low, high])


def _points(job: Job, network: str, points: Sequence[tuple[float, Trial]]) -> dict[str, Any]:
    """The scatter trace of the trials of one network, with their x coordinates."""
    colour, symbol, _ = MARKERS[network]
    return {
        "x": [x for x, _ in points],
        "y": [trial.score for _, trial in points],
        "mode": "markers",
        "marker": {
            "color": colour,
            "symbol": symbol,
            "size": 10,
            "line": {"color": "white", "width": 0.8},
        },
        "name": network,
        "text": [_hover(job, trial) for _, trial in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _ring(x: float, y: float) -> dict[str, Any]:
    """The marker of the best trial."""
    look = {"symbol": "circle-open", "size": 17, "color": ORANGE, "line": {"width": 2.5}}
    return {
        "x": [x],
        "y": [y],
        "mode": "markers",
        "marker": look,
        "name": "best",
        "hoverinfo": "skip",
    }


def _hover(job: Job, trial: Trial) -> str:
    result = f"{trial.score:.4f}" if measured([trial]) else textwrap.shorten(trial.error or "", 80)
    lines = [f"{job.objective} {result}", *describe(job, trial).split(", ")]
    lines.append(f"{trial.parameters:,} parameters")
    return f"<b>{trial.id}</b><br>" + "<br>".join(map(html.escape, lines))


def _dimension(name: str, values: Sequence[Any], *, log: bool = False) -> dict[str, Any]:
    """A dimension of the parallel coordinates; None has its own tick below the values."""
    given = [value for value in values if value is not None]
    categorical = any(isinstance(value, (str, bool)) for value in given)
    order = list(MARKERS) if name == "network" else []
    distinct = sorted(set(given), key=lambda v: (order.index(v) if v in order else 0, v))
    if not categorical and distinct and (log or len(distinct) > 6):
        low, high = float(distinct[0]), float(distinct[-1])
        shares = [i / 4 for i in range(5 if high > low else 1)]
        distinct = [low * (high / low) ** i if log else low + (high - low) * i for i in shares]

    def position(value: Any) -> float:
        if value is None:
            return below
        return distinct.index(value) if categorical else math.log10(value) if log else value

    positions = [position(value) for value in distinct]
    lowest, highest = min(positions, default=0), max(positions, default=0)
    below = lowest - (0.15 * (highest - lowest) or 1)
    return {
        "label": name.replace("_", "<br>"),
        "values": [position(value) for value in values],
        "tickvals": [*positions, *([below] if None in values else [])],
        "ticktext": [*map(brief, distinct), *([NONE] if None in values else [])],
    }

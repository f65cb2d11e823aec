"""The HTML page of a search: overview, charts and all trials."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...training.results import COLUMNS
from ...utils.files import replacing
from ...utils.html_page import html_page
from ...utils.text import duration
from ..search.analysis import (
    brief,
    caution,
    compared,
    count,
    describe,
    measured,
    rank,
    ranking_table,
    solved,
    varies,
    window,
)
from ..search.project import REPORT
from ..search.summary import command_of
from ..search.trial import COMPLETED, FAILED, Trial, best_of
from . import plotly_charts as charts

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..job.job import Job

PAGE, SCRIPT = "index.html", "plotly.min.js"
STYLE = """main { max-width: 1320px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px 24px;
  margin: 0; }
dt { font-size: 12px; color: #666; }
dd { margin: 0; font-size: 16px; overflow-wrap: anywhere; }
.big dd { font-size: 24px; font-weight: 600; color: #2f5f9e; }
.wide { grid-column: span 2; }
details { margin-top: 12px; }
table { font-size: 12px; }
th, td { padding: 4px 5px; text-align: left; vertical-align: top; white-space: nowrap; }
th { border-bottom: 2px solid #cfd4da; color: #555; font-weight: 600; vertical-align: bottom;
  white-space: normal; }
td.number, th.number { text-align: right; }
tr.best td { background: #fff3e8; }
.short th, .short td { padding: 4px 10px; font-size: 13px; }
.short { max-height: 340px; overflow-y: auto; }
.short th { position: sticky; top: 0; background: #fff; }
td.why { white-space: normal; }
.FAILED, .FAILED dd { color: #b00020; }
pre { background: #f6f7f9; border: 1px solid #e3e6ea; border-radius: 6px; padding: 10px 12px;
  overflow-x: auto; font-size: 12.5px; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: #2f5f9e; }
"""


def write_page(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> None:
    """Writes PROJECT/report/index.html and the plotly script that it loads.

    Args:
        folder: Project folder; its report/ exists.
        job: Complete `Job`.
        trials: List of `Trial`.

    Raises:
        UserError: A file cannot be written.
    """
    from plotly.offline import get_plotlyjs

    # The page comes last, so that it is never without its script.
    for name, text in ((SCRIPT, get_plotlyjs()), (PAGE, page(job, trials))):
        with replacing(Path(folder, REPORT, name)) as partial:
            partial.write_text(text, encoding="utf-8")


def page(job: Job, trials: Sequence[Trial]) -> str:
    """The page as HTML."""
    equal = compared(job, trials)
    title = f"{Path(job.data).name}: search for the smallest {job.objective}"
    sections = [_overview(job, trials)]
    if len(equal) > 1:
        sections += _comparisons(job, trials, equal)
    if len(measured(trials)) > 1:
        note = "Scores in the order of completion. The line is the best score so far."
        chart = _chart("history", charts.history(job, trials))
        sections.append(_section("Optimization history", note, chart))
    note = (
        "Best first, failures last. Epochs: best epoch/number of epochs. trials.csv and "
        "trials.json, beside this page, have more columns."
    )
    if trials:
        sections.append(_section("All trials", note, _trials(job, trials)))
    script = f'<script src="{SCRIPT}"></script>\n'
    return html_page(title, "".join(sections), STYLE, script)


def _overview(job: Job, trials: Sequence[Trial]) -> str:
    best, counts = best_of(measured(trials)), count(trials)
    size = job.size()
    of_all = f"{counts[COMPLETED]} of {size}" if size else f"{counts[COMPLETED]}"
    facts = [
        ("trials completed", of_all, "big"),
        ("failed", str(counts[FAILED]), "FAILED" if counts[FAILED] else ""),
        ("tuner", job.tuner, ""),
        ("parameters of every network", f"about {job.budget:,}" if job.budget else "no budget", ""),
        ("maximum number of epochs", str(job.epochs), ""),
        ("seed", str(job.seed), ""),
        ("total time of the trials", duration(sum(t.seconds or 0 for t in trials)), ""),
    ]
    if best is None:
        note = "No trial is completed yet."
        return _section("The search", note, _list(facts))
    facts[:0] = [
        (f"best {job.objective}", f"{best.score:.4f}", "big"),
        (f"trial {best.id}", describe(job, best), "wide"),
    ]
    more = _details("Command to train the best network again", command_of(job, best))
    note = f"{job.objective} on the validation split, lower is better"
    note += f": {COLUMNS[job.objective][1]}." if job.objective in COLUMNS else "."
    if len(compared(job, trials)) < 2:
        note += " Comparisons need two trials with all epochs; there is one so far."
    return _section("The search", note, _list(facts) + more)


def _comparisons(job: Job, trials: Sequence[Trial], equal: Sequence[Trial]) -> Iterator[str]:
    """The sections that compare trials with each other."""
    note = (
        "The best and the median score of each network and depth. “Layers” is the number of "
        "layers from x(t) to the output layer."
    )
    if len(equal) < len(measured(trials)):
        note += (
            f" This section and the following four compare the {len(equal)} trials with all "
            "epochs; Hyperband stopped the others early."
        )
    note = f"{note} {caution(equal)}".rstrip()
    yield _section("Which depth wins", note, _table(*ranking_table(equal), "short"))
    note = (
        "One marker per trial; its horizontal offset is random. Bars show the median of each "
        "depth, (n) is the number of its trials, and the ring marks the best trial."
    )
    beyond = window(equal)[2]
    if beyond:
        note += f" {beyond} trials with far worse scores are outside: double-click to see all."
    yield _section("Score against depth", note, _chart("depths", charts.depths(job, equal)))
    note = "Click a network to hide it, double-click to see it alone."
    if job.budget:
        note = "The budget gives all networks nearly the same size. " + note
    yield _section("Score against parameters", note, _chart("sizes", charts.sizes(job, equal)))
    note = (
        "Every line is a trial; darker is better. Drag along an axis to select a range, drag a "
        f"name to move its axis. “{charts.NONE}”: inactive for the network."
    )
    yield _section(
        "Parallel coordinates", note, _chart("parallel", charts.parallel_coordinates(job, equal))
    )
    importances = charts.importances(job, equal)
    note = (
        "The share of the variance in rank that each hyperparameter explains by itself (fANOVA), "
        "for the number of layers and the hyperparameters of all networks: an estimate."
    )
    if importances is None:
        note = f"At least {charts.MIN_TRIALS} completed trials with different scores are needed."
    yield _section(
        "Hyperparameter importances",
        note,
        "" if importances is None else _chart("importances", importances),
    )


def _trials(job: Job, trials: Sequence[Trial]) -> str:
    """The table of all trials, with the error of a failed one below its row."""
    best = best_of(measured(trials))
    names = [name for name in job.space.names if varies(job.space[name])]
    names += sorted({name for trial in trials for name in solved(job, trial)}, reverse=True)
    rows, below = [], {}
    for i, trial in enumerate(sorted(trials, key=rank)):
        values = {**trial.values, **solved(job, trial)}
        score = f"{trial.score:.4f}" if measured([trial]) else ""
        epochs = "" if trial.epochs is None else f"{trial.best_epoch}/{trial.epochs}"
        seconds = "" if trial.seconds is None else f"{trial.seconds:,.1f}"
        chosen = [brief(values[name]) if name in values else "" for name in names]
        last = [f"{trial.parameters:,}", epochs, seconds, str(trial.seed)]
        rows.append(
            [trial.id + ("*" if trial is best else ""), trial.status, score, *chosen, *last]
        )
        if trial.error:
            below[i] = f'<span class="FAILED">{_text(trial.error)}</span>'
        if trial.traceback:
            below[i] = below.get(i, "") + _details("traceback", trial.traceback)
    columns = ["id", "status", "score", *names, "parameters", "epochs", "seconds", "seed"]
    return _table(columns, rows, "", below)


def _section(title: str, note: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2><p>{_text(note)}</p>{content}</section>\n"


def _list(facts: Sequence[tuple[str, str, str]]) -> str:
    items = [
        f'<div class="{kind}"><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>'
        for name, value, kind in facts
    ]
    return f"<dl>{''.join(items)}</dl>"


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    kind: str,
    below: Mapping[int, str] | None = None,
) -> str:
    """An HTML table with right-aligned numbers; `below` maps row numbers to HTML below them."""
    kinds = [
        ' class="number"' if all(re.fullmatch(r"[\d.,/e-]*", row[i]) for row in rows) else ""
        for i in range(len(columns))
    ]
    head = [f"<th{k}>{_text(c).replace('_', '_<wbr>')}</th>" for c, k in zip(columns, kinds)]
    lines = []
    for i, row in enumerate(rows):
        cells = [f"<td{kind}>{_text(cell)}</td>" for cell, kind in zip(row, kinds)]
        best = ' class="best"' if row[0].endswith("*") else ""
        lines.append(f"<tr{best}>{''.join(cells)}</tr>")
        if below and i in below:
            lines.append(
                f'<tr><td></td><td class="why" colspan="{len(columns) - 1}">{below[i]}</td></tr>'
            )
    body = "\n".join(lines)
    return f'<div class="scroll {kind}"><table><tr>{"".join(head)}</tr>\n{body}</table></div>'


def _details(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary><pre>{_text(content)}</pre></details>"


def _chart(name: str, figure: go.Figure) -> str:
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]},
    )


def _text(text: object) -> str:
    return html.escape(str(text))

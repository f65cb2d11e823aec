"""The page of a search: its facts, its charts and every trial, in one HTML file."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...training.results import COLUMNS
from ...utils.text import duration
from ..search.analysis import (
    brief,
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
from ..search.summary import command_of
from ..search.trial import COMPLETED, FAILED, Trial, best_of
from . import plotly_charts as figures

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..job.job import Job

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f6f7f9; color: #222;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 8px 0 20px; }
h2 { font-size: 18px; margin: 0 0 4px; }
section { background: #fff; border: 1px solid #e3e6ea; border-radius: 8px;
  padding: 18px 20px; margin: 0 0 18px; }
p { margin: 4px 0 10px; max-width: 85ch; color: #555; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px 24px;
  margin: 0; }
dt { font-size: 12px; color: #666; }
dd { margin: 0; font-size: 16px; overflow-wrap: anywhere; }
.big dd { font-size: 24px; font-weight: 600; color: #2f5f9e; }
.wide { grid-column: span 2; }
details { margin-top: 12px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 12px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 5px; text-align: left; vertical-align: top; white-space: nowrap; }
th { border-bottom: 2px solid #cfd4da; color: #555; font-weight: 600; vertical-align: bottom;
  white-space: normal; }
td { border-bottom: 1px solid #eceef1; }
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


def page(job: Job, trials: Sequence[Trial], *, script: str) -> str:
    """The page as HTML.

    Args:
        job: Complete `Job`.
        trials: List of `Trial`.
        script: Name of the file, beside the page, that holds plotly's script.
    """
    equal = compared(job, trials)
    title = f"{Path(job.data).name}: search for the smallest {job.objective}"
    sections = [_facts(job, trials)]
    if len(equal) > 1:
        sections += _findings(job, trials, equal)
    if len(measured(trials)) > 1:
        note = "In the order in which trials ended; the line is the best score so far."
        chart = _chart("course", figures.course(job, trials))
        sections.append(_section("Course of the search", note, chart))
    note = (
        "The best first, failures last. Epochs: the one whose weights were kept/all that were "
        "trained. trials.csv and trials.json, beside this page, have more."
    )
    if trials:
        sections.append(_section("All trials", note, _trials(job, trials)))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<script src="{script}"></script>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{_text(title)}</h1>
{"".join(sections)}
</main>
</body>
</html>
"""


def _facts(job: Job, trials: Sequence[Trial]) -> str:
    best, counts = best_of(measured(trials)), count(trials)
    size = job.size()
    of_all = f"{counts[COMPLETED]} of {size}" if size else f"{counts[COMPLETED]}"
    facts = [
        ("trials completed", of_all, "big"),
        ("failed", str(counts[FAILED]), "FAILED" if counts[FAILED] else ""),
        ("tuner", job.tuner, ""),
        ("parameters of every network", f"about {job.budget:,}" if job.budget else "free", ""),
        ("epochs of a trial, at most", str(job.epochs), ""),
        ("seed", str(job.seed), ""),
        ("time of all trials", duration(sum(t.seconds or 0 for t in trials)), ""),
    ]
    if best is None:
        note = "No trial has been completed so far, so there is nothing to compare."
        return _section("The search", note, _list(facts))
    facts[:0] = [
        (f"best {job.objective}", f"{best.score:.4f}", "big"),
        (f"trial {best.id}", describe(job, best), "wide"),
    ]
    more = _details("How to train the best again", command_of(job, best))
    note = f"{job.objective} on the validation split, the less the better"
    note += f": {COLUMNS[job.objective][1]}." if job.objective in COLUMNS else "."
    if len(compared(job, trials)) < 2:
        note += " Two trials that were trained to the end can be compared; there is one so far."
    return _section("The search", note, _list(facts) + more)


def _findings(job: Job, trials: Sequence[Trial], equal: Sequence[Trial]) -> Iterator[str]:
    """The sections that compare trials with each other."""
    note = (
        "For each network and depth that was tried, the best and the median of its trials. "
        "“Layers” counts those from x(t) to the classes."
    )
    if len(equal) < len(measured(trials)):
        note += (
            f" Only the {len(equal)} trials with the most epochs are compared, here and in the "
            "charts up to the course of the search; Hyperband has stopped the others before."
        )
    yield _section("Which depth wins", note, _table(*ranking_table(equal), "short"))
    note = "One mark a trial; the lines go through the best of each depth; the ring is the best."
    beyond = window(equal)[2]
    if beyond:
        note += f" Trials far worse than the others, {beyond}, are outside: double-click for all."
    yield _section("Score against depth", note, _chart("depths", figures.depths(job, equal)))
    note = "Click a network to hide it, double-click to see it alone."
    if job.budget:
        note = "The budget keeps all networks at nearly one size. " + note
    yield _section("Score against parameters", note, _chart("sizes", figures.sizes(job, equal)))
    note = (
        "Every line is a trial, the darker the better. Drag along an axis to choose a range, drag "
        f"names to move axes. “{figures.NONE}”: the network does not have it."
    )
    yield _section("All values together", note, _chart("parallel", figures.parallel(job, equal)))
    found = figures.importances(job, equal)
    note = (
        "How much of the differences in rank each value explains by itself (fANOVA), among the "
        "values that all networks have, and the number of layers; a hint, not a proof."
    )
    if found is None:
        note = f"At least {figures.ENOUGH} completed trials that differ are needed to tell this."
    yield _section("What matters", note, "" if found is None else _chart("importances", found))


def _trials(job: Job, trials: Sequence[Trial]) -> str:
    """Every trial in a row, and in a row below why it failed."""
    best = best_of(measured(trials))
    names = [name for name in job.space.names if varies(job.space[name])]
    names += sorted({name for trial in trials for name in solved(job, trial)}, reverse=True)
    rows, below = [], {}
    for i, trial in enumerate(sorted(trials, key=rank)):
        values = {**trial.values, **solved(job, trial)}
        score = f"{trial.score:.4f}" if measured([trial]) else ""
        epochs = "" if trial.epochs is None else f"{trial.best_epoch}/{trial.epochs}"
        seconds = "" if trial.seconds is None else f"{trial.seconds:,.1f}"
        told = [brief(values[name]) if name in values else "" for name in names]
        last = [f"{trial.parameters:,}", epochs, seconds, str(trial.seed)]
        rows.append([trial.id + ("*" if trial is best else ""), trial.status, score, *told, *last])
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
        f'<div class="{kind}"><dt>{_text(name)}</dt><dd>{_text(told)}</dd></div>'
        for name, told, kind in facts
    ]
    return f"<dl>{''.join(items)}</dl>"


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    kind: str,
    below: Mapping[int, str] | None = None,
) -> str:
    """A table; columns of numbers are right-aligned, `below` has HTML to put below some rows."""
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

"""What the commands show: lines, tables, JSON and bars, in the columns that there are."""

import json
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ..utils.files import finite
from ..utils.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Columns of text where nothing says how many there are: enough for every table as it is. What goes
# into a file or to another program, such as grep, loses nothing and is not broken into lines.
UNLIMITED = 10_000
# Text of several words is wrapped into no narrower a column than this.
NARROWEST = 24


def say(line: str, *, err: bool = False) -> None:
    """Shows a line, on stderr if `err`; on a terminal it breaks between words alone."""
    console = _console(stderr=err)
    width = console.width if console.is_terminal else UNLIMITED
    for part in line.splitlines() or [""]:
        indent = " " * (len(part) - len(part.lstrip()))
        wrapped = textwrap.fill(
            printable(part),
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        typer.echo(wrapped, err=err)


def say_aside(line: str) -> None:
    """Shows a line on stderr, where JSON alone is to be on stdout."""
    say(line, err=True)


def progress(steps: Iterable[int], what: str) -> Iterator[int]:
    """A bar for long work, on a terminal only; nothing of it stays."""
    from rich import progress as rich
    from rich.console import Console

    console = Console(stderr=True)
    bar = rich.Progress(
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(24),
        rich.MofNCompleteColumn(),
        rich.TextColumn("batches"),
        rich.TimeRemainingColumn(),
        rich.TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_interactive,
    )
    with bar:
        yield from bar.track(steps, description=what)


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    drop: Sequence[str] = (),
) -> None:
    """Prints a table that fits the columns of the terminal without breaking a word.

    Args:
        title: Line above it, or "".
        columns: Titles of the columns.
        rows: Rows, with a value for each column.
        drop: Titles of columns to leave out where there is no room for all, the first one first.
    """
    from rich.measure import Measurement

    console = _console()
    unlimited = console.options.update(max_width=UNLIMITED)

    def fits(table: "Table") -> bool:
        return Measurement.get(console, unlimited, table).minimum <= console.width

    cells = {column: [str(row[i]) for row in rows] for i, column in enumerate(columns)}
    table, dropped = _table(cells), []
    for column in drop:
        if not fits(table):
            del cells[column]
            dropped.append(column)
            table = _table(cells)
    if not fits(table):
        table = _table(cells, narrowest=0)
    if not fits(table):
        table = _table(cells, narrowest=0, shorten=True)
    if title:
        say(title)
    console.print(table)
    if dropped:
        say(f"left out for want of room: {', '.join(dropped)}")
    say("")


def show_json(content: Any) -> None:
    """Prints strict JSON; numbers that are not finite become null."""
    typer.echo(json.dumps(finite(content), indent=2, default=str, allow_nan=False))


def show_results(metrics: dict[str, Any], split: str) -> None:
    """The table of a run: baselines, then the network, each number with its definition below."""
    from ..training.results import table

    title, columns, rows, notes = table(metrics, split)
    show_table(title, columns, rows)
    for note in notes:
        say(note)


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNLIMITED
    return console


def _table(
    cells: Mapping[str, Sequence[str]], *, narrowest: int = NARROWEST, shorten: bool = False
) -> "Table":
    """A table in which no word and no number is broken; `shorten` cuts texts with an ellipsis."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for title, values in cells.items():
        texts = [title, *values]
        natural = max(cell_len(line) for text in texts for line in text.splitlines() or [""])
        word = max((cell_len(word) for text in texts for word in text.split()), default=0)
        number = any(values) and all(re.fullmatch(r"[-\d.,/ ±()†]*", value) for value in values)
        least = natural if number else min(natural, max(word, narrowest))
        table.add_column(
            Text(title),
            justify="right" if number else "left",
            no_wrap=least == natural and not shorten,
            min_width=None if shorten and not number else least,
        )
    for row in zip(*cells.values()):
        table.add_row(*(Text(cell, no_wrap=shorten, overflow="ellipsis") for cell in row))
    return table

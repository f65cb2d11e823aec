"""What the commands share: progress bars and tables."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import typer

# Columns of text where there is no terminal that says how many it has.
WIDTH = 160


def progress(steps: Iterable[int]) -> Iterable[int]:
    """A bar for long work, on a terminal only."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    quiet = not console.is_terminal
    return track(steps, "measuring", console=console, transient=True, disable=quiet)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; its first row says which columns hold numbers."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for i, column in enumerate(columns):
        number = rows and re.fullmatch(r"[\d.,]+", str(rows[0][i]))
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)


def show_results(metrics: dict[str, Any], split: str) -> None:
    """The table of a run: baselines, then the network, each number with its definition below."""
    from ..training.evaluate import table

    title, columns, rows, notes = table(metrics, split)
    show_table(title, columns, rows)
    for note in notes:
        typer.echo(note)

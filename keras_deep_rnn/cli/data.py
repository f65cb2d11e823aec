"""The commands `deep-rnn data`."""

from pathlib import Path
from typing import Annotated

import typer

from .console import show_table
from .options import BY_HAND, PREPARED, Command, argument, path

data_app = typer.Typer(help="Data sets: what is there, what it needs, where it lies.")


@data_app.command("list", cls=Command, epilog="Example: deep-rnn data list")
def list_(data_dir: Annotated[Path | None, path(PREPARED)] = None) -> None:
    """Lists the data sets that have a name."""
    from .. import data

    rows = []
    for name in data.names():
        found = data.describe(name, data_dir=data_dir)
        place = found["folder"] if found["prepared"] else "not prepared yet"
        rows.append([name, found["kind"], found["needs"], place])
    show_table("", ["name", "kind", "needs", "where it lies"], rows)
    typer.echo(
        "Your own: the path of a folder of MIDI files, of .npz or .mat piano-rolls, or of a text."
    )


@data_app.command(
    "prepare",
    cls=Command,
    epilog="Example: deep-rnn data prepare jsb_chorales --data-path ~/Downloads",
)
def prepare(
    name: Annotated[str, argument("Name of a data set.")],
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
) -> None:
    """Makes a data set ready, so that training starts at once."""
    from .. import data

    dataset = data.load(name, data_path=data_path, data_dir=data_dir)
    rows = [
        [split, f"{len(sequences):,}", f"{sum(len(part) for part in sequences):,}"]
        for split, sequences in dataset.splits.items()
    ]
    show_table(dataset.description, ["split", "sequences", f"{dataset.step}s"], rows)

"""The commands `deep-rnn data`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..utils.text import with_tilde
from .console import say, show_json, show_table
from .options import (
    DATA_DIR,
    JSON,
    MANUAL_DIR,
    SKIP_UNREADABLE,
    SUSTAIN_PEDAL,
    Command,
    argument,
    data_sets,
    flag,
    path,
)

data_app = typer.Typer(help="Data sets: what each is, how large, where it lies.")


@data_app.command("list", cls=Command, epilog="Example: deep-rnn data list")
def list_(
    data_dir: Annotated[Path | None, path(DATA_DIR)] = None,
    as_json: Annotated[bool, flag("--json", JSON)] = False,
) -> None:
    """Lists the data sets that have a name: size, licence, and whether they are prepared."""
    from .. import data

    found = [data.describe(name, data_dir=data_dir) for name in data.names()]
    if as_json:
        show_json(found)
        return
    for described in found:
        say(described["name"])
        for line in _lines(described):
            say(f"    {line}")
    say("Your own: the path of a folder of MIDI files, of .npz or .mat piano-rolls, or of a text.")


def _lines(described: dict[str, Any]) -> list[str]:
    """What there is to say of a data set."""
    sizes = " + ".join(f"{size:,}" for size in described["sizes"].values())
    what = f"{sizes} {described['counted']} ({' + '.join(described['sizes'])})"
    if described["counted"] == "pieces":
        what += f", time step: {described['step']}"
    if described["prepared"]:
        place = f"prepared in {with_tilde(described['folder'])}"
    else:
        place = f"not prepared; needs {described['needs']}"
    return [described["title"], what, f"licence: {described['licence']}", place]


@data_app.command(
    "prepare",
    cls=Command,
    epilog="Example: deep-rnn data prepare jsb_chorales --manual-dir ~/Downloads",
)
def prepare(
    name: Annotated[str, argument("Name of a data set, or path of your own.", data_sets)],
    manual_dir: Annotated[Path | None, path(MANUAL_DIR)] = None,
    data_dir: Annotated[Path | None, path(DATA_DIR)] = None,
    skip_unreadable: Annotated[bool, flag("--skip-unreadable", SKIP_UNREADABLE)] = False,
    sustain_pedal: Annotated[bool, flag("--sustain-pedal", SUSTAIN_PEDAL)] = False,
    as_json: Annotated[bool, flag("--json", JSON)] = False,
) -> None:
    """Makes a data set ready, so that training starts at once, and says what is in it."""
    from .. import data

    dataset = data.load(
        name,
        manual_dir=manual_dir,
        data_dir=data_dir,
        skip_unreadable=skip_unreadable,
        sustain_pedal=sustain_pedal,
    )
    sizes = {
        split: {"sequences": len(sequences), "steps": sum(map(len, sequences))}
        for split, sequences in dataset.splits.items()
    }
    if as_json:
        names = (
            "name",
            "kind",
            "description",
            "step",
            "version",
            "checksum",
            "citation",
            "remarks",
        )
        show_json({**{name: getattr(dataset, name) for name in names}, "splits": sizes})
        return
    rows = [[split, *(f"{size:,}" for size in counts.values())] for split, counts in sizes.items()]
    show_table(dataset.description, ["split", "sequences", f"{dataset.step}s"], rows)
    for line in dataset.remarks:
        say(line)

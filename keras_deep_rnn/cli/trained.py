"""The commands `deep-rnn trained` and `deep-rnn pack`: trained networks as small files."""

from pathlib import Path
from typing import Annotated

from ..utils.backend import start_backend
from .console import say, show_json, show_table
from .options import JSON, argument, flag, path, run_folders

EXAMPLE = "Example: deep-rnn trained; then deep-rnn generate jsb_chorales/dots_rnn --out new.mid"
PACK_EXAMPLE = "Example: deep-rnn pack runs/bach --out bach.npz"


def trained(as_json: Annotated[bool, flag("--json", JSON)] = False) -> None:
    """Lists the trained networks that come with the package."""
    start_backend()
    from ..experiments.model_cards import cards
    from ..experiments.trained import results_folder

    found = cards(results_folder())
    if as_json:
        show_json(found)
        return
    columns = ["name", "network", "weights", "measure", "test"]
    rows = [
        [name, card["network"], f"{card['weights']:,}", card["measure"], f"{card['test']:.3f}"]
        for name, card in found.items()
    ]
    show_table("Trained networks", columns, rows, drop=["network", "weights"])
    say(
        "Their cards: docs/models.md. A name stands for a run: generate, evaluate, export, inspect."
    )


def pack(
    run: Annotated[str, argument("Folder of a finished run.", run_folders)],
    out: Annotated[Path, path("File to write, .npz.")],
) -> None:
    """Packs a run in one small file, which commands take for it: weights in half precision."""
    start_backend()
    from ..experiments.trained import save
    from ..utils.errors import argument_is

    with argument_is("path", "out"):
        save(run, out)
    say(f"Wrote {out}, {out.stat().st_size:,} bytes")

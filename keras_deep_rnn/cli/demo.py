"""The main job on real music, in some minutes: `make demo`.

Bach's chorales as music21 ships them, a DOT(S)-RNN with a joint output, a new chorale, as a page
that plays it and as MIDI, and a SavedModel that is checked in a process without this package.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..utils.backend import start_backend
from ..utils.types import Log, PathLike, ShowProgress, no_progress
from .console import progress, say, show_results, show_table
from .options import flag, path

if TYPE_CHECKING:
    from ..training.config import Settings
    from ..training.music.piece import Piece
    from ..training.music.statistics import Statistics
    from ..training.run_folder import Run

EXAMPLE = "Example: deep-rnn demo --out demo"


def demo(
    out: Annotated[Path, path("Folder for everything that it makes.")] = Path("demo"),
    overwrite: Annotated[bool, flag("--overwrite", "Replace what an earlier demo made.")] = False,
) -> None:
    """Bach's chorales: data, training, a new chorale that plays and a SavedModel, in minutes."""
    start_backend()
    metrics, music, written = run(out, overwrite=overwrite, log=say, progress=progress)
    show_results(metrics, "test")
    say("")
    show_statistics(music)
    for what, where in written.items():
        say(f"{what + ':':16}{where}")


def run(
    out: PathLike = "demo",
    *,
    settings: "Settings | None" = None,
    overwrite: bool = False,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> tuple[dict[str, Any], dict[str, "Statistics"], dict[str, Path]]:
    """Trains, evaluates, generates and exports.

    Args:
        out: Folder for everything that it makes.
        settings: `Settings` of the training; None for those of the demo.
        overwrite: Whether the run of an earlier demo is replaced.
        log: Called with one line at a time.
        progress: Wraps an iterable, for example to show a progress bar.

    Returns:
        The content of metrics.json, the `statistics` of the new chorale and of the data set by
        their names, and a dict from what was made to its path.

    Raises:
        UserError: An earlier demo is in the folder, or something cannot be written.
    """
    from ..export import export_run
    from ..training.config import Settings
    from ..training.music.writers import WRITERS
    from ..training.run_folder import CURVE, Run
    from ..training.train import train

    # Of keys that are sampled independently, 3 of 10 pairs are dissonances; of Bach's, 1 in 14.
    settings = settings or Settings(data="bach_chorales", network="dots_rnn", output="nade")
    out = Path(out)
    folder = out / "run"
    metrics = train(
        settings, folder, overwrite=overwrite, command="deep-rnn demo", log=log, progress=progress
    )
    piece, music = _new_chorale(Run(folder), log)
    chorale, picture = WRITERS[".mid"](piece, out / "chorale.mid")
    (page,) = WRITERS[".html"](piece, out / "chorale.html")
    log("Writing the SavedModel and checking it in a process without this package")
    served = export_run(folder, out / "served")
    written = {
        "learning curve": folder / CURVE,
        "SavedModel": served,
        "piano-roll": picture,
        "chorale": chorale,
        "to play it": page,
    }
    return metrics, music, written


def show_statistics(music: dict[str, "Statistics"]) -> None:
    """The table of a new piece beside the data set."""
    rows = [
        [name, *("{:.2f} ± {:.2f}".format(*found[name]) for found in music.values())]
        for name in next(iter(music.values()))
    ]
    show_table("", ["mean ± standard deviation", *music], rows)
    say(
        "voices sounding in a frame; note length in quarter notes; interval in semitones, and the "
        "share of seconds, sevenths and tritones, between the notes of a frame"
    )


def _new_chorale(run: "Run", log: Log) -> tuple["Piece", dict[str, "Statistics"]]:
    """A new piece at the temperature that is the most like the validation split, and statistics."""
    from .. import data
    from ..training.config import load_options
    from ..training.music.ending import with_ending
    from ..training.music.statistics import statistics
    from ..training.music.temperature import rank_temperatures
    from ..training.sample import LENGTH, compose

    settings = run.settings()
    splits = data.load(settings.data, **load_options(settings)).splits
    ranked = rank_temperatures(run.model(batch_size=1), splits["validation"])
    temperature = next(iter(ranked))
    distances = ", ".join(f"{t:g}: {ranked[t]:.2f}" for t in sorted(ranked))
    log(f"Temperature {temperature:g}, whose samples are the most like the validation split:")
    log(f"distance of their statistics, in standard deviations: {distances}")
    length = LENGTH["piano_roll"]
    piece = compose(run, length=length, temperature=temperature)
    bar = max(1, round(4 / piece.quarter_length))
    frames = with_ending(piece.frames, earliest=length * 3 // 4, hold=bar)
    piece = dataclasses.replace(piece, frames=frames)
    corpus = [sequence for split in splits.values() for sequence in split]
    return piece, {
        "new chorale": statistics([frames], piece.quarter_length),
        "data set": statistics(corpus, piece.quarter_length),
    }

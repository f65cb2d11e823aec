"""The main job on real music, in some minutes: `make demo`.

Bach's chorales as music21 ships them, a DOT(S)-RNN, a new chorale and a SavedModel that is checked
in a process without this package.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..utils.backend import start_backend
from ..utils.types import Log, PathLike, ShowProgress, no_progress
from .console import progress, say, show_results
from .options import flag, path

if TYPE_CHECKING:
    from ..training.config import Settings

EXAMPLE = "Example: deep-rnn demo --out demo"


def demo(
    out: Annotated[Path, path("Folder for everything that it makes.")] = Path("demo"),
    overwrite: Annotated[bool, flag("--overwrite", "Replace what an earlier demo made.")] = False,
) -> None:
    """Bach's chorales: data, training, a new chorale and a SavedModel, in some minutes."""
    start_backend()
    metrics, written = run(out, overwrite=overwrite, log=say, progress=progress)
    show_results(metrics, "test")
    for what, where in written.items():
        say(f"{what + ':':16}{where}")


def run(
    out: PathLike = "demo",
    *,
    settings: "Settings | None" = None,
    overwrite: bool = False,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Trains, evaluates, generates and exports.

    Args:
        out: Folder for everything that it makes.
        settings: `Settings` of the training; None for those of the demo.
        overwrite: Whether the run of an earlier demo is replaced.
        log: Called with one line at a time.
        progress: Wraps an iterable, for example to show a progress bar.

    Returns:
        The content of metrics.json, and a dict from what was made to its path.

    Raises:
        UserError: An earlier demo is in the folder, or something cannot be written.
    """
    from ..export import export_run
    from ..training.config import Settings
    from ..training.run_folder import CURVE
    from ..training.sample import generate
    from ..training.train import train

    settings = settings or Settings(data="bach_chorales", network="dots_rnn")
    out = Path(out)
    folder = out / "run"
    metrics = train(
        settings, folder, overwrite=overwrite, command="deep-rnn demo", log=log, progress=progress
    )
    chorale, picture = generate(folder, out / "chorale.mid", log=log)
    log("Writing the SavedModel and checking it in a process without this package")
    served = export_run(folder, out / "served")
    written = {
        "chorale": chorale,
        "piano-roll": picture,
        "learning curve": folder / CURVE,
        "SavedModel": served,
    }
    return metrics, written

"""The main job on real music, in some minutes: `make demo`.

Bach's chorales as music21 ships them, a DOT(S)-RNN, a new chorale and a SavedModel that is checked
in a process without this package.
"""

from pathlib import Path
from typing import Any

from ..export import export_run
from ..training.config import Settings
from ..training.run_folder import CURVE
from ..training.sample import generate
from ..training.train import train
from ..utils.types import PathLike, Say, ShowProgress

SETTINGS = Settings(data="bach_chorales", network="dots_rnn")


def run(
    out: PathLike = "demo",
    *,
    settings: Settings = SETTINGS,
    overwrite: bool = False,
    say: Say = print,
    progress: ShowProgress = iter,
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Trains, evaluates, generates and exports.

    Args:
        out: Folder for everything that it makes.
        settings: `Settings` of the training.
        overwrite: Whether the run of an earlier demo is replaced.
        say: Function that shows a line.
        progress: Function that gives out the numbers of a list and may show how far it is.

    Returns:
        The content of metrics.json, and a dict from what was made to its path.

    Raises:
        UserError: An earlier demo is in the folder, or something cannot be written.
    """
    out = Path(out)
    folder = out / "run"
    metrics = train(
        settings, folder, overwrite=overwrite, command="deep-rnn demo", say=say, progress=progress
    )
    chorale, picture = generate(folder, out / "chorale.mid", say=say)
    say("Writing the SavedModel and checking it in a process without this package")
    served = export_run(folder, out / "served")
    written = {
        "chorale": chorale,
        "piano-roll": picture,
        "learning curve": folder / CURVE,
        "SavedModel": served,
    }
    return metrics, written

"""`export_run`: the network of a run folder as a SavedModel."""

from ..runs import Run
from .saved_model import export_saved_model


def export_run(path, out=None, *, version=None):
    """Writes a SavedModel of the trained network of a run and checks it.

    Music leaves as probabilities of keys, text as those of characters or words.

    Args:
        path: Folder of the run.
        out: Folder in which a numbered version is made; None for "served" in the run's.
        version: Its number; None for the next free one.

    Returns:
        The folder of the version.

    Raises:
        UserError: As for `export_saved_model`, or the run is not finished.
    """
    run = Run(path)
    music = run.config["data"]["kind"] == "piano_roll"
    return export_saved_model(
        run.model(),
        out or run / "served",
        version=version,
        probabilities="sigmoid" if music else "softmax",
    )

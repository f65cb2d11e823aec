"""The command `deep-rnn train`."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from ..training.config import RUN, Settings
from ..utils.backend import start_backend
from ..utils.errors import UserError
from ..utils.files import user_path, write_errors
from ..utils.text import with_tilde
from .console import progress, say, show_results
from .options import flag, path, whole
from .settings_options import with_settings

EXAMPLE = (
    "Example: deep-rnn train --data bach_chorales --network dots_rnn --units 400 "
    "--transition-units 400 --output-units 400 --out runs/bach"
)


@with_settings
def train(
    out: Annotated[
        Path | None,
        path(
            "Run folder to make. The default is numbered, runs/DATA-NETWORK-2, where it is taken "
            "and --overwrite is not given.",
            RUN,
            default="runs/DATA-NETWORK",
        ),
    ] = None,
    resume: Annotated[
        bool, flag("--resume", "Go on with the interrupted run in --out.", RUN)
    ] = False,
    overwrite: Annotated[bool, flag("--overwrite", "Replace the run in --out.", RUN)] = False,
    devices: Annotated[
        int, whole("Devices of JAX that share each batch; it does not change the result.", RUN)
    ] = 1,
    **settings: Any,
) -> None:
    """Trains a network and measures it. What is not given has the data set's default."""
    start_backend()
    from ..training import train as training

    how = {
        "devices": devices,
        "command": shlex.join(["deep-rnn", *sys.argv[1:]]),
        "log": say,
        "progress": progress,
    }
    if resume and overwrite:
        raise UserError("--resume and --overwrite cannot be combined.")
    if resume:
        if out is None:
            raise UserError("Missing option --out: the folder of the run to resume.")
        metrics = training.resume(out, requested=settings, **how)
    else:
        if "data" not in settings:
            raise UserError("Missing option --data: the name of a data set or a path.")
        of_run = Settings(**settings)
        if out is None:
            out = _default_folder(of_run, overwrite)
        try:
            metrics = training.train(of_run, out, overwrite=overwrite, **how)
        finally:
            with suppress(OSError):  # which says that something was written
                out.rmdir()
    show_results(metrics, "test")
    say(f"Run folder: {with_tilde(out)}")


def _default_folder(settings: Settings, overwrite: bool) -> Path:
    """Makes runs/DATA-NETWORK or, where that is taken, the first free runs/DATA-NETWORK-N.

    It is made at once, so that trainings that begin together do not take the same.
    """
    path = user_path(settings.data).resolve()
    data = (path.name if path.is_dir() else path.stem) or "data"  # the root has no name
    name, number = f"{data}-{settings.network}", 1
    while True:
        folder = Path("runs", name if number == 1 else f"{name}-{number}")
        with write_errors(folder), suppress(FileExistsError):
            folder.mkdir(parents=True, exist_ok=overwrite)
            return folder
        number += 1

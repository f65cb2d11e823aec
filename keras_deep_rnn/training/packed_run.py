"""A trained run in one small file: configuration, results, and weights in half precision."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ..utils.errors import UserError, first_line
from ..utils.files import open_zip, parse_json, replacing, user_path
from ..utils.types import PathLike
from .run_folder import CHECKSUM, CONFIG, HISTORY_CHECKSUM, METRICS, MODEL, PLACES, Run

# Name of the JSON among the arrays; the weights are called by their numbers.
ABOUT = "run"
# Bytes of all arrays that are read.
MAX_BYTES = 200 * 2**20
# What belongs to the machine, or to files that are not packed.
_OMITTED = ("command", "resumes", CHECKSUM, HISTORY_CHECKSUM)


def pack(run: Run, path: PathLike) -> None:
    """Writes a finished run as one file (`.npz`), without paths of this machine.

    Args:
        run: `Run`.
        path: The file.

    Raises:
        UserError: The run is not finished, or the file cannot be written.
    """
    config, metrics = (
        {name: value for name, value in content.items() if name not in _OMITTED}
        for content in (run.config, run.metrics)
    )
    settings = config["settings"]
    own = settings["data"] not in data.names()
    name = Path(settings["data"]).name if own else settings["data"]
    config["settings"] = {"data": name, **{n: v for n, v in settings.items() if n not in PLACES}}
    for content in (config, metrics):
        content["data"] = {**content["data"], "name": name}
    weights = {
        str(i): weight.astype("float16") for i, weight in enumerate(run.model().get_weights())
    }
    about = json.dumps({CONFIG: config, METRICS: metrics})
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **{ABOUT: np.array(about)}, **weights)


@contextlib.contextmanager
def unpacked(path: PathLike) -> Iterator[Path]:
    """The run folder at a path; of a packed run a temporary one.

    Raises:
        UserError: The file is not a packed run.
    """
    path = user_path(path)
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        _unpack(path, Run(folder))
        yield Path(folder)


def _unpack(path: Path, run: Run) -> None:
    try:
        with open_zip(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES // 2**20} MB")
        with np.load(path) as arrays:
            about: dict[str, Any] = parse_json(str(arrays[ABOUT]).encode())
            weights = [arrays[str(i)].astype("float32") for i in range(len(arrays.files) - 1)]
        for name in (CONFIG, METRICS):
            run.write(name, about[name])
        model = run.network()
        model.set_weights(weights)
    except Exception as error:  # a damaged file fails in zip, NumPy, JSON or Keras
        reason = first_line(error).rstrip(".")
        raise UserError(f"Cannot read {str(path)!r} as a packed run: {reason}.") from error
    model.save(run / MODEL)

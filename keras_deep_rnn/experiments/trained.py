"""The trained networks that come with the package: packed runs beside the records of results/."""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.errors import NOTHING, ArgumentError, nearest
from ..utils.types import PathLike

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import keras

# The folder of the records as a package; in a checkout it lies beside the package.
RESULTS = "keras_deep_rnn.results"
# Left out of a name; that of the recipe `paper` ends in it.
RECIPE = "-modern"


def trained() -> list[str]:
    """Lists the trained networks that come with the package, as `load` takes them.

    Returns:
        Sorted names, "task/network".

    Example:

    >>> "jsb_chorales/dots_rnn" in trained()
    True
    """
    return sorted(packed_runs(results_folder()))


def packed_runs(folder: Path) -> dict[str, Path]:
    """The packed runs in a folder of records, by the name of their network."""
    files = {file.relative_to(folder).with_suffix(""): file for file in folder.glob("*/*.npz")}
    return {name.as_posix().removesuffix(RECIPE): file for name, file in files.items()}


def path_of(run: PathLike) -> Path:
    """The file of a trained network by its name, or the path that is given.

    Args:
        run: One of `trained`, or a path of a run folder or packed run.

    Raises:
        ArgumentError: There is no such path, and the name is of no trained network.
    """
    path, name = Path(run), os.fspath(run)
    runs = packed_runs(results_folder())
    if path.exists() or name.split("/")[0] not in {known.split("/")[0] for known in runs}:
        return path
    if name not in runs:
        expected = "the folder of a run, a packed run, or the name of a trained network"
        raise ArgumentError("run", expected, name, nearest(name, runs))
    return runs[name]


def opened(
    run: PathLike, out: PathLike | None = None, *, writes: bool = False
) -> "AbstractContextManager[Path]":
    """The folder of a run for a block; of a packed run a temporary one, see `unpacked`.

    Args:
        run: As for `path_of`.
        out: Where the block writes; None for the folder of the run.
        writes: Whether it writes at all.

    Raises:
        ArgumentError: As for `path_of`, or a packed run is to be written to.
    """
    from ..training.packed_run import unpacked

    path = path_of(run)
    if writes and out is None and path.is_file():
        raise ArgumentError("out", "given for a packed run, which is no folder", NOTHING)
    return unpacked(path)


def load(run: PathLike, *, batch_size: int | None = None) -> "keras.Model":
    """Loads a trained network: one that comes with the package, or your own run.

    Args:
        run: One of `trained`, such as "jsb_chorales/dots_rnn"; a packed run (`.npz`, see `save`);
            or the folder of a finished run.
        batch_size: None for a network of whole sequences; a number for a stateful one with the same
            weights, which carries its state between batches of that size.

    Returns:
        A `keras.Model` from `{"x": ...}` to logits, see `build_network`. The card of each network
        that comes with the package: docs/models.md.

    Raises:
        ArgumentError: There is no such network.
        UserError: The run is not finished, or the file is damaged.

    Example:

    >>> import numpy as np
    >>> model = load("jsb_chorales/dots_rnn")
    >>> tuple(model({"x": np.zeros((1, 5, 88))}).shape)
    (1, 5, 88)
    """
    from ..training.run_folder import Run

    with opened(run) as folder:
        found = Run(folder)
        _ = found.metrics  # says so where the run is not finished
        return found.model(batch_size=batch_size)


def save(run: PathLike, path: PathLike) -> None:
    """Writes a finished run as one small file, which `load` and the commands take in its place.

    It has the configuration, the results and the weights in half precision, and no path of this
    machine.

    Args:
        run: Folder of a finished run.
        path: The file to write, `.npz`.

    Raises:
        UserError: The run is not finished, or the file cannot be written.
    """
    from ..training.packed_run import pack
    from ..training.run_folder import Run

    if Path(path).suffix != ".npz":
        raise ArgumentError("path", "in .npz", os.fspath(path), verb="end")
    pack(Run(run), path)


def results_folder() -> Path:
    """The folder of the packed runs: installed with the package, or of the checkout."""
    try:
        (place,) = importlib.import_module(RESULTS).__path__
    except ModuleNotFoundError:  # a checkout that was not installed
        place = Path(__file__).parents[2] / "results"
    return Path(place)

"""`load`: a data set by its name, or the user's own data by its path."""

import contextlib
import errno
import importlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import ArgumentError, UserError, first_line, missing_extra
from ..utils.types import PathLike
from . import catalogue, files
from .dataset import Dataset


def load(
    name: PathLike,
    *,
    data_path: PathLike | None = None,
    data_dir: PathLike | None = None,
    progress: bool = True,
) -> Dataset:
    """Loads a data set; on the first use it is prepared and kept.

    Args:
        name: a data set's name (see `names()`), or the path of your own data: a folder of MIDI
            files, a `.npz` or `.mat` file of piano-rolls, a UTF-8 `.txt` file.
        data_path: folder of files that were downloaded by hand; they are looked for in it and in
            its direct sub-folders. None: they are downloaded. Not used for your own data.
        data_dir: folder of prepared data; None is the environment variable TFDS_DATA_DIR, else
            the default of TensorFlow Datasets.
        progress: whether to show the progress of long work on standard error.

    Returns:
        A `Dataset`.

    Raises:
        UserError: if there is no such data set or path, a file is missing, damaged or has another
            checksum than the published one, or the prepared data cannot be written. Other data
            than what was asked for is never given instead.

    Example:

    >>> jsb = load("jsb_chorales", data_path="downloads")    # doctest: +SKIP
    >>> len(jsb.splits["train"]), jsb.splits["train"][0].shape    # doctest: +SKIP
    (229, (129, 88))
    """
    if not isinstance(name, (str, Path)) or not str(name):
        raise ArgumentError("name", "the name of a data set or a path", name)
    name = str(name)
    if name in catalogue.ENTRIES:
        return _prepared(catalogue.entry(name), data_path, data_dir, progress)
    path = Path(name).expanduser()
    if path.exists():
        from . import local_files

        return local_files.load(path, progress=progress)
    if {"/", os.sep} & set(name) or path.suffix:
        raise ArgumentError("name", "a data set or an existing path", name)
    raise catalogue.unknown(name)


def _prepared(
    entry: catalogue.Entry, data_path: PathLike | None, data_dir: PathLike | None, progress: bool
) -> Dataset:
    data_dir = Path(data_dir or catalogue.default_data_dir()).expanduser()
    # Also when the data is prepared: a damaged file by hand is told, not passed over.
    found = files.by_hand(entry, data_path) if data_path is not None and entry.files else None
    tfds = _tfds()
    builders = importlib.import_module(".builders.builders", __package__)
    try:
        builder = builders.make(entry, data_dir)
        if not (Path(builder.data_dir) / "dataset_info.json").exists():
            if data_path is not None and entry.files and not found:
                raise UserError(files.missing_message(entry, f"not in {data_path}"))
            config = tfds.download.DownloadConfig(
                manual_dir=None if data_path is None else Path(data_path).expanduser(),
                try_download_gcs=False,
            )
            builder.progress = progress
            with _quiet(tfds):
                builder.download_and_prepare(download_config=config)
    except (OSError, RuntimeError) as error:  # RuntimeError: what the writer of ArrayRecord raises
        reason = os.strerror(errno.ENOSPC)
        if reason not in str(error):
            reason = getattr(error, "strerror", None) or first_line(error)
        expected = f"a folder in which {entry.name} can be prepared"
        raise ArgumentError("data_dir", expected, str(data_dir), f": {reason}.") from error
    try:
        return _dataset(entry, builder)
    except Exception as error:  # a damaged file fails in as many ways as the readers know
        raise UserError(
            f"The prepared data in {builder.data_dir} is damaged: delete this folder, and it is "
            f"made again ({type(error).__name__})."
        ) from error


def _dataset(entry: catalogue.Entry, builder: Any) -> Dataset:
    sequences = {
        split: [example["sequence"] for example in builder.as_data_source(split)]
        for split in ("train", "validation", "test")
    }
    facts = dict(builder.info.metadata)
    vocabulary = facts.get("vocabulary")
    return Dataset(
        name=entry.name,
        kind=entry.kind,
        splits=sequences,
        step=entry.step,
        version=str(builder.version),
        checksum=facts["checksum"],
        description=entry.title,
        citation=entry.citation,
        vocabulary=None if vocabulary is None else tuple(vocabulary),
        quarter_length=entry.quarter_length,
    )


def _tfds() -> Any:
    for module, package in (
        ("importlib_resources", "importlib_resources"),
        ("array_record", "array_record"),
        ("tensorflow_datasets", "tensorflow-datasets"),
    ):
        try:
            tfds = importlib.import_module(module)
        except ImportError:
            raise missing_extra(package, "data") from None
    return tfds


@contextlib.contextmanager
def _quiet(tfds: Any) -> Iterator[None]:
    """Leaves the progress to the builders: TFDS does not know how long theirs take."""
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)

"""`load`: loads a named data set, or the user's own data from a path."""

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import ArgumentError, UserError, first_line, missing_extra
from ..utils.files import user_path
from ..utils.former_names import former_names
from ..utils.lock import locked
from ..utils.types import PathLike
from ..utils.validation import flag
from . import catalogue, files
from .dataset import SPLITS, Dataset


@former_names(data_path="manual_dir")
def load(
    name: PathLike,
    *,
    manual_dir: PathLike | None = None,
    data_dir: PathLike | None = None,
    skip_unreadable: bool = False,
    sustain_pedal: bool = False,
    progress: bool = True,
) -> Dataset:
    """Loads a data set, which the first call prepares.

    Args:
        name: Name of a data set (see `names()`), or path of your own data: a folder of MIDI files,
            a `.npz` or `.mat` file of piano-rolls, a UTF-8 `.txt` file.
        manual_dir: Folder of manually downloaded files, which may be in its direct sub-folders.
            None: they are downloaded. Ignored for your own data.
        data_dir: Folder of prepared data and of parsed MIDI files; None is the environment
            variable TFDS_DATA_DIR, else the default of TensorFlow Datasets.
        skip_unreadable: Whether to go on without MIDI files that cannot be read, which
            `Dataset.remarks` names. Ignored for other data, as is `sustain_pedal`.
        sustain_pedal: Whether notes of MIDI files sound on while the sustain pedal is down.
        progress: Whether to show progress bars on stderr.

    Returns:
        A `Dataset`.

    Raises:
        UserError: The data set or path does not exist, a file is missing, corrupt or does not have
            its published checksum, or the prepared data cannot be written.

    Example:

    >>> jsb = load("jsb_chorales", manual_dir="downloads")    # doctest: +SKIP
    >>> len(jsb.splits["train"]), jsb.splits["train"][0].shape    # doctest: +SKIP
    (229, (129, 88))
    """
    if not isinstance(name, (str, Path)) or not str(name):
        raise ArgumentError("name", "the name of a data set or a path", name)
    name = str(name)
    if name in catalogue.ENTRIES:
        return _prepared(catalogue.entry(name), manual_dir, data_dir, progress)
    path = user_path(name)
    if path.exists():
        from . import local_files

        return local_files.load(
            path,
            data_dir=data_dir,
            skip_unreadable=flag("skip_unreadable", skip_unreadable),
            sustain_pedal=flag("sustain_pedal", sustain_pedal),
            progress=progress,
        )
    if {"/", os.sep} & set(name) or path.suffix:
        raise ArgumentError("name", "a data set or an existing path", name)
    raise catalogue.unknown(name)


def _prepared(
    entry: catalogue.Entry, manual_dir: PathLike | None, data_dir: PathLike | None, progress: bool
) -> Dataset:
    data_dir = user_path(data_dir or catalogue.default_data_dir())
    # Also if the data is prepared: a corrupt file is an error all the same.
    manual = None
    if manual_dir is not None and entry.files:
        manual = files.manual_files(entry, manual_dir)
    tfds = _tfds()
    builders = importlib.import_module(".builders.builders", __package__)
    try:
        builder = builders.make(entry, data_dir)
        if not _is_prepared(builder):
            if manual_dir is not None and entry.files and not manual:
                raise UserError(files.missing_message(entry, f"not in {manual_dir}"))
            config = tfds.download.DownloadConfig(
                manual_dir=None if manual_dir is None else user_path(manual_dir),
                try_download_gcs=False,
            )
            with contextlib.suppress(FileExistsError):  # a file is no folder, says the lock
                data_dir.mkdir(parents=True)
            with locked(data_dir / f".{entry.name}.lock", entry.name, wait=_wait):
                # Whoever had the lock before has prepared it.
                builder = builders.make(entry, data_dir)
                if not _is_prepared(builder):
                    builder.progress = progress
                    with _quiet(tfds):
                        builder.download_and_prepare(download_config=config)
    except (OSError, RuntimeError) as error:  # the writer of ArrayRecord raises RuntimeError
        reason = os.strerror(errno.ENOSPC)
        if reason not in str(error):
            reason = getattr(error, "strerror", None) or first_line(error)
        expected = f"a folder in which {entry.name} can be prepared"
        raise ArgumentError("data_dir", expected, str(data_dir), f": {reason}.") from error
    try:
        return _dataset(entry, builder)
    except Exception as error:  # the readers raise any kind of error for a corrupt file
        raise UserError(
            f"The prepared data in {builder.data_dir} is corrupt ({type(error).__name__}): delete "
            "this folder to prepare it again."
        ) from error


def _is_prepared(builder: Any) -> bool:
    return (Path(builder.data_dir) / "dataset_info.json").exists()


def _wait(in_use: str) -> None:
    """Says on stderr, beside the progress bars, why nothing seems to happen."""
    print(f"{in_use.removesuffix('.')}, which prepares it: waiting for it.", file=sys.stderr)


def _dataset(entry: catalogue.Entry, builder: Any) -> Dataset:
    sequences = {
        split: [example["sequence"] for example in builder.as_data_source(split)]
        for split in SPLITS
    }
    metadata = dict(builder.info.metadata)
    vocabulary = metadata.get("vocabulary")
    return Dataset(
        name=entry.name,
        kind=entry.kind,
        splits=sequences,
        step=entry.step,
        version=str(builder.version),
        checksum=metadata["checksum"],
        description=entry.title,
        citation=entry.citation,
        vocabulary=None if vocabulary is None else tuple(vocabulary),
        quarter_length=entry.quarter_length,
        remarks=(f"Splits: those of {entry.name}, always the same.",),
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
    """Turns off the progress bars of TFDS, which does not know the work of the builders."""
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(True)

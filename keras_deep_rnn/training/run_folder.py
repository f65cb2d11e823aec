"""The folder of a training run: its files, and how they are written and read.

    config.json          settings of the run, arguments of its network, data and versions
    model.keras          the network with its best weights
    history.csv          one row per epoch
    metrics.json         results, their definitions, baselines, data and versions
    learning_curve.png   loss and validation result over the epochs
    backup.npz           checkpoint of an unfinished training, for --resume
    partial.json         results of an unfinished training, from `reproduce --measure-only`
    tensorboard/         logs for TensorBoard, with --tensorboard
    .lock                while a process writes the run

Files are written atomically, so a killed run leaves none half-written. config.json and metrics.json
hold a checksum of their content, metrics.json and backup.npz one of history.csv: a file that was
changed later is refused. Runs of earlier versions have no checksums and are read all the same.
"""

import contextlib
import csv
import datetime
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from .. import __version__
from ..data.dataset import KINDS
from ..utils.backend import accelerator
from ..utils.errors import ArgumentError, UserError, Words, first_line, within
from ..utils.files import (
    PARTIAL,
    cannot_write,
    read_json,
    remove,
    replacing,
    user_path,
    write_json,
)
from ..utils.keras_files import load_model, verify_weights
from ..utils.lock import locked
from ..utils.types import PathLike
from ..utils.validation import Check, number, one_of, optional
from .callbacks import backup_state
from .config import NETWORK_ARGUMENTS, Settings, renamed

if TYPE_CHECKING:
    from ..data import Dataset

CONFIG, MODEL, HISTORY, METRICS = "config.json", "model.keras", "history.csv", "metrics.json"
CURVE, BACKUP, TENSORBOARD = "learning_curve.png", "backup.npz", "tensorboard"
PARTIAL_METRICS, LOCK = "partial.json", ".lock"
CONTENTS = (
    METRICS,
    CURVE,
    MODEL,
    HISTORY,
    BACKUP,
    PARTIAL_METRICS,
    TENSORBOARD,
    PARTIAL,
    CONFIG,
)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ArgumentError(name, "a text", value)


def _vocabulary(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
        raise ArgumentError(name, "a list of tokens", Words(type(value).__name__))


def _token(name: str, value: Any) -> None:
    if not isinstance(value, int) or value < 0:
        raise ArgumentError(name, "the integer of a token", value)


def _quarter_length(name: str, value: Any) -> None:
    if not 1e-3 <= number(name, value) <= 1e3:
        raise ArgumentError(name, "from 0.001 to 1000", value)


# Checks of what is known about the data; the keys that metrics.json has too come first.
DATA_CHECKS: dict[str, Check] = {
    "name": _text,
    "kind": one_of(KINDS),
    "version": _text,
    "checksum": _text,
    "vocabulary": optional(_vocabulary),
    "start": optional(_token),
    "quarter_length": optional(_quarter_length),
}


def _check_data(data: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        DATA_CHECKS[key](key, data[key])
    if data.get("start") is not None and data["start"] >= len(data["vocabulary"] or ()):
        raise ArgumentError("start", "a token of the vocabulary", data["start"])


# Required sections and keys of the files; other programs write a config.json too.
SECTIONS = {
    CONFIG: {
        "settings": ("data", "network"),
        "network": ("network", "kind", "features"),
        "data": tuple(DATA_CHECKS),
    },
    METRICS: {"splits": (), "baselines": (), "data": tuple(DATA_CHECKS)[:4]},
}
# Former names of sections.
RENAMED = {"floors": "baselines"}
# Settings that say where the data is; they may change.
PLACES = ("data", "manual_dir", "data_dir")
# Key of the checksum of a file's other content; in metrics.json also of history.csv.
CHECKSUM, HISTORY_CHECKSUM = "checksum", "history_checksum"


class Run:
    """A run folder.

    Args:
        path: The folder.

    Example:

    >>> Run("runs/none").exists()
    False
    """

    def __init__(self, path: PathLike) -> None:
        self.path = user_path(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def exists(self) -> bool:
        """Whether there is a run in the folder."""
        try:
            return bool(self._read(CONFIG, ""))
        except UserError:
            return False

    @contextlib.contextmanager
    def owned(self, *, make: bool = False, read_only: bool = False) -> Iterator[None]:
        """Locks the folder, so that one process at a time writes the run; see `locked`.

        Args:
            make: Whether to make the folder. If nothing is in it at the end, it is removed.
            read_only: Whether to go on without a lock in a folder that cannot be written.

        Raises:
            UserError: Another process has locked the folder, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                if make:
                    self._check_folder()
                    self.path.mkdir(parents=True, exist_ok=True)
                    stack.callback(self._remove_empty)
                if make or self.path.is_dir():  # what reads the run says that it is not there
                    stack.enter_context(locked(self / LOCK, repr(str(self.path))))
            except OSError as error:
                if not read_only:
                    raise cannot_write(self.path, error) from error
            yield

    def _check_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ArgumentError("out", "a new folder or a run's", str(self.path))

    def _remove_empty(self) -> None:
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def check_free(self, overwrite: bool) -> None:
        """Refuses a folder that holds something; only within `owned`.

        Raises:
            UserError: There is a run or another file in the folder.
        """
        if self.exists():
            if overwrite:
                return
            mend = "pass --resume to continue it or --overwrite to replace it."
            hint = f"; {str(self.path)!r} holds a run: {mend}"
            raise ArgumentError("out", "a new folder", hint=hint)
        if any(path.name not in (PARTIAL, LOCK) for path in self.path.iterdir()):
            hint = ", which holds something else."
            raise ArgumentError("out", "a new folder or a run's", str(self.path), hint)

    def clear(self) -> None:
        """Deletes the files of the run, and no others."""
        for name in CONTENTS:
            remove(self / name)

    def write_config(
        self, settings: Settings, network: dict[str, Any], dataset: "Dataset", command: str | None
    ) -> None:
        """Writes config.json."""
        self.write(
            CONFIG,
            {
                "settings": settings.to_json(),
                "network": {"network": settings.network, **network},
                "data": {
                    "name": dataset.name,
                    "kind": dataset.kind,
                    "version": dataset.version,
                    "checksum": dataset.checksum,
                    "vocabulary": dataset.vocabulary,
                    "start": dataset.start,
                    "step": dataset.step,
                    "quarter_length": dataset.quarter_length,
                },
                "versions": versions(),
                "command": command,
                "resumes": [],
            },
        )

    def add_resume(self, command: str | None, places: Mapping[str, Any]) -> None:
        """Adds a resume to config.json: its command, time and versions, and where the data is now.

        Args:
            command: Command line.
            places: {name: value} of the settings in `PLACES` that have changed.
        """
        config = self.config
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        resume = {"command": command, "time": now, "versions": versions()}
        resumes = [*config.get("resumes", []), resume]
        settings = {**config["settings"], **places}
        self.write(CONFIG, {**config, "settings": settings, "resumes": resumes})

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes config.json or metrics.json, with the checksum of its content."""
        write_json(self / name, with_checksum(content))

    @property
    def config(self) -> dict[str, Any]:
        """Content of config.json.

        Raises:
            UserError: There is no run, or the file was changed after it was written.
        """
        config = self._read(CONFIG, "a run folder with config.json")
        if not is_unchanged(config):
            edits = ""
            with contextlib.suppress(UserError):  # a damaged backup
                edits = self._edits(config["settings"])
            raise self._changed(CONFIG, edits)
        settings, network = (renamed(config[part]) for part in ("settings", "network"))
        for name in ("network", *NETWORK_ARGUMENTS):
            if name in settings and name in network and settings[name] != network[name]:
                raise UserError(
                    f"Cannot use {str(self / CONFIG)!r}: network.{name} is {network[name]!r}, "
                    f"settings.{name} is {settings[name]!r}."
                )
        return config

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json.

        Raises:
            UserError: The run is not finished, or this file or history.csv was changed after it
                was written.
        """
        metrics = self._read(METRICS, "the folder of a finished run with metrics.json")
        if not is_unchanged(metrics):
            raise self._changed(METRICS)
        if metrics.get(HISTORY_CHECKSUM, self.history_checksum()) != self.history_checksum():
            raise self._changed(HISTORY)
        return metrics

    def check_resumable(self) -> None:
        """Checks that a resumed training would be the one that has begun.

        Raises:
            UserError: Settings were edited, or Keras runs on another backend.
        """
        config = self.config
        edits = self._edits(config["settings"])
        if edits:
            raise self._changed(CONFIG, edits)
        backend = keras.backend.backend()
        began = config.get("versions", {}).get("backend", backend)
        if backend != began:
            raise ArgumentError("KERAS_BACKEND", f"{began!r} to resume {str(self.path)!r}", backend)

    def _edits(self, settings: Mapping[str, Any]) -> str:
        """Describes the settings that are not those of the backup; an empty string if none."""
        trained = backup_state(self / BACKUP).get("settings", settings)
        with self._content_errors(CONFIG):
            # Either may lack settings that are newer, which then have their defaults.
            before, now = (Settings.from_json(stored).to_json() for stored in (trained, settings))
        return "; ".join(
            f"`{name}` was {before.get(name)!r}, is {now.get(name)!r}"
            for name in {**before, **now}
            if name not in PLACES and before.get(name) != now.get(name)
        )

    def _changed(self, name: str, edits: str = "") -> UserError:
        return UserError(
            f"{str(self / name)!r} is damaged or was edited{edits and f' ({edits})'}: restore it, "
            "or start anew with --overwrite."
        )

    def _read(self, name: str, expected: str) -> dict[str, Any]:
        try:
            content: Any = read_json(self / name)
        except FileNotFoundError:
            raise ArgumentError("run", expected, str(self.path)) from None
        except (OSError, ValueError) as error:
            raise UserError(f"Cannot read {str(self / name)!r}: {error}.") from None
        if isinstance(content, dict):
            content = {RENAMED.get(section, section): value for section, value in content.items()}
        sections = [content.get(s) if isinstance(content, dict) else None for s in SECTIONS[name]]
        if not all(isinstance(section, dict) for section in sections):
            raise ArgumentError("run", expected, str(self.path), f", whose {name} is not a run's.")
        for section, names in SECTIONS[name].items():
            for entry in names:
                if entry not in content[section]:
                    raise UserError(
                        f"Cannot use {str(self / name)!r}: {section}.{entry} is missing."
                    )
        with self._content_errors(name), within("data"):
            _check_data(content["data"], SECTIONS[name]["data"])
        return content

    def settings(self) -> Settings:
        """The `Settings` of the run."""
        stored = self.config["settings"]
        with self._content_errors(CONFIG):
            return Settings.from_json(stored)

    @contextlib.contextmanager
    def _content_errors(self, name: str) -> Iterator[None]:
        """Raises errors about the content of a file as a one-line `UserError`."""
        try:
            yield
        except (TypeError, ValueError) as error:
            reason = first_line(error).rstrip(".")
            raise UserError(f"Cannot use {str(self / name)!r}: {reason}.") from error

    def network(self, **options: Any) -> keras.Model:
        """Builds the network of config.json with new weights.

        Args:
            options: `stateful` and `batch_size` of `build_network`.
        """
        from .models import build_network

        network = self.config["network"]
        with self._content_errors(CONFIG):
            return build_network(**network, **options)

    def model(self, *, batch_size: int | None = None) -> keras.Model:
        """Loads the trained network.

        Args:
            batch_size: None for the network as it was saved. A number for a stateful one with the
                same weights, which carries its state between batches of that size.

        Raises:
            UserError: The run is not finished, or model.keras is corrupt or of another run.
        """
        if not (self / MODEL).is_file():
            mend = "finish it with deep-rnn train --resume."
            hint = f", {str(self.path)!r} has no {MODEL} yet: {mend}"
            raise ArgumentError("run", "a finished run", hint=hint)
        options = {} if batch_size is None else {"stateful": True, "batch_size": batch_size}
        try:
            verify_weights(self.network, self / MODEL)
            twin = self.network(**options)
            model = load_model(self / MODEL)
            twin.set_weights(model.get_weights())
        except UserError:
            raise
        except Exception as error:  # a damaged file fails in zip, HDF5, JSON or Keras
            raise UserError(
                f"Cannot load {str(self / MODEL)!r}: corrupt, or saved by a different run. "
                "Retrain with --overwrite."
            ) from error
        return model if batch_size is None else twin

    def history(self) -> list[dict[str, float]]:
        """Complete rows of history.csv, as dicts of numbers."""
        if not (self / HISTORY).is_file():
            return []
        with open(self / HISTORY, encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
        complete = []
        for row in rows:
            with contextlib.suppress(TypeError, ValueError):
                complete.append({name: float(value) for name, value in row.items()})
        return complete

    def history_checksum(self) -> str | None:
        """Checksum of the numbers in history.csv; None if it cannot be read."""
        try:
            return checksum(self.history())
        except (ValueError, csv.Error):
            return None

    def truncate_history(self) -> None:
        """Truncates history.csv to the epochs of the backup, one row each.

        Raises:
            UserError: Rows are missing, or have other numbers.
        """
        backup = backup_state(self / BACKUP)
        epochs = backup["epochs"]
        if epochs == 0:
            remove(self / HISTORY)
            return
        rows: list[dict[str, float]] = []
        try:
            rows = [row for row in self.history() if row["epoch"] <= epochs]
            complete = [row["epoch"] for row in rows] == list(range(1, epochs + 1))
        except (KeyError, ValueError, csv.Error):
            complete = False
        if not complete:
            raise UserError(
                f"{str(self / HISTORY)!r} is damaged, it must have a row for each of {epochs} "
                "epochs: start anew with --overwrite."
            )
        if backup.get(HISTORY_CHECKSUM, checksum(rows)) != checksum(rows):
            raise self._changed(HISTORY)
        with replacing(self / HISTORY) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows([{**row, "epoch": int(row["epoch"])} for row in rows])


def checksum(content: Any) -> str:
    """Hexadecimal sha256 of a JSON value, whatever the order of its keys.

    Example:

    >>> checksum({"units": 8, "levels": 2}) == checksum({"levels": 2, "units": 8})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file with its checksum, which does not count itself."""
    counted = {name: value for name, value in content.items() if name != CHECKSUM}
    return {**counted, CHECKSUM: checksum(counted)}


def is_unchanged(content: Mapping[str, Any]) -> bool:
    """Whether a file has the content that it was written with; True if it has no checksum."""
    return CHECKSUM not in content or with_checksum(content)[CHECKSUM] == content[CHECKSUM]


def versions() -> dict[str, str]:
    """Versions of the packages that the results depend on, and the accelerator, if there is one."""
    backend = keras.backend.backend()
    module = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}.get(backend)
    found = {
        "keras_deep_rnn": __version__,
        "keras": keras.__version__,
        "backend": backend,
        "python": platform.python_version(),
    }
    if module is not None:
        found[module] = __import__(module).__version__
    device = accelerator()
    return {**found, "device": device} if device else found

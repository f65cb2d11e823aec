"""The folder of a training run: its files, and how they are written and read.

    config.json          settings of the run, arguments of its network, data and versions
    model.keras          the network with its best weights
    history.csv          one row per epoch
    metrics.json         results, their definitions, baselines, data and versions
    learning_curve.png   loss and validation result over the epochs
    backup.npz           checkpoint of an unfinished training, for --resume
    tensorboard/         logs for TensorBoard, with --tensorboard

Files are written atomically, so a killed run leaves none half-written.
"""

import contextlib
import csv
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from .. import __version__
from ..data.dataset import KINDS
from ..utils.errors import ArgumentError, UserError, Words, first_line, within
from ..utils.files import (
    PARTIAL,
    read_json,
    remove,
    replacing,
    user_path,
    write_errors,
    write_json,
)
from ..utils.keras_files import load_model, verify_weights
from ..utils.types import PathLike
from ..utils.validation import Check, number, one_of, optional
from .config import Settings

if TYPE_CHECKING:
    from ..data import Dataset

CONFIG, MODEL, HISTORY, METRICS = "config.json", "model.keras", "history.csv", "metrics.json"
CURVE, BACKUP, TENSORBOARD = "learning_curve.png", "backup.npz", "tensorboard"
CONTENTS = (METRICS, CURVE, MODEL, HISTORY, BACKUP, TENSORBOARD, PARTIAL, CONFIG)


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
            return bool(self.config)
        except UserError:
            return False

    def check_free(self, overwrite: bool) -> None:
        """Refuses a folder that is in use or cannot be written.

        Raises:
            UserError: There is a run or another file in the folder, or it cannot be written.
        """
        if self.exists() and not overwrite:
            mend = "pass --resume to continue it or --overwrite to replace it."
            hint = f"; {str(self.path)!r} holds a run: {mend}"
            raise ArgumentError("out", "a new folder", hint=hint)
        if not self.exists() and self.path.exists():
            if not self.path.is_dir() or any(path.name != PARTIAL for path in self.path.iterdir()):
                raise ArgumentError(
                    "out",
                    "a new folder or a run's",
                    str(self.path),
                    ", which holds something else.",
                )
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass

    def clear(self) -> None:
        """Deletes the files of the run, and no others."""
        for name in CONTENTS:
            remove(self / name)

    def write_config(
        self, settings: Settings, network: dict[str, Any], dataset: "Dataset", command: str | None
    ) -> None:
        """Writes config.json."""
        write_json(
            self / CONFIG,
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
            },
        )

    @property
    def config(self) -> dict[str, Any]:
        """Content of config.json."""
        return self._json(CONFIG, "a run folder with config.json")

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json."""
        return self._json(METRICS, "the folder of a finished run with metrics.json")

    def _json(self, name: str, expected: str) -> dict[str, Any]:
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
        with open(self / HISTORY, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        complete = []
        for row in rows:
            with contextlib.suppress(TypeError, ValueError):
                complete.append({name: float(value) for name, value in row.items()})
        return complete

    def truncate_history(self, epochs: int) -> None:
        """Truncates history.csv to the first `epochs` epochs, one row each.

        Raises:
            UserError: Rows are missing.
        """
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
        with replacing(self / HISTORY) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows([{**row, "epoch": int(row["epoch"])} for row in rows])


def versions() -> dict[str, str]:
    """Versions of the packages that the results depend on."""
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
    return found

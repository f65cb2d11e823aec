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
import json
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from .. import __version__
from ..utils.errors import ArgumentError, UserError, first_line
from ..utils.files import PARTIAL, remove, replacing, write_errors, write_json
from ..utils.types import PathLike
from .config import Settings

if TYPE_CHECKING:
    from ..data import Dataset

CONFIG, MODEL, HISTORY, METRICS = "config.json", "model.keras", "history.csv", "metrics.json"
CURVE, BACKUP, TENSORBOARD = "learning_curve.png", "backup.npz", "tensorboard"
CONTENTS = (METRICS, CURVE, MODEL, HISTORY, BACKUP, TENSORBOARD, PARTIAL, CONFIG)
# Required sections and keys of the files; other programs write a config.json too.
DATA = ("name", "kind", "version", "checksum")
SECTIONS = {
    CONFIG: {
        "settings": ("data", "network"),
        "network": ("network", "kind", "features"),
        "data": (*DATA, "vocabulary", "start", "quarter_length"),
    },
    METRICS: {"splits": (), "baselines": (), "data": DATA},
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
        self.path = Path(path).expanduser()

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
            content: Any = json.loads((self / name).read_text(encoding="utf-8"))
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
        return content

    def settings(self) -> Settings:
        """The `Settings` of the run."""
        stored = self.config["settings"]
        with self._config_errors():
            return Settings.from_json(stored)

    @contextlib.contextmanager
    def _config_errors(self) -> Iterator[None]:
        """Raises errors about the content of config.json as a one-line `UserError`."""
        try:
            yield
        except (TypeError, ValueError) as error:
            reason = first_line(error).rstrip(".")
            raise UserError(f"Cannot use {str(self / CONFIG)!r}: {reason}.") from error

    def network(self, **options: Any) -> keras.Model:
        """Builds the network of config.json with new weights.

        Args:
            options: `stateful` and `batch_size` of `build_network`.
        """
        from .models import build_network

        network = self.config["network"]
        with self._config_errors():
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
        twin = self.network(**options)
        try:
            model = keras.saving.load_model(self / MODEL, compile=False)
            twin.set_weights(model.get_weights())
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

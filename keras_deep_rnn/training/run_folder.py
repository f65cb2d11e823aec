"""The folder of a training run: what lies in it, and how it is read again.

    config.json          settings of the run, arguments of its network, data and versions
    model.keras          the network with its best weights
    history.csv          one row an epoch
    metrics.json         the exact results, their definitions and what made them
    learning_curve.png   loss and validation result over the epochs
    backup.npz           the state of an unfinished training, for --resume
    tensorboard/         logs, where they were asked for

Each file is written beside its place and renamed into it, so a run that was killed leaves none
half-written.
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
# What the files of a run hold at least; other programs also write a config.json.
DATA = ("name", "kind", "version", "checksum")
SECTIONS = {
    CONFIG: {
        "settings": ("data", "network"),
        "network": ("network", "kind", "features"),
        "data": (*DATA, "vocabulary", "start", "quarter_length"),
    },
    METRICS: {"splits": (), "floors": (), "data": DATA},
}


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
        """Whether a run was started here."""
        try:
            return bool(self.config)
        except UserError:
            return False

    def check_free(self, overwrite: bool) -> None:
        """Refuses a folder that is in use, or that nobody can write to, before any work is done.

        Raises:
            UserError: A run or other files lie there, or the folder cannot be written.
        """
        if self.exists() and not overwrite:
            mend = "pass --resume to go on with it or --overwrite to replace it."
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
        """Deletes what a run has written, and nothing else."""
        for name in CONTENTS:
            remove(self / name)

    def start(
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
        """The content of config.json."""
        return self._json(CONFIG, "a run folder with config.json")

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return self._json(METRICS, "the folder of a finished run with metrics.json")

    def _json(self, name: str, expected: str) -> dict[str, Any]:
        try:
            content = json.loads((self / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArgumentError("run", expected, str(self.path)) from None
        except (OSError, ValueError) as error:
            raise UserError(f"Cannot read {str(self / name)!r}: {error}.") from None
        sections = [content.get(s) if isinstance(content, dict) else None for s in SECTIONS[name]]
        if not all(isinstance(section, dict) for section in sections):
            raise ArgumentError(
                "run", expected, str(self.path), f", whose {name} is something else's."
            )
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
        with self._usable_config():
            return Settings.from_json(stored)

    @contextlib.contextmanager
    def _usable_config(self) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError) as error:
            reason = first_line(error).rstrip(".")
            raise UserError(f"Cannot use {str(self / CONFIG)!r}: {reason}.") from error

    def network(self, **carried: Any) -> keras.Model:
        """The network of config.json with new weights.

        Args:
            carried: `stateful` and `batch_size` of `build_network`.
        """
        from .models import build_network

        network = self.config["network"]
        with self._usable_config():
            return build_network(**network, **carried)

    def model(self, *, batch_size: int | None = None) -> keras.Model:
        """The trained network.

        Args:
            batch_size: None gives the network as it was saved. A number gives its stateful twin
                with the same weights, which carries its state from one batch of that size to the
                next.

        Raises:
            UserError: The run has no network yet, or its file is damaged or another run's.
        """
        if not (self / MODEL).is_file():
            mend = "finish it with deep-rnn train --resume."
            hint = f", {str(self.path)!r} has no {MODEL} yet: {mend}"
            raise ArgumentError("run", "a finished run", hint=hint)
        carried = {} if batch_size is None else {"stateful": True, "batch_size": batch_size}
        twin = self.network(**carried)
        try:
            model = keras.saving.load_model(self / MODEL, compile=False)
            twin.set_weights(model.get_weights())
        except Exception as error:  # a damaged file fails in zip, HDF5, JSON or Keras
            raise UserError(
                f"{str(self / MODEL)!r} is damaged or another run's: train anew with --overwrite."
            ) from error
        return model if batch_size is None else twin

    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv as dicts of numbers, only those that are whole."""
        if not (self / HISTORY).is_file():
            return []
        with open(self / HISTORY, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        whole = []
        for row in rows:
            with contextlib.suppress(TypeError, ValueError):
                whole.append({name: float(value) for name, value in row.items()})
        return whole

    def cut_history(self, epochs: int) -> None:
        """Leaves the rows of the first `epochs` epochs in history.csv, each once.

        Raises:
            UserError: They are not all there.
        """
        if epochs == 0:
            remove(self / HISTORY)
            return
        rows: list[dict[str, float]] = []
        try:
            rows = [row for row in self.history() if row["epoch"] <= epochs]
            whole = [row["epoch"] for row in rows] == list(range(1, epochs + 1))
        except (KeyError, ValueError, csv.Error):
            whole = False
        if not whole:
            raise UserError(
                f"{str(self / HISTORY)!r} is damaged, it must have a row for each of {epochs} "
                "epochs: start anew with --overwrite."
            )
        with replacing(self / HISTORY) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows([{**row, "epoch": int(row["epoch"])} for row in rows])


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
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

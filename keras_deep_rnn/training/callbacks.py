"""Keras callbacks of a training run: what a killed run needs to go on as if nothing had happened.

`keras.callbacks.BackupAndRestore` does not save the state of dropout's random numbers or of
`EarlyStopping`; it writes two files in place, so a kill can leave half of one, or two that do not
belong together; and on a full disk HDF5 ends the process with a segmentation fault. So the backup
here is a callback of its own, and the random numbers are a function of seed and epoch.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..utils.errors import UserError
from ..utils.files import replacing
from ..utils.types import Log

if TYPE_CHECKING:
    from ..data.batching import CarriedBatches, PieceBatches

# The attributes in which `EarlyStopping` keeps its state, next to its best weights.
STOPPING = ("wait", "best", "best_epoch", "stopped_epoch")


class EpochState(keras.callbacks.Callback):
    """Makes the randomness of an epoch a function of the seed and the epoch's number alone.

    Args:
        seed: Non-negative integer.
        batches: Training batches with a settable attribute `epoch`.
    """

    def __init__(self, seed: int, batches: "PieceBatches | CarriedBatches") -> None:
        super().__init__()
        self.seed = seed
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.batches.epoch = epoch
        for i, state in enumerate(seed_states(self.model)):
            (drawn,) = np.random.SeedSequence([self.seed, epoch, i]).generate_state(1)
            state.assign(np.array([drawn >> 1, 0], dtype="uint32"))


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """The variables that hold the state of a model's random numbers, in a fixed order."""
    weights = {id(variable) for variable in model.weights}
    return [
        variable
        for variable in model.variables
        if id(variable) not in weights and "int" in keras.backend.standardize_dtype(variable.dtype)
    ]


class History(keras.callbacks.CSVLogger):
    """history.csv, whose epochs count from 1 and go on where the file ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, append=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch + 1, logs)

    def close(self) -> None:
        """Closes the file, if it is open."""
        self.on_train_end()


class Progress(keras.callbacks.Callback):
    """One line an epoch; adds its seconds and its learning rate to the logs.

    Args:
        stopping: The `EarlyStopping` of the run, whose best result is shown.
        log: Called with one line at a time.
    """

    def __init__(self, stopping: keras.callbacks.EarlyStopping, log: Log) -> None:
        super().__init__()
        self.stopping = stopping
        self.log = log
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None  # Keras gives them at the end of an epoch
        logs["seconds"] = time.perf_counter() - self.began
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        self.seconds.append(logs["seconds"])
        epochs = self.params["epochs"]
        name = self.stopping.monitor
        left = np.median(self.seconds) * (epochs - epoch - 1)
        self.log(
            f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}  loss {logs['loss']:.4f}  "
            f"{name} {logs[name]:.4f} (best {self.stopping.best:.4f}, "
            f"epoch {self.stopping.best_epoch + 1})  {logs['seconds']:.1f} s  "
            f"at most {duration(left)} left"
        )


class Backup(keras.callbacks.Callback):
    """The state at the end of each epoch in one file, for `--resume`; last among the callbacks.

    It holds every variable of the model and of its optimizer, and the state of `EarlyStopping`
    with its best weights.

    Args:
        path: The `.npz` file, which is written whole or not at all.
        stopping: The `EarlyStopping` of the run, before this one in the list of callbacks.
    """

    def __init__(self, path: Path, stopping: keras.callbacks.EarlyStopping) -> None:
        super().__init__()
        self.path = path
        self.stopping = stopping

    def state(self) -> dict[str, Any]:
        """What is known: "epochs" finished, whether training "stopped" early, and the rest."""
        if not self.path.exists():
            return {"epochs": 0, "stopped": False}
        with self._content() as backup:
            return json.loads(str(backup["state"]))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.path.exists():
            return
        for name, value in self.state().items():
            if name in STOPPING:
                setattr(self.stopping, name, value)
        with self._content() as backup:
            for name, variable in self._variables().items():
                variable.assign(backup[name])
            count = sum(name.startswith("best_") for name in backup.files)
            self.stopping.best_weights = [backup[f"best_{i}"] for i in range(count)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None  # as above
        if not math.isfinite(logs["loss"]):
            return
        state = {name: getattr(self.stopping, name) for name in STOPPING}
        state["best"] = float(state["best"])
        state.update(epochs=epoch + 1, stopped=self.model.stop_training)
        arrays = {
            name: keras.ops.convert_to_numpy(variable.value)
            for name, variable in self._variables().items()
        }
        arrays.update({f"best_{i}": best for i, best in enumerate(self.stopping.best_weights)})
        with replacing(self.path) as partial:
            np.savez(partial, state=json.dumps(state), **arrays)

    @contextlib.contextmanager
    def _content(self) -> Iterator[Any]:
        try:
            with np.load(self.path) as backup:
                yield backup
        except Exception as error:  # a damaged file fails in zip, NumPy, JSON or Keras
            raise UserError(
                f"{str(self.path)!r} is damaged or another run's: start anew with --overwrite."
            ) from error

    def _variables(self) -> dict[str, keras.Variable]:
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        parts = {"model": self.model.variables, "optimizer": optimizer.variables}
        return {f"{part}_{i}": v for part, found in parts.items() for i, v in enumerate(found)}


def duration(seconds: float) -> str:
    """Seconds for a reader.

    Example:

    >>> duration(8.2), duration(75), duration(3700)
    ('8 s', '1 min 15 s', '1 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

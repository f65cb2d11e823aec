"""Keras callbacks of a training run: what a killed run needs to go on as if nothing had happened.

`keras.callbacks.BackupAndRestore` does not save the state of dropout's random numbers or of
`EarlyStopping`; it writes two files in place, so a kill can leave half of one, or two that do not
belong together; and on a full disk HDF5 ends the process with a segmentation fault. So the backup
here is a callback of its own, and the random numbers are a function of seed and epoch.
"""

import collections
import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..utils.errors import UserError
from ..utils.files import open_zip, replacing
from ..utils.keras_compat import averages
from ..utils.types import Log, ShowProgress, no_progress

if TYPE_CHECKING:
    from ..data.batching import CarriedBatches, PieceBatches
    from .config import Settings

# Characters of the longest line of an epoch, for a terminal of 80 columns.
LINE = 79
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


class AveragedWeights(keras.callbacks.Callback):
    """Validates, stops and saves with the averages that an optimizer with `use_ema=True` keeps.

    From the validation to the end of the epoch the averages are in the model, and the weights in
    their place; it comes first among the callbacks. `keras.callbacks.SwapEMAWeights` begins a
    resumed run with the two exchanged, forgets the weights at the end of the last epoch, which a
    run that goes on needs, and rounds them on TensorFlow.

    Args:
        exchanged: Whether the training begins after the end of an epoch.
    """

    def __init__(self, exchanged: bool) -> None:
        super().__init__()
        self.exchanged = exchanged

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.exchanged:
            self._exchange()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.exchanged:
            self._exchange()

    def _exchange(self) -> None:
        for weight, average in zip(self.model.trainable_variables, averages(self.model.optimizer)):
            kept = np.array(keras.ops.convert_to_numpy(weight))  # PyTorch gives its own memory
            weight.assign(average)
            average.assign(kept)
        self.exchanged = not self.exchanged


class History(keras.callbacks.CSVLogger):
    """history.csv, whose epochs count from 1 and go on where the file ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, append=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch + 1, logs)
        os.fsync(self.csv_file.fileno())  # on the disk before the backup that counts on the row

    def close(self) -> None:
        """Closes the file, if it is open."""
        self.on_train_end()


class Progress(keras.callbacks.Callback):
    """A line for each epoch and progress within it; adds seconds and learning rate to the logs.

    Args:
        stopping: The `EarlyStopping` of the run, before this one in the list of callbacks.
        batches: Number of batches of an epoch, those of the validation split included.
        log: Called with the line of an epoch, which has at most `LINE` characters.
        progress: Wraps the numbers of the batches, for example to show a progress bar.
    """

    def __init__(
        self,
        stopping: keras.callbacks.EarlyStopping,
        batches: int,
        log: Log,
        progress: ShowProgress = no_progress,
    ) -> None:
        super().__init__()
        self.stopping = stopping
        self.batches = batches
        self.log = log
        self.progress = progress
        self.seconds: list[float] = []
        self._steps: Iterator[int] = iter(())

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.began = time.perf_counter()
        name = numbered(epoch + 1, self.params["epochs"])
        self._steps = iter(self.progress(range(self.batches), name))
        next(self._steps, None)  # visible while the first batch is compiled

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        next(self._steps, None)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        next(self._steps, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None  # Keras gives them at the end of an epoch
        self.close()
        logs["seconds"] = time.perf_counter() - self.began
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        self.seconds.append(logs["seconds"])
        epochs = self.params["epochs"]
        left = float(np.median(self.seconds)) * (epochs - epoch - 1)
        self.log(
            epoch_line(
                epoch + 1,
                epochs,
                logs["loss"],
                logs[self.stopping.monitor],
                (self.stopping.best, self.stopping.best_epoch + 1),
                logs["seconds"],
                left,
            )
        )

    def close(self) -> None:
        """Ends what shows the progress, also of an epoch that was interrupted."""
        collections.deque(self._steps, maxlen=0)


def epoch_line(
    epoch: int,
    epochs: int,
    loss: float,
    result: float,
    best: tuple[float, int],
    seconds: float,
    left: float,
) -> str:
    """The line of an epoch.

    Args:
        epoch: Its number, from 1.
        epochs: The number of the last one.
        loss: The training loss.
        result: The validation result.
        best: The best validation result so far, and its epoch.
        seconds: How long the epoch took; the first to be left out of a line without room for it.
        left: Seconds that the remaining epochs take; the second.

    Example:

    >>> epoch_line(12, 200, 8.39312, 8.48481, (8.41207, 9), 12.34, 2310)
    'epoch  12/200  loss 8.3931  val 8.4848  best 8.4121 in 9  12.3 s  0:38:30 left'
    """
    parts = [
        numbered(epoch, epochs),
        f"loss {_five_digits(loss)}",
        f"val {_five_digits(result)}",
        f"best {_five_digits(best[0])} in {best[1]}",
        f"{seconds:.1f} s",
        f"{_clock(left)} left",
    ]
    while len("  ".join(parts)) > LINE and len(parts) > 4:
        del parts[4]
    return "  ".join(parts)


def _five_digits(number: float) -> str:
    return f"{number:.4f}" if abs(number) < 10 else f"{number:#.5g}"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds: 25:03:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def numbered(epoch: int, epochs: int) -> str:
    """The name of an epoch, as wide for each of them.

    Example:

    >>> numbered(7, 120)
    'epoch   7/120'
    """
    return f"epoch {epoch:{len(str(epochs))}}/{epochs}"


class Halving(keras.callbacks.Callback):
    """Halves the learning rate after a worse epoch, and goes back to the best weights.

    An epoch is worse if its validation result is more than `factor` times the best one. Beside
    `keras.callbacks.ReduceLROnPlateau`, which compares differences and keeps the weights, it has no
    state of its own: the best result is that of `EarlyStopping`, the rate is the optimizer's.

    Args:
        stopping: The `EarlyStopping` of the run, before this one in the list of callbacks.
        factor: At least 1.

    Source: the authors' GroundHog, `mainLoop.py`, which has 1.0002 for the entropy of characters
    and suggests 1.004 for a perplexity.
    """

    def __init__(self, stopping: keras.callbacks.EarlyStopping, factor: float) -> None:
        super().__init__()
        self.stopping = stopping
        self.factor = factor

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None  # as above
        if logs[self.stopping.monitor] > self.factor * self.stopping.best:
            optimizer = self.model.optimizer
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = rate / 2
            self.model.set_weights(self.stopping.best_weights)
            if optimizer.use_ema:  # the best weights are averages; the weights begin anew from them
                for average, best in zip(averages(optimizer), self.model.trainable_variables):
                    average.assign(best)


def rate_callbacks(
    settings: "Settings", stopping: keras.callbacks.EarlyStopping
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run's learning rate, where no schedule of the optimizer decides it."""
    if settings.optimizer != "clipped_momentum":
        return []
    return [Halving(stopping, settings.halve_above)]


class Backup(keras.callbacks.Callback):
    """The state at the end of each epoch in one file, for `--resume`; last among the callbacks.

    It holds every variable of the model and of its optimizer, and the state of `EarlyStopping`
    with its best weights.

    Args:
        path: The `.npz` file, which is written whole or not at all.
        stopping: The `EarlyStopping` of the run, before this one in the list of callbacks.
        facts: Returns further entries of the state, at the end of each epoch.
    """

    def __init__(
        self,
        path: Path,
        stopping: keras.callbacks.EarlyStopping,
        facts: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        super().__init__()
        self.path = path
        self.stopping = stopping
        self.facts = facts

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.path.exists():
            return
        for name, value in backup_state(self.path).items():
            if name in STOPPING:
                setattr(self.stopping, name, value)
        with _content(self.path) as backup:
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
        state.update(self.facts(), epochs=epoch + 1, stopped=self.model.stop_training)
        arrays = {
            name: keras.ops.convert_to_numpy(variable.value)
            for name, variable in self._variables().items()
        }
        arrays.update({f"best_{i}": best for i, best in enumerate(self.stopping.best_weights)})
        with replacing(self.path) as partial:
            np.savez(partial, state=json.dumps(state), **arrays)

    def _variables(self) -> dict[str, keras.Variable]:
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        parts = {"model": self.model.variables, "optimizer": optimizer.variables}
        return {f"{part}_{i}": v for part, found in parts.items() for i, v in enumerate(found)}


def backup_state(path: Path) -> dict[str, Any]:
    """State of a backup: "epochs" finished, whether training "stopped" early, and the rest.

    Raises:
        UserError: The file is damaged.
    """
    if not path.exists():
        return {"epochs": 0, "stopped": False}
    with _content(path) as backup:
        return json.loads(str(backup["state"]))


@contextlib.contextmanager
def _content(path: Path) -> Iterator[Any]:
    try:
        with open_zip(path, stored=True), np.load(path) as backup:
            yield backup
    except Exception as error:  # a damaged file fails in zip, NumPy, JSON or Keras
        raise UserError(
            f"{str(path)!r} is damaged or another run's: start anew with --overwrite."
        ) from error

"""Keras callbacks of a training run: what a killed run needs to go on as if nothing had happened.

`keras.callbacks.BackupAndRestore` saves weights, optimizer and epoch. It does not save the state
of dropout's random numbers or of `EarlyStopping`, and it writes its files in place, so a kill can
leave half of them. Here the first is a pure function of seed and epoch, the second is saved too, and
every backup is written beside the last and renamed.
"""

import json
import math
import time

import keras
import numpy as np

from .writing import remove, replacing


class EpochState(keras.callbacks.Callback):
    """Makes the randomness of an epoch a function of the seed and the epoch's number alone.

    Args:
        seed: Non-negative integer.
        batches: Training batches with a settable attribute `epoch`.
    """

    def __init__(self, seed, batches):
        super().__init__()
        self.seed = seed
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch
        for i, state in enumerate(seed_states(self.model)):
            (drawn,) = np.random.SeedSequence([self.seed, epoch, i]).generate_state(1)
            state.assign(np.array([drawn >> 1, 0], dtype="uint32"))


def seed_states(model):
    """The variables that hold the state of a model's random numbers, in a fixed order."""
    weights = {id(variable) for variable in model.weights}
    return [
        variable
        for variable in model.variables
        if id(variable) not in weights and "int" in keras.backend.standardize_dtype(variable.dtype)
    ]


class History(keras.callbacks.CSVLogger):
    """history.csv, whose epochs count from 1 and go on where the file ends."""

    def __init__(self, path):
        super().__init__(path, append=True)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch + 1, logs)


class Progress(keras.callbacks.Callback):
    """One line an epoch; adds its seconds and its learning rate to the logs.

    Args:
        stopping: The `EarlyStopping` of the run, whose best result is shown.
        say: Function that shows a line.
    """

    def __init__(self, stopping, say):
        super().__init__()
        self.stopping = stopping
        self.say = say
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.began
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        self.seconds.append(logs["seconds"])
        epochs = self.params["epochs"]
        name = self.stopping.monitor
        left = np.median(self.seconds) * (epochs - epoch - 1)
        self.say(
            f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}  loss {logs['loss']:.4f}  "
            f"{name} {logs[name]:.4f} (best {self.stopping.best:.4f}, "
            f"epoch {self.stopping.best_epoch + 1})  {logs['seconds']:.1f} s  "
            f"at most {duration(left)} left"
        )


class Backup(keras.callbacks.Callback):
    """The state at the end of each epoch, for `--resume`; stands last among the callbacks.

    A backup is a folder named after the number of finished epochs: what `BackupAndRestore` writes,
    and the state of `EarlyStopping`. A new one is complete before the old one goes.

    Args:
        folder: Where the backups lie.
        stopping: The `EarlyStopping` of the run, before this one in the list of callbacks.
    """

    def __init__(self, folder, stopping):
        super().__init__()
        self.folder = folder
        self.stopping = stopping

    @property
    def latest(self):
        """The newest backup's folder, or None."""
        if not self.folder.is_dir():
            return None
        return max((path for path in self.folder.iterdir() if path.name.isdigit()), default=None)

    def state(self):
        """What is known about the newest backup: "epochs" finished, "stopped" and the rest."""
        if self.latest is None:
            return {"epochs": 0, "stopped": False}
        return json.loads((self.latest / "state.json").read_text())

    def on_train_begin(self, logs=None):
        if self.latest is None:
            return
        keras_backup = self._keras_backup(self.latest)
        keras_backup.on_train_begin()
        state = self.state()
        self.stopping.wait = state["wait"]
        self.stopping.best = state["best"]
        self.stopping.best_epoch = state["best_epoch"]
        with np.load(self.latest / "best.npz") as best:
            self.stopping.best_weights = [best[name] for name in best.files]

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            return
        last, state = self.latest, self.stopping
        self.folder.mkdir(exist_ok=True)
        with replacing(self.folder / f"{epoch + 1:06}") as partial:
            partial.mkdir()
            self._keras_backup(partial).on_epoch_end(epoch)
            np.savez(partial / "best.npz", *state.best_weights)
            facts = {
                "epochs": epoch + 1,
                "stopped": self.model.stop_training,
                "wait": state.wait,
                "best": float(state.best),
                "best_epoch": state.best_epoch,
            }
            (partial / "state.json").write_text(json.dumps(facts))
        if last is not None:
            remove(last)

    def _keras_backup(self, folder):
        callback = keras.callbacks.BackupAndRestore(str(folder))
        callback.set_model(self.model)
        return callback


def duration(seconds):
    """Seconds for a reader.

    Example:

    >>> duration(8.2), duration(75), duration(3700)
    ('8 s', '1 min 15 s', '1 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

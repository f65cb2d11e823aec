"""A training run, from the data to a measured network in a run folder."""

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from .. import data
from ..utils.errors import ArgumentError, DivergedError, Words, argument_is
from ..utils.files import PARTIAL, remove, replacing, write_errors, write_json
from ..utils.types import Log, PathLike, ShowProgress, no_progress
from ..utils.validation import one_of
from . import evaluate as evaluation
from . import plots
from .callbacks import Backup, EpochState, History, Progress
from .config import Settings, network_arguments
from .results import PRIMARY, definitions
from .run_folder import BACKUP, CURVE, HISTORY, METRICS, MODEL, TENSORBOARD, Run, versions
from .setup import Prepared, check_lengths, prepare


def train(
    settings: Settings,
    out: PathLike,
    *,
    overwrite: bool = False,
    command: str | None = None,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Trains a network and measures it.

    Args:
        settings: `Settings`.
        out: Run folder to make; see `runs.py` for what it will hold.
        overwrite: Whether a run that is already there is replaced.
        command: The command line that asked for it, kept with the results.
        log: Called with one line at a time; one is shown after each epoch.
        progress: Wraps an iterable, for example to show a progress bar.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: The folder is in use or cannot be written, the data is not there, or the network
            cannot have these arguments. Nothing is left in the folder then.
        DivergedError: The loss became infinite or not a number.
    """
    run = Run(out)
    plots.require()
    run.check_free(overwrite)
    settings = dataclasses.replace(settings, **_from_anywhere(vars(settings)))
    try:
        dataset = _load(settings)
        check_lengths(dataset)
        settings = settings.complete(dataset)
        network = network_arguments(settings, dataset)
        prepared = prepare(settings, dataset, network)
    except BaseException:
        with contextlib.suppress(OSError):
            run.path.rmdir()
        raise
    run.clear()
    run.start(settings, network, dataset, command)
    return fit_and_measure(run, settings, dataset, prepared, log=log, progress=progress)


def resume(
    out: PathLike,
    *,
    given: dict[str, Any] | None = None,
    command: str | None = None,
    until_now: bool = False,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Goes on with a run that was interrupted, to the result that it would have had.

    Args:
        out: Folder of the run.
        given: Dict of settings that the run must have, those that the user repeated.
        command: Ignored: the run keeps the command that started it.
        until_now: Whether to train no further and only measure what the run has reached; it can go
            on once its metrics.json is removed.
        log: As for `train`.
        progress: As for `train`.

    Returns:
        The content of metrics.json; that of a finished run is given out as it is.

    Raises:
        UserError: There is no run, a given setting or the data is not that of the run.
        DivergedError: The loss became infinite or not a number.
    """
    run = Run(out)
    with argument_is("run", "out"):
        settings = run.settings()
    given = _from_anywhere(given or {})
    places = {name: given.pop(name) for name in ("data_path", "data_dir") if name in given}
    for name, value in given.items():
        stored = getattr(settings, name)
        if stored != value:
            raise ArgumentError(name, f"{stored!r} to go on with {str(run.path)!r}", value)
    if (run / METRICS).is_file():
        log(f"{run.path} is already finished.")
        return run.metrics
    dataset = _same_data(run, places)
    prepared = prepare(settings, dataset, network_arguments(settings, dataset))
    how = {}
    if until_now:
        epochs = len(run.history())
        if not (run / BACKUP).is_file():
            raise ArgumentError("out", "a run that has finished an epoch", str(run.path))
        how = {"until": epochs, "keep_backup": True}
    return fit_and_measure(run, settings, dataset, prepared, **how, log=log, progress=progress)


def measure(
    path: PathLike,
    split: str,
    *,
    data_path: PathLike | None = None,
    data_dir: PathLike | None = None,
    dynamic: bool = False,
    streaming: bool = False,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Measures the network of a finished run and adds the numbers to its metrics.json.

    Args:
        path: Folder of the run.
        split: "train", "validation" or "test".
        data_path: Where the run's data lies now, as for `data.load`; None: where it lay.
        data_dir: As for `data.load`; None: where it lay.
        dynamic: Whether a text is also read by dynamic evaluation; see `dynamic.measure`.
        streaming: Whether the split is also read step by step; see `evaluation.StepByStep`.
        log: As for `train`.
        progress: As for `train`.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: The run is not finished, its data is not there or has changed, there is no such
            split, or music is to be read by dynamic evaluation.
    """
    one_of(("train", "validation", "test"))("split", split)
    run = Run(path)
    metrics = run.metrics
    places = {"data_path": data_path, "data_dir": data_dir}
    dataset = _same_data(run, {name: value for name, value in places.items() if value is not None})
    model = _model_to_measure(run, dataset.kind)
    metrics["splits"][split] = evaluation.evaluate(model, dataset, split, progress=progress)
    metrics["floors"][split] = evaluation.floors(dataset, split)
    if dynamic:
        from .dynamic_evaluation import measure as read_and_learn

        found = read_and_learn(run, dataset, split, log=log, progress=progress)
        metrics["dynamic"] = {**metrics.get("dynamic", {}), **found}
    if streaming:
        stepper = evaluation.StepByStep(run.model(batch_size=1))
        found = evaluation.evaluate(stepper, dataset, split, batch_size=1, progress=progress)
        metrics["streaming"] = {**metrics.get("streaming", {}), split: found}
    write_json(run / METRICS, metrics)
    return metrics


def _from_anywhere(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A dict of settings whose paths hold in any working folder, as a resumed run needs them."""
    absolute = dict(settings)
    for name in ("data", "data_path", "data_dir"):
        value = settings.get(name)
        # A folder may have the name of a data set; `data.load` takes the data set.
        if not value or (name == "data" and str(value) in data.names()):
            continue
        path = Path(value).expanduser()
        if path.exists():
            absolute[name] = str(path.resolve())
    return absolute


def _load(settings: Settings) -> data.Dataset:
    with argument_is("name", "data"):
        return data.load(settings.data, data_path=settings.data_path, data_dir=settings.data_dir)


def _same_data(run: Run, places: dict[str, Any]) -> data.Dataset:
    """The data of a run, from where it lay or from other places, if it has not changed."""
    dataset = _load(dataclasses.replace(run.settings(), **places))
    checksum = run.config["data"]["checksum"]
    if dataset.checksum != checksum:
        raise ArgumentError(
            "data", f"what the run began with, checksum {checksum}", Words(dataset.checksum)
        )
    return dataset


def fit_and_measure(
    run: Run,
    settings: Settings,
    dataset: data.Dataset,
    prepared: Prepared,
    *,
    until: int | None = None,
    splits: Sequence[str] = ("validation", "test"),
    keep_backup: bool = False,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Trains the network of a run that was started, from where its backup is, and measures it.

    Args:
        run: `Run` with its config.json.
        settings: Complete `Settings`.
        dataset: The `Dataset`.
        prepared: What `prepare` gives.
        until: Number of epochs after which to stop, although the learning rate is on its way
            through all of the settings' `epochs`; None for all of them.
        splits: Which splits to measure.
        keep_backup: Whether a later call can go on, to a larger `until`.
        log: As for `train`.
        progress: As for `train`.

    Returns:
        The content of metrics.json.

    Raises:
        DivergedError: The loss became infinite or not a number.
        UserError: A file of the run is damaged or cannot be written.
    """
    model, training, validation = prepared
    stopping = keras.callbacks.EarlyStopping(
        f"val_{PRIMARY[dataset.kind]}",
        patience=settings.patience,
        mode="min",
        restore_best_weights=True,
    )
    backup = Backup(run / BACKUP, stopping)
    remove(run / PARTIAL)
    state = backup.state()
    run.cut_history(state["epochs"])
    history = History(run / HISTORY)
    shown = Progress(stopping, len(training) + len(validation), log, progress)
    callbacks = [
        EpochState(settings.seed, training),
        keras.callbacks.TerminateOnNaN(),
        stopping,
        shown,
        history,
        backup,
    ]
    if settings.tensorboard:
        callbacks.insert(-1, keras.callbacks.TensorBoard(run / TENSORBOARD))
    log(
        f"{settings.network}, {model.count_params():,} weights, {training.frames:,} "
        f"{dataset.step}s an epoch in {len(training)} batches"
    )
    log(
        f"val: {PRIMARY[dataset.kind]} of the validation split (batches: {len(validation)}); "
        f"patience: {settings.patience} epochs"
    )
    # Keras ends the callbacks of a training that went through; this closes those of any other.
    with contextlib.closing(history), contextlib.closing(shown), write_errors(run / HISTORY):
        model.fit(
            training,
            validation_data=validation,
            initial_epoch=state["epochs"],
            epochs=state["epochs"] if state["stopped"] else until or settings.epochs,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    rows = run.history()
    what = None
    if not math.isfinite(rows[-1]["loss"]):
        what = f"loss is {rows[-1]['loss']} in epoch {rows[-1]['epoch']:.0f}"
    elif not math.isfinite(stopping.best):
        what = f"best validation result is {stopping.best}"
    if what is not None:
        raise DivergedError(
            f"The {what}: try a smaller --learning-rate than {settings.learning_rate:g}, a smaller "
            f"--clipnorm than {settings.clipnorm:g}, or another --activation than "
            f"{settings.activation}."
        )
    with replacing(run / MODEL) as partial:
        _plain(run, model).save(partial)
    metrics = _measure(run, settings, dataset, rows, stopping, splits, progress)
    if not keep_backup:
        remove(run / BACKUP)
    return metrics


def _plain(run: Run, model: keras.Model) -> keras.Model:
    """The trained network without carried state or optimizer, for any batch."""
    plain = run.network()
    plain.set_weights(model.get_weights())
    return plain


def _model_to_measure(run: Run, kind: str) -> keras.Model:
    """The trained network as `evaluate` takes it: a text is read with carried state."""
    return run.model(batch_size=None if kind == "piano_roll" else 1)


def _measure(
    run: Run,
    settings: Settings,
    dataset: data.Dataset,
    history: list[dict[str, float]],
    stopping: keras.callbacks.EarlyStopping,
    splits: Sequence[str],
    progress: ShowProgress,
) -> dict[str, Any]:
    model = _model_to_measure(run, dataset.kind)
    assert settings.batch_size is not None  # as the settings are complete
    results = {
        split: evaluation.evaluate(
            model, dataset, split, batch_size=settings.batch_size, progress=progress
        )
        for split in splits
    }
    config = run.config
    metrics = {
        "primary": PRIMARY[dataset.kind],
        "splits": results,
        "floors": {split: evaluation.floors(dataset, split) for split in splits},
        "definitions": definitions(dataset.kind),
        "network": settings.network,
        "weights": model.count_params(),
        "epochs": len(history),
        "best_epoch": stopping.best_epoch + 1,
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "seed": settings.seed,
        "data": {name: config["data"][name] for name in ("name", "kind", "version", "checksum")},
        "versions": versions(),
        "command": config["command"],
    }
    plots.learning_curve(history, dataset.kind, run / CURVE)
    write_json(run / METRICS, metrics)
    return metrics

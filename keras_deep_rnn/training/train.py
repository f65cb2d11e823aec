"""Trains, resumes and evaluates runs: from the data to the results in a run folder."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from .. import data
from ..data.dataset import IDENTITY, SPLITS
from ..utils.errors import ArgumentError, DivergedError, UserError, Words, argument_is
from ..utils.files import PARTIAL, remove, replacing, user_path, write_errors
from ..utils.former_names import former_names
from ..utils.types import Log, PathLike, ShowProgress, no_progress
from ..utils.validation import one_of
from . import evaluate as evaluation
from . import plots
from .callbacks import (
    AveragedWeights,
    Backup,
    EpochState,
    History,
    Progress,
    backup_state,
    rate_callbacks,
)
from .config import Settings, load_options, network_arguments
from .devices import check_rows, data_parallel, of_this_process, on_one_device
from .results import PRIMARY, definitions
from .run_folder import (
    BACKUP,
    CURVE,
    HISTORY,
    HISTORY_CHECKSUM,
    METRICS,
    MODEL,
    PARTIAL_METRICS,
    PLACES,
    TENSORBOARD,
    Run,
    versions,
    with_checksum,
)
from .setup import Prepared, check_lengths, prepare, stream


def train(
    settings: Settings,
    out: PathLike,
    *,
    overwrite: bool = False,
    devices: int = 1,
    command: str | None = None,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Trains a network and evaluates it.

    Args:
        settings: `Settings`.
        out: Run folder to make; `run_folder.py` lists its files.
        overwrite: Whether to replace a run in this folder.
        devices: Number of devices that share each batch, see `data_parallel`.
        command: Command line of the run, which its files record.
        log: Called with one log line per epoch, and some before.
        progress: Wraps an iterable, for example to show a progress bar.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: The folder is in use or cannot be written, the data is missing, or the network
            does not take these arguments. The folder is left as it was.
        DivergedError: The loss became infinite or not a number.
    """
    run = Run(out)
    plots.require()
    with run.owned(make=True), data_parallel(devices):
        run.check_free(overwrite)
        settings = dataclasses.replace(settings, **_with_absolute_paths(vars(settings)))
        dataset = _load(settings)
        check_lengths(dataset)
        settings = settings.complete(dataset)
        check_rows(settings.batch_size or 0, devices)
        network = network_arguments(settings, dataset)
        prepared = prepare(settings, dataset, network)
        run.clear()
        run.write_config(settings, network, dataset, command)
        return fit_and_evaluate(run, settings, dataset, prepared, log=log, progress=progress)


def resume(
    out: PathLike,
    *,
    requested: dict[str, Any] | None = None,
    devices: int = 1,
    command: str | None = None,
    evaluate_only: bool = False,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Resumes an interrupted run, to the result that it would have had.

    Args:
        out: Folder of the run.
        requested: Settings that the run must have: {name: value}. `data`, `manual_dir` and
            `data_dir` may be others, where the same data is now.
        devices: As for `train`; it may be another number.
        command: Command line, which config.json records beside that of the start.
        evaluate_only: Whether to evaluate the best weights so far without further training, into
            partial.json; the run can still be resumed.
        log: As for `train`.
        progress: As for `train`.

    Returns:
        The content of metrics.json; for a finished run that of its file.

    Raises:
        UserError: There is no run, another process has it, or it has other settings, other data
            or another backend.
        DivergedError: The loss became infinite or not a number.
    """
    run = Run(out)
    with run.owned(), data_parallel(devices):
        with argument_is("run", "out"):
            settings = run.settings()
        requested = _with_absolute_paths(requested or {})
        places = {name: requested.pop(name) for name in PLACES if name in requested}
        for name, value in requested.items():
            stored = getattr(settings, name)
            if stored != value:
                raise ArgumentError(name, f"{stored!r} to resume {str(run.path)!r}", value)
        if (run / METRICS).is_file():
            if places.get("data", settings.data) != settings.data:
                data_of_run(run, **places)
            log(f"{run.path} is already finished.")
            return run.metrics
        run.check_resumable()
        if evaluate_only and not (run / BACKUP).is_file():
            raise ArgumentError("out", "a run that has finished an epoch", str(run.path))
        dataset = data_of_run(run, **places)
        check_rows(settings.batch_size or 0, devices)
        prepared = prepare(settings, dataset, network_arguments(settings, dataset))
        run.add_resume(command, places)
        how = {"log": log, "progress": progress}
        if not evaluate_only:
            return fit_and_evaluate(run, settings, dataset, prepared, **how)
        so_far = {
            "until": backup_state(run / BACKUP)["epochs"],
            "keep_backup": True,
            "results": PARTIAL_METRICS,
        }
        metrics = fit_and_evaluate(run, settings, dataset, prepared, **so_far, **how)
        remove(run / MODEL)  # which a finished run has
        return metrics


@former_names(data_path="manual_dir")
def evaluate_run(
    path: PathLike,
    split: str,
    *,
    data: PathLike | None = None,
    manual_dir: PathLike | None = None,
    data_dir: PathLike | None = None,
    dynamic: bool = False,
    streaming: bool = False,
    show: Callable[[dict[str, Any]], object] = lambda metrics: None,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Evaluates the network of a finished run and adds the results to its metrics.json.

    Args:
        path: Folder of the run.
        split: "train", "validation" or "test".
        data: Where the data is now, if it has moved; None: as in the training.
        manual_dir: As for `data.load`; None: as in the training.
        data_dir: As for `data.load`; None: as in the training.
        dynamic: Whether to report dynamic evaluation too, in which the weights are updated on the
            text of the split; see `dynamic_evaluation.py`.
        streaming: Whether to evaluate one time step at a time too; see `StepwiseModel`.
        show: Called with the result before it is written, which may fail.
        log: As for `train`.
        progress: As for `train`.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: The run is not finished, another process has it, its data is missing or has
            changed, the split is unknown, the data is music and `dynamic` is True, or metrics.json
            cannot be written.
    """
    one_of(SPLITS)("split", split)
    run = Run(path)
    with run.owned(read_only=True):
        metrics = run.metrics
        dataset = data_of_run(run, data=data, manual_dir=manual_dir, data_dir=data_dir)
        if dynamic:  # first, as it refuses music
            from . import dynamic_evaluation

            results = dynamic_evaluation.evaluate(run, dataset, split, log=log, progress=progress)
            metrics["dynamic"] = {**metrics.get("dynamic", {}), **results}
        model = _model_to_evaluate(run, dataset.kind)
        metrics["splits"][split] = evaluation.evaluate(model, dataset, split, progress=progress)
        metrics["baselines"][split] = evaluation.baselines(dataset, split)
        if streaming:
            stepwise = evaluation.StepwiseModel(run.model(batch_size=1))
            results = evaluation.evaluate(stepwise, dataset, split, batch_size=1, progress=progress)
            metrics["streaming"] = {**metrics.get("streaming", {}), split: results}
        metrics = with_checksum(metrics)
        try:
            show(metrics)
        finally:
            run.write(METRICS, metrics)
        return metrics


def evaluate_ensemble(
    paths: Sequence[PathLike],
    split: str,
    *,
    data: PathLike | None = None,
    manual_dir: PathLike | None = None,
    data_dir: PathLike | None = None,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Evaluates the mean of the probabilities of several finished runs; writes nothing.

    Args:
        paths: Folders of the runs, which have the same data, such as runs of several seeds.
        split: "train", "validation" or "test".
        data: As for `evaluate_run`.
        manual_dir: As for `evaluate_run`.
        data_dir: As for `evaluate_run`.
        progress: As for `train`.

    Returns:
        What metrics.json has of one run: "splits", "baselines", "definitions" and others.

    Raises:
        UserError: As `evaluate_run`; or two runs have different data.
    """
    one_of(SPLITS)("split", split)
    runs = [Run(path) for path in paths]
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.owned(read_only=True))
        every = [run.metrics for run in runs]
        for run, metrics in zip(runs, every):
            if any(metrics["data"][key] != every[0]["data"][key] for key in IDENTITY):
                raise ArgumentError("run", f"runs on the data of {runs[0].path}", str(run.path))
        dataset = data_of_run(runs[0], data=data, manual_dir=manual_dir, data_dir=data_dir)
        models = [_model_to_evaluate(run, dataset.kind) for run in runs]
    ensemble = evaluation.Ensemble(models, dataset.kind)
    return {
        "primary": PRIMARY[dataset.kind],
        "splits": {split: evaluation.evaluate(ensemble, dataset, split, progress=progress)},
        "baselines": {split: evaluation.baselines(dataset, split)},
        "definitions": definitions(dataset.kind),
        "network": f"ensemble of {len(runs)}",
        "weights": sum(metrics["weights"] for metrics in every),
        "data": every[0]["data"],
        "versions": versions(),
    }


def _with_absolute_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Makes the paths in settings absolute: a run may be resumed from another working folder."""
    absolute = dict(settings)
    for name in PLACES:
        value = settings.get(name)
        # A folder may have the name of a data set; `data.load` prefers the data set.
        if not value or (name == "data" and str(value) in data.names()):
            continue
        path = user_path(value)
        if path.exists():
            absolute[name] = str(path.resolve())
    return absolute


def _load(settings: Settings) -> data.Dataset:
    with argument_is("name", "data"):
        return data.load(settings.data, **load_options(settings))


def data_of_run(run: Run, **places: PathLike | None) -> data.Dataset:
    """Loads the data of a run and checks that it is the same.

    Args:
        run: The run.
        **places: Where the data is now, by the names of `PLACES`; None: as in the training.

    Raises:
        UserError: The data is missing or has changed.
    """
    settings = run.settings()
    given = {name: os.fspath(place) for name, place in places.items() if place is not None}
    try:
        dataset = _load(dataclasses.replace(settings, **given))
    except ArgumentError as error:
        if error.argument != "data" or "data" in given or os.path.exists(settings.data):
            raise
        raise UserError(
            f"The data of {str(run.path)!r} is no longer at {settings.data!r}: pass where it is "
            "now as `data` (--data)."
        ) from error
    trained = run.config["data"]
    for key in IDENTITY:
        found = getattr(dataset, key)
        if found != trained[key]:
            raise ArgumentError("data", f"the data of the run, {key} {trained[key]}", Words(found))
    return dataset


def fit_and_evaluate(
    run: Run,
    settings: Settings,
    dataset: data.Dataset,
    prepared: Prepared,
    *,
    until: int | None = None,
    splits: Sequence[str] = ("validation", "test"),
    keep_backup: bool = False,
    results: str = METRICS,
    log: Log = print,
    progress: ShowProgress = no_progress,
) -> dict[str, Any]:
    """Trains the network of a run, from its backup if there is one, and evaluates it.

    Args:
        run: `Run` with its config.json.
        settings: Complete `Settings`.
        dataset: The `Dataset`.
        prepared: Result of `prepare`.
        until: Epoch after which to stop; the learning rate schedule is still that of all `epochs`
            of the settings. None for all of them.
        splits: Splits to evaluate.
        keep_backup: Whether a later call can continue, to a larger `until`.
        results: Name of the file to write.
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
    remove(run / PARTIAL)
    state = backup_state(run / BACKUP)
    run.truncate_history()
    history = History(run / HISTORY)
    shown = Progress(stopping, len(training) + len(validation), log, progress)
    callbacks = [
        EpochState(settings.seed, training),
        keras.callbacks.TerminateOnNaN(),
        stopping,
        shown,
        history,
        *rate_callbacks(settings, stopping),
        Backup(
            run / BACKUP,
            stopping,
            lambda: {
                "settings": settings.to_json(),
                HISTORY_CHECKSUM: run.history_checksum(),
            },
        ),
    ]
    if settings.ema:
        callbacks.insert(0, AveragedWeights(exchanged=state["epochs"] > 0))
    if settings.tensorboard:
        callbacks.insert(-1, keras.callbacks.TensorBoard(run / TENSORBOARD))
    for line in dataset.remarks:
        log(line)
    steps = settings.bptt_steps
    log(
        f"{settings.network}, {model.count_params():,} weights, {training.frames:,} "
        f"{dataset.step}s an epoch in {len(training)} batches"
        + (f" of chunks of {steps} (--bptt-steps)" if steps else "")
    )
    log(
        f"val: {PRIMARY[dataset.kind]} of the validation split (batches: {len(validation)}); "
        f"patience: {settings.patience} epochs"
    )
    # Keras ends the callbacks only after a complete training.
    with write_errors(run.path), contextlib.closing(history), contextlib.closing(shown):
        model.fit(
            stream(of_this_process(training)),
            validation_data=stream(of_this_process(validation)),
            initial_epoch=state["epochs"],
            epochs=state["epochs"] if state["stopped"] else until or settings.epochs,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    rows = run.history()
    problem = None
    if not math.isfinite(rows[-1]["loss"]):
        problem = f"loss is {rows[-1]['loss']} in epoch {rows[-1]['epoch']:.0f}"
    elif not math.isfinite(stopping.best):
        problem = f"best validation result is {stopping.best}"
    if problem is not None:
        raise DivergedError(
            f"The {problem}: try a smaller --learning-rate than {settings.learning_rate:g}, "
            f"a smaller --clipnorm than {settings.clipnorm:g}, or another --activation than "
            f"{settings.activation}."
        )
    with on_one_device():
        with replacing(run / MODEL) as partial:
            _stateless(run, model).save(partial)
        metrics = _results(run, settings, dataset, rows, stopping, splits, progress)
    title = f"{settings.network} on {Path(dataset.name).name}"
    plots.learning_curve(rows, dataset.kind, run / CURVE, title=title)
    run.write(results, metrics)
    if not keep_backup:
        remove(run / PARTIAL_METRICS)
        remove(run / BACKUP)
    return metrics


def _stateless(run: Run, model: keras.Model) -> keras.Model:
    """Copies the trained network without states and optimizer, for any batch size."""
    stateless = run.network()
    stateless.set_weights(model.get_weights())
    return stateless


def _model_to_evaluate(run: Run, kind: str) -> keras.Model:
    """Loads the trained network for `evaluate`: stateful for a text."""
    return run.model(batch_size=None if kind == "piano_roll" else 1)


def _results(
    run: Run,
    settings: Settings,
    dataset: data.Dataset,
    history: list[dict[str, float]],
    stopping: keras.callbacks.EarlyStopping,
    splits: Sequence[str],
    progress: ShowProgress,
) -> dict[str, Any]:
    """Evaluates the best weights of a run; the content of metrics.json."""
    model = _model_to_evaluate(run, dataset.kind)
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
        "baselines": {split: evaluation.baselines(dataset, split) for split in splits},
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
        HISTORY_CHECKSUM: run.history_checksum(),
    }
    return with_checksum(metrics)

"""A search as a study in an Optuna storage, for `optuna-dashboard` and Optuna's own analyses."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...training.run_folder import Run
from ...utils.errors import ArgumentError, Words, missing_extra
from ...utils.files import cannot_write, finite, replacing
from ..search.analysis import compared, measured, solved
from ..search.summary import command_of
from ..search.trial import ENDED, Trial

if TYPE_CHECKING:
    from ..job.job import Job

try:
    import optuna
    import sqlalchemy
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "tuning") from None

# Attribute of a study that may be replaced.
WRITER, OURS = "written_by", "deep-rnn tune report"


def write_optuna(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]
) -> int:
    """Writes the finished trials of a search to an Optuna storage, an SQLite file.

    The study has the name of the job. It replaces the one that an earlier call wrote; other studies
    of the file stay, so that one file can hold several searches. The file is written as a whole or
    not at all, and must not be in use.

    A trial has its values, the objective of each epoch where that is a metric of training, and the
    rest of the record as attributes. Those that Hyperband stopped early are PRUNED.

    Args:
        path: SQLite file.
        folder: Project folder, which has the run folders.
        job: Complete `Job`.
        trials: List of `Trial`, in any order.

    Returns:
        The number of trials that were written.

    Raises:
        UserError: The file is no Optuna storage, has another study of that name, or cannot be
            written.
    """
    path = Path(path)
    finished = sorted((t for t in trials if t.status in ENDED), key=lambda t: (t.ended or "", t.id))
    equal = {trial.id for trial in compared(job, finished)}
    with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as database:
        _read(path, database)
        with quiet(), _storage(database) as storage:
            study = _study(path, storage, job)
            for trial in finished:
                study.add_trial(_converted(folder, job, trial, trial.id in equal))
        content = database.serialize()
    with replacing(path) as partial:
        partial.write_bytes(content)
    return len(finished)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the log and the warnings of Optuna, and restores its settings."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _read(path: Path, database: sqlite3.Connection) -> None:
    """Reads the file, if there is one, into a database in memory."""
    if not os.path.lexists(path):
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        database.deserialize(content)
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        tables = set()
    if content and "studies" not in tables:
        raise ArgumentError("path", "a new file or an Optuna storage in SQLite", str(path))


@contextlib.contextmanager
def _storage(database: sqlite3.Connection) -> Iterator[optuna.storages.RDBStorage]:
    # All sessions share the connection: another one would see another database in memory.
    given = {"creator": lambda: database, "poolclass": sqlalchemy.StaticPool}
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=given)
    try:
        yield storage
    finally:
        storage.remove_session()


def _study(path: Path, storage: optuna.storages.RDBStorage, job: Job) -> optuna.Study:
    """A new study for a search, in the place of its last one."""
    present = {s.study_name: s for s in optuna.get_all_study_summaries(storage)}
    if job.name in present:
        if present[job.name].user_attrs.get(WRITER) != OURS:
            got = Words(f"{str(path)!r}, where {job.name!r} is another one")
            raise ArgumentError("path", f"a storage without a study {job.name!r} of its own", got)
        optuna.delete_study(study_name=job.name, storage=storage)
    study = optuna.create_study(storage=storage, study_name=job.name, direction="minimize")
    study.set_metric_names([str(job.objective)])
    names = ("data", "tuner", "budget", "epochs", "seed", "settings")
    for name, value in {WRITER: OURS, **{name: getattr(job, name) for name in names}}.items():
        study.set_user_attr(name, value)
    return study


def _converted(
    folder: str | os.PathLike[str], job: Job, trial: Trial, equal: bool
) -> optuna.trial.FrozenTrial:
    """A trial as one of Optuna; `equal`: it had as many epochs as any."""
    states = optuna.trial.TrialState
    done = bool(measured([trial]))
    values = job.space.active(trial.values)
    made = optuna.trial.create_trial(
        state=(states.COMPLETE if equal else states.PRUNED) if done else states.FAIL,
        value=trial.score if done else None,
        params=values,
        distributions=job.space.to_optuna_distributions(values),
        intermediate_values=_epochs(folder, job, trial),
        user_attrs=_attributes(job, trial),
    )
    made.datetime_start = _local(trial.started) or made.datetime_start
    made.datetime_complete = _local(trial.ended) or made.datetime_complete
    return made


def _epochs(folder: str | os.PathLike[str], job: Job, trial: Trial) -> dict[int, float]:
    """{epoch: objective}, for the epochs in which it was measured and finite."""
    rows = Run(Path(folder, trial.folder)).history() if trial.folder else []
    name = f"val_{job.objective}"
    found = {int(row["epoch"]): row[name] for row in rows if "epoch" in row and name in row}
    return {epoch: value for epoch, value in found.items() if math.isfinite(value)}


def _attributes(job: Job, trial: Trial) -> dict[str, Any]:
    """What else is known of a trial, as JSON values."""
    names = ("id", "parameters", "seed", "epochs", "best_epoch", "seconds", "worker", "folder")
    told: dict[str, Any] = {name: getattr(trial, name) for name in names}
    told |= solved(job, trial)
    told |= {"metrics": trial.metrics, "error": trial.error, "command": command_of(job, trial)}
    return {name: value for name, value in finite(told).items() if value is not None}


def _local(moment: str | None) -> datetime.datetime | None:
    """A moment in Optuna's form: local time, without a time zone."""
    if moment is None:
        return None
    return datetime.datetime.fromisoformat(moment).astimezone().replace(tzinfo=None)

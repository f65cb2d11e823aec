"""Event logs of a search for TensorBoard: HParams, and the curves of every trial."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...training.run_folder import Run
from ...utils.errors import missing_extra
from ...utils.files import remove, replacing
from ..search.analysis import measured
from ..search.project import REPORT
from ..search.trial import COMPLETED, FAILED, RUNNING, Trial

if TYPE_CHECKING:
    from ..job.job import Job
    from ..space.hyperparameter import Hyperparameter

EVENTS = "tensorboard"
# protobuf creates its classes at run time, unseen by type checkers: its modules are Any below.


def write_event_logs(folder: str | os.PathLike[str], job: Job, trials: Sequence[Trial]) -> None:
    """Writes PROJECT/report/tensorboard/, for `tensorboard --logdir`.

    The folder has the ranges of the hyperparameters, and a subfolder for each trial with its
    values, status, score and the curves of its history.csv.

    Args:
        folder: Project folder; its report/ exists.
        job: Complete `Job`.
        trials: List of `Trial`.

    Raises:
        UserError: tensorboard is not installed, or the folder cannot be written.
    """
    try:
        from tensorboard.plugins.hparams import api_pb2, summary_v2
    except ImportError:
        raise missing_extra("tensorboard", "tuning") from None

    api: Any = api_pb2
    path = Path(folder, REPORT, EVENTS)
    metrics = [summary_v2.Metric(job.objective), summary_v2.Metric("parameters")]
    ranges = [
        summary_v2.HParam(name, _domain(job.space[name], summary_v2)) for name in job.space.names
    ]
    began = min((_seconds(trial.started) for trial in trials if trial.started), default=0.0)
    config = summary_v2.hparams_config_pb(ranges, metrics, time_created_secs=began)
    with replacing(path) as partial:
        _write(partial, [(began, 0, config)])
        for trial in trials:
            status = {
                COMPLETED: api.STATUS_SUCCESS,
                FAILED: api.STATUS_FAILURE,
                RUNNING: api.STATUS_RUNNING,
            }.get(trial.status, api.STATUS_UNKNOWN)
            _write(partial / trial.id, _events(folder, job, trial, status, summary_v2))
        remove(path)  # a rename does not replace a folder


def _events(
    folder: str | os.PathLike[str], job: Job, trial: Trial, status: Any, summary_v2: Any
) -> Iterator[tuple[float, int, Any]]:
    """Time, step and summary of the events of a trial."""
    start = _seconds(trial.started) if trial.started else 0.0
    values = summary_v2.hparams_pb(trial.values, trial_id=trial.id, start_time_secs=start)
    yield start, 0, values
    now = start
    for row in Run(Path(folder, trial.folder)).history() if trial.folder else []:
        now += row.get("seconds", 0.0)
        step = int(row.get("epoch", 0))
        curves = {name: value for name, value in row.items() if name != "epoch"}
        yield now, step, _scalars({f"epoch/{name}": value for name, value in curves.items()})
    end = _seconds(trial.ended) if trial.ended else now
    result: dict[str, Any] = {"parameters": trial.parameters}
    if measured([trial]):
        result[cast(str, job.objective)] = trial.score
    yield end, trial.best_epoch or 0, _scalars(result)
    if trial.ended:
        yield end, 0, _session_end(status, end)


def _write(folder: str | os.PathLike[str], summaries: Iterable[tuple[float, int, Any]]) -> None:
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    protos: Any = event_pb2
    with contextlib.closing(EventFileWriter(str(folder))) as writer:
        for wall_time, step, summary in summaries:
            writer.add_event(protos.Event(wall_time=wall_time, step=step, summary=summary))


def _scalars(values: Mapping[str, Any]) -> Any:
    summary = _summary()
    return summary(value=[summary.Value(tag=n, simple_value=v) for n, v in values.items()])


def _session_end(status: Any, end: float) -> Any:
    """The end of a session; tensorboard's own function for it requires TensorFlow."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    protos: Any = plugin_data_pb2
    info = protos.SessionEndInfo(status=status, end_time_secs=end)
    data = metadata.create_summary_metadata(protos.HParamsPluginData(session_end_info=info))
    tag, summary = metadata.SESSION_END_INFO_TAG, _summary()
    return summary(value=[summary.Value(tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)])


def _summary() -> Any:
    from tensorboard.compat.proto import summary_pb2

    protos: Any = summary_pb2
    return protos.Summary


def _domain(hyperparameter: Hyperparameter, summary_v2: Any) -> Any:
    """The domain of a hyperparameter in HParams."""
    if hyperparameter.kind in ("choice", "fixed", "boolean"):
        return summary_v2.Discrete(hyperparameter.choices)
    interval = summary_v2.IntInterval if hyperparameter.kind == "int" else summary_v2.RealInterval
    return interval(hyperparameter.low, hyperparameter.high)


def _seconds(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp()

"""A search in an Optuna storage, as Optuna reads it."""

import dataclasses
import datetime
import sqlite3

import pytest
from made_up_searches import BUDGET, HISTORY, job_of, trials_of

from keras_deep_rnn.tuning.search.trial import COMPLETED, RUNNING
from keras_deep_rnn.utils.errors import UserError

optuna = pytest.importorskip("optuna")
from keras_deep_rnn.tuning.report.optuna_storage import write_optuna  # noqa: E402

STATES = optuna.trial.TrialState


def searched(folder, count=5, *, failed=1, **more):
    """A job and its trials, with the learning curve of the first one."""
    job = job_of(**more)
    trials = trials_of(job, count, failed=failed)
    run = folder / trials[0].folder
    run.mkdir(parents=True, exist_ok=True)
    (run / "history.csv").write_text(HISTORY)
    return job, trials


def load(path, name="job"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def test_optuna_reads_the_search(tmp_path):
    job, trials = searched(tmp_path)
    waiting = dataclasses.replace(trials[0], id="0005", status=RUNNING, score=None, ended=None)
    path = tmp_path / "a ?#{b}.db"
    assert write_optuna(path, tmp_path, job, [*trials, waiting][::-1]) == 5
    # Such names are hard to put into the URL of a storage.
    study = load(path.rename(tmp_path / "search.db"))
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert study.metric_names == ["frame_nll"]
    assert study.user_attrs["budget"] == BUDGET
    assert len(study.trials) == 5
    for found, trial in zip(study.trials, trials, strict=True):
        assert found.params == trial.values
        assert found.user_attrs["id"] == trial.id
        assert found.user_attrs["parameters"] == trial.parameters
        assert found.user_attrs["units"] == trial.settings["units"]
        assert found.user_attrs["command"].startswith("deep-rnn train --data jsb_chorales")
        assert found.state == (STATES.COMPLETE if trial.status == COMPLETED else STATES.FAIL)
        began = datetime.datetime.fromisoformat(trial.started)
        assert found.datetime_start.astimezone() == began
        assert found.duration == datetime.timedelta(seconds=30)
        assert found.value == trial.score
    assert study.trials[0].intermediate_values == {1: 9.25, 2: 8.75}
    assert study.trials[-1].user_attrs["error"] == trials[-1].error
    best = min(trials[:4], key=lambda trial: trial.score)
    assert study.best_trial.user_attrs["id"] == best.id


def test_what_hyperband_stopped_early_is_pruned(tmp_path):
    job, trials = searched(tmp_path, 3, failed=0, tuner="hyperband")
    for trial, until in zip(trials, (4, 30, 10)):
        trial.until = until
    write_optuna(tmp_path / "search.db", tmp_path, job, trials)
    states = [found.state for found in load(tmp_path / "search.db").trials]
    assert states == [STATES.PRUNED, STATES.COMPLETE, STATES.PRUNED]


def test_a_score_that_is_no_number_is_a_failure(tmp_path):
    job, trials = searched(tmp_path, 2, failed=0)
    trials[1].score = float("nan")
    write_optuna(tmp_path / "search.db", tmp_path, job, trials)
    states = [found.state for found in load(tmp_path / "search.db").trials]
    assert states == [STATES.COMPLETE, STATES.FAIL]


def test_a_file_holds_several_searches_and_each_is_replaced(tmp_path):
    path = tmp_path / "search.db"
    own = optuna.create_study(study_name="own", storage=f"sqlite:///{path}")
    own.add_trial(optuna.trial.create_trial(value=1.0))
    for count in (2, 3):
        write_optuna(path, tmp_path, *searched(tmp_path, count))
    write_optuna(path, tmp_path, *searched(tmp_path, 2, name="other"))
    counts = {name: len(load(path, name).trials) for name in ("own", "job", "other")}
    assert counts == {"own": 1, "job": 3, "other": 2}


def test_what_is_not_ours_stays_as_it_is(tmp_path):
    foreign, text, table = (tmp_path / name for name in ("foreign.db", "text.db", "table.db"))
    optuna.create_study(study_name="job", storage=f"sqlite:///{foreign}")
    text.write_text("not a database\n" * 100)
    with sqlite3.connect(table) as connection:
        connection.execute("CREATE TABLE numbers (n)")
    connection.close()
    for path, line in (
        (foreign, "`path` must be a storage without a study 'job' of its own, got"),
        (text, "`path` must be a new file or an Optuna storage in SQLite, got"),
        (table, "`path` must be a new file or an Optuna storage in SQLite, got"),
        (tmp_path, "Cannot write"),
    ):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(UserError) as error:
            write_optuna(path, tmp_path, *searched(tmp_path))
        assert line in str(error.value)
        assert "\n" not in str(error.value)
        assert before is None or path.read_bytes() == before


def test_the_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    job, trials = searched(tmp_path)
    path = tmp_path / "search.db"
    write_optuna(path, tmp_path, job, trials[:1])
    before = path.read_bytes()
    attributes = "keras_deep_rnn.tuning.report.optuna_storage._attributes"

    def broken(job, trial):
        if trial.id == "0003":
            raise KeyboardInterrupt
        return {}

    monkeypatch.setattr(attributes, broken)
    with pytest.raises(KeyboardInterrupt):
        write_optuna(path, tmp_path, job, trials)
    assert path.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"search.db", "trials"}

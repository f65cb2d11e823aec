"""A run folder has one owner, and what its files say is true."""

import csv
import dataclasses
import errno
import json
import os
import pathlib
import random
import shutil
import threading

import pytest
from made_up_runs import dataset, edit, settings, train_until

from keras_deep_rnn import data
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.callbacks import History
from keras_deep_rnn.training.run_folder import LOCK, Run
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow

QUIET = {"log": lambda line: None}


package_load = data.load


def load(name, **options):
    """A made-up data set by its kind, or by a file of its kind and checksum."""
    if not os.path.isabs(name):
        return dataset(name)
    if not os.path.exists(name):
        return package_load(name, **options)
    kind, checksum = pathlib.Path(name).read_text().split()
    return dataclasses.replace(dataset(kind), name=name, checksum=checksum)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    monkeypatch.setattr(data, "load", load)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a finished run and of one that was killed in its third epoch."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(data, "load", load)
        training.train(settings(epochs=2), folder / "finished", command="deep-rnn a", **QUIET)
        train_until(patched, 2, settings(), folder / "cut")
    return folder


@pytest.fixture
def finished(runs, tmp_path):
    return shutil.copytree(runs / "finished", tmp_path / "finished")


@pytest.fixture
def cut(runs, tmp_path):
    return shutil.copytree(runs / "cut", tmp_path / "cut")


def error_of(call, *arguments, **options):
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


@pytest.mark.slow
def test_a_run_has_one_owner(finished, cut):
    for folder in (finished, cut):
        before = content(folder)
        with Run(folder).owned():
            lines = [
                error_of(training.train, settings(), folder, overwrite=True, **QUIET),
                error_of(training.resume, folder, **QUIET),
                error_of(training.evaluate_run, folder, "test", **QUIET),
            ]
        start = f"{str(folder)!r} is in use by process {os.getpid()} on "
        assert all(line.startswith(start) for line in lines)
        assert content(folder) == before
        assert not (folder / LOCK).exists()


@pytest.mark.slow
@pytest.mark.parametrize("resumed", [False, True])
def test_of_two_that_start_together_one_trains(resumed, cut, tmp_path):
    """The second one comes while the first one is in its first epoch."""
    out = cut if resumed else tmp_path / "new"
    reached, done, ended = threading.Event(), threading.Event(), []

    def wait(line):
        if line.startswith("epoch"):
            reached.set()
            done.wait(60)

    def start(log):
        if resumed:
            return training.resume(out, log=log)
        return training.train(settings(), out, log=log)

    first = threading.Thread(target=lambda: ended.append(start(wait)))
    first.start()
    assert reached.wait(120)
    line = error_of(start, lambda line: None)
    done.set()
    first.join()
    assert "is in use by process" in line
    assert ended == [Run(out).metrics]
    assert [row["epoch"] for row in Run(out).history()] == [1, 2, 3]


def test_a_mistake_leaves_nothing_behind(tmp_path):
    """Neither a lock nor a new folder; a folder that a killed process has left is free."""
    out = tmp_path / "run"
    error_of(training.train, settings(network="rnn"), out, **QUIET)
    assert not out.exists()
    out.mkdir()
    (out / LOCK).touch()
    (out / ".partial").mkdir()
    run = Run(out)
    with run.owned(make=True):
        run.check_free(overwrite=False)
    for missing in (training.resume, lambda path: training.evaluate_run(path, "test")):
        error_of(missing, tmp_path / "none")
        assert not (tmp_path / "none").exists()


def damages(content):
    """Copies of a file in which one bit is another one, or one digit."""
    draw = random.Random(0)
    for _ in range(100):
        place, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
        yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    for place in [i for i, byte in enumerate(content) if chr(byte).isdigit()][::7]:
        digit = b"%d" % ((int(content[place : place + 1]) + 1) % 10)
        yield content[:place] + digit + content[place + 1 :]


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "history.csv"])
def test_a_file_with_another_number_is_refused(name, finished):
    run, told, total = Run(finished), 0, 0

    def read():
        return run.config, run.metrics, run.history()

    expected = without_checksums(read())
    for damaged in damages((finished / name).read_bytes()):
        total += 1
        (finished / name).write_bytes(damaged)
        try:
            found = read()
        except UserError as error:
            told += f"{name}' is damaged or was edited: restore it" in str(error)
        else:
            assert without_checksums(found) == expected
    assert told > total / 3


def without_checksums(found):
    """A bit in the name of a checksum makes a file one of an earlier version."""
    config, metrics, history = found
    kept = [
        {key: value for key, value in part.items() if "settings" in key or "splits" in key}
        for part in (config, metrics)
    ]
    return kept, history


def test_history_of_an_unfinished_run(cut):
    history = cut / "history.csv"
    with open(history, newline="") as file:
        rows = list(csv.DictReader(file))
    rows[1]["loss"] = str(float(rows[1]["loss"]) + 1e-9)
    with open(history, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert "history.csv' is damaged or was edited" in error_of(training.resume, cut, **QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("keep_checksum", [False, True])
def test_edited_settings_are_not_resumed(keep_checksum, cut):
    edit(cut, "config.json", {"settings": {"epochs": 9}}, keep_checksum=keep_checksum)
    line = "config.json' is damaged or was edited (`epochs` was 3, is 9): restore it"
    assert line in error_of(training.resume, cut, **QUIET)
    edit(cut, "config.json", {"settings": {"epochs": 3}}, keep_checksum=keep_checksum)
    assert training.resume(cut, **QUIET)["epochs"] == 3


@pytest.mark.slow
def test_a_run_is_resumed_whose_config_lacks_settings_that_its_backup_has(cut):
    """The config of an earlier version; the backup is written with each epoch."""
    config = Run(cut).config
    del config["settings"]["frequency_bias"]
    Run(cut).write("config.json", config)
    assert training.resume(cut, **QUIET)["epochs"] == 3


def test_the_sections_of_a_config_must_agree(finished):
    edit(finished, "config.json", {"network": {"units": 9}})
    line = "config.json': network.units is 9, settings.units is 6."
    assert line in error_of(training.evaluate_run, finished, "test")


def test_another_backend_does_not_resume(cut, monkeypatch):
    began = Run(cut).config["versions"]["backend"]
    monkeypatch.setattr("keras.backend.backend", lambda: "another")
    assert error_of(training.resume, cut, **QUIET) == (
        f"`KERAS_BACKEND` must be {began!r} to resume {str(cut)!r}, got 'another'."
    )


@pytest.mark.slow
def test_every_resume_is_recorded(cut):
    assert Run(cut).config["resumes"] == []
    results = training.resume(cut, command="deep-rnn b", evaluate_only=True, **QUIET)
    assert json.loads((cut / "partial.json").read_text()) == results
    assert not {"metrics.json", "model.keras"} & set(content(cut))
    with open(cut / "history.csv", "a") as file:  # a row of an epoch that has no backup
        file.write((cut / "history.csv").read_text().splitlines()[-1].replace("2,", "3,", 1) + "\n")
    again = training.resume(cut, command="deep-rnn b", evaluate_only=True, **QUIET)
    assert (again["epochs"], again["splits"]) == (results["epochs"], results["splits"])
    training.resume(cut, command="deep-rnn c", **QUIET)
    training.resume(cut, command="deep-rnn d", **QUIET)  # finished: nothing is resumed
    assert "partial.json" not in content(cut)
    config = Run(cut).config
    commands = [resume["command"] for resume in config["resumes"]]
    assert commands == ["deep-rnn b", "deep-rnn b", "deep-rnn c"]
    assert all(resume["versions"] == config["versions"] for resume in config["resumes"])


@pytest.mark.slow
def test_data_that_has_moved(tmp_path, monkeypatch):
    """It is taken from its new place, for good where a run is resumed from there."""
    old, new, other, out = (tmp_path / name for name in ("old", "new", "other", "run"))
    old.write_text("piano_roll abc")
    other.write_text("piano_roll def")
    train_until(monkeypatch, 1, settings(str(old)), out)
    old.rename(new)
    assert error_of(training.resume, out, **QUIET) == (
        f"The data of {str(out)!r} is no longer at {str(old)!r}: pass where it is now as `data` "
        "(--data)."
    )
    here, there = {"data": str(new)}, {"data": str(other)}
    assert "checksum abc, got def" in error_of(training.resume, out, requested=there, **QUIET)
    metrics = training.resume(out, requested=here, **QUIET)
    assert Run(out).settings().data == str(new)
    assert "checksum abc, got def" in error_of(training.resume, out, requested=there, **QUIET)
    new.rename(old)
    assert "is no longer at" in error_of(training.evaluate_run, out, "test")
    assert "checksum abc, got def" in error_of(training.evaluate_run, out, "test", data=other)
    assert training.evaluate_run(out, "test", data=old)["splits"] == metrics["splits"]
    old.write_text("words abc")
    line = "`data` must be the data of the run, kind piano_roll, got words."
    assert error_of(training.evaluate_run, out, "test", data=old) == line


def test_a_result_is_shown_before_it_cannot_be_written(finished, monkeypatch):
    shown, before = [], content(finished)
    monkeypatch.setattr(
        "keras_deep_rnn.utils.files.os.replace",
        lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    line = error_of(training.evaluate_run, finished, "train", show=shown.append)
    assert line == f"Cannot write '{finished}/metrics.json': No space left on device."
    (metrics,) = shown
    assert metrics["splits"]["train"]["frame_nll"] > 0
    assert content(finished) == before


def test_a_run_that_cannot_be_locked_is_read_all_the_same(finished, monkeypatch):
    """A read-only file system; the superuser may write what has no permission."""
    original = os.open

    def read_only(path, flags, *mode):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system", os.fspath(path))
        return original(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(os, "mkdir", lambda path, *mode: read_only(path, os.O_RDWR))
    shown = []
    line = error_of(training.evaluate_run, finished, "train", show=shown.append)
    assert line == f"Cannot write '{finished}/metrics.json': Read-only file system."
    assert "train" in shown[0]["splits"]
    assert "Read-only" in error_of(training.train, settings(), finished, overwrite=True)


@pytest.mark.slow
def test_full_disk_at_the_end_of_an_epoch(tmp_path, monkeypatch):
    """The row of history.csv does not fit, and does not either as the file is closed."""

    def full(original):
        def fail(self, *arguments):
            original(self, *arguments)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return fail

    for name in ("on_epoch_end", "close"):
        monkeypatch.setattr(History, name, full(getattr(History, name)))
    line = error_of(training.train, settings(), tmp_path / "run", **QUIET)
    assert line == f"Cannot write '{tmp_path}/run': No space left on device."


@pytest.mark.slow
def test_earlier_runs_have_no_checksums(cut, finished):
    for folder, names in ((cut, ["config.json"]), (finished, ["config.json", "metrics.json"])):
        for name in names:
            edit(folder, name, {})
    assert training.resume(cut, **QUIET)["epochs"] == 3
    assert "train" in training.evaluate_run(finished, "train")["splits"]
    assert "checksum" in json.loads((finished / "metrics.json").read_text())

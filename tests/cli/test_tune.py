"""The commands on a search that is there: what they show, in which columns, and how soon."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.search.project import Project
from keras_deep_rnn.tuning.search.trial import COMPLETED, FAILED, RUNNING, Trial

JOB = """
data = "{data}"
trials = 40
objective = "bits_per_character"
epochs = 20
[space]
network = ["dots_rnn", "rnn"]
"""
VALUES = {
    "network": "dots_rnn",
    "transition_depth": 2,
    "output_depth": 1,
    "units": 140,
    "dropout": 0.1,
    "recurrent_dropout": 0.3,
    "output_dropout": 0.0,
    "learning_rate": 0.00123456,
    "clipnorm": 1.25,
    "batch_size": 16,
}
RESULT = {"status": COMPLETED, "epochs": 20, "best_epoch": 17, "seconds": 1234.5}


@pytest.fixture
def job(tmp_path):
    """The job file of a search with some trials."""
    (tmp_path / "text.txt").write_text("a text\n")
    file = tmp_path / "depth.toml"
    file.write_text(JOB.format(data=tmp_path / "text.txt"))
    search, project = Job.read(file), Project(tmp_path / "depth")
    settings = {"network": "dots_rnn", "units": 140, "seed": 2030409228}
    trial = Trial("0000", VALUES, settings, 1_076_412)
    trials = [
        dataclasses.replace(trial, **RESULT, score=1.75),
        dataclasses.replace(trial, **RESULT, id="0001", score=1.5),
        dataclasses.replace(trial, id="0002", status=RUNNING),
        dataclasses.replace(trial, id="0003", status=FAILED, error="The loss is nan in epoch 1."),
    ]
    with project.lead():
        project.begin(search)
        project.save({"trials": [dataclasses.asdict(each) for each in trials]})
    return file


def status(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["tune", "status", *map(str, arguments)])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 120, 60])
def test_the_table_fits_the_columns_and_breaks_no_word(columns, job, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    whole = status(capsys, job)
    monkeypatch.setenv("COLUMNS", str(columns))
    output = status(capsys, job)
    table = output.split("\n\n")[0].splitlines()[:-1]
    assert all(len(line) <= columns for line in table)
    words = set(re.sub("─+", " ", " ".join(table)).split())
    assert words <= set(whole.split())
    assert {"0001*", "completed", "score", "1.5000", "transition", "0.1/0.3/0"} <= words
    assert ("parameters" in words) == (columns > 60)
    assert ("2030409228" in words) == (columns > 80)
    assert re.search("left out for want of room: .*seed", output) or columns > 80


def test_json_has_numbers_as_numbers(job, capsys):
    content = json.loads(status(capsys, job, "--json"))
    assert content["counts"] == {COMPLETED: 2, FAILED: 1, RUNNING: 1, "WAITING": 0}
    assert (content["best"], content["objective"]) == ("0001", "bits_per_character")
    assert content["trials"][1]["score"] == 1.5
    assert content["trials"][1]["values"] == VALUES
    assert content["trials"][2]["score"] is None
    folder = job.with_suffix("")
    assert json.loads(status(capsys, folder, "--json")) == content


@pytest.mark.process
def test_status_reads_files_alone(job):
    """Neither Keras nor a backend, whose imports take seconds, and nothing on stderr."""
    code = (
        "import sys; sys.argv = ['deep-rnn', 'tune', 'status', *sys.argv[1:]]\n"
        "from keras_deep_rnn.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted(set(HEAVY) & set(sys.modules)))"
    ).replace("HEAVY", repr(["keras", "keras_tuner", "tensorflow", "jax", "torch", "optuna"]))
    environment = {**os.environ, "KERAS_BACKEND": "no such backend"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(job)], capture_output=True, text=True, env=environment
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "0001*" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_report_writes_an_optuna_storage(job, capsys, monkeypatch):
    optuna = pytest.importorskip("optuna")
    for extra in ("plotly", "tensorboard"):
        pytest.importorskip(extra)
    file = job.with_name("search.db")
    with pytest.raises(SystemExit) as end:
        cli.main(["tune", "report", str(job), "--optuna", str(file), "--json"])
    assert end.value.code == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["trials"]) == 4
    assert f"Wrote 3 trials: optuna-dashboard sqlite:///{file}" in shown.err
    study = optuna.load_study(study_name="depth", storage=f"sqlite:///{file}")
    assert study.best_trial.user_attrs["id"] == "0001"
    file.write_text("no database")
    with pytest.raises(SystemExit) as end:
        cli.main(["tune", "report", str(job), "--optuna", str(file)])
    assert end.value.code == 2
    assert "--optuna must be a new file or an Optuna storage" in capsys.readouterr().err

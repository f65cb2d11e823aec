"""The schema of job files: it takes what the files may hold, and refuses what they may not."""

import json
import tomllib

import pytest

from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.tuning.job.job_file import arguments
from keras_deep_rnn.tuning.job.schema import job_schema
from keras_deep_rnn.utils.errors import UserError

jsonschema = pytest.importorskip("jsonschema", reason="checks against the schema")

GOOD = [
    'data = "bach_chorales"\ntrials = 3',
    'data = "tunes"\ntrials = 3\nseed = 5\nmax_minutes = 2.5\n'
    "[settings]\npatience = 3\ntransition_units = [20, 30]\ntransition_depth = 2\n"
    '[space]\nnetwork = ["rnn", "dt_rnn"]\nunits = [8, 16]\ndropout = "default"\nclipnorm = 1',
    'data = "tunes"\ntrials = 3\n[space.network]\nkind = "choice"\nvalues = ["rnn", "dt_rnn"]\n'
    '[space.units]\nkind = "int"\nlow = 3\nhigh = 9\n[space.depth]\nkind = "int"\nlow = 1\n'
    "high = 2\n"
    'when = {network = "dt_rnn"}',
]
BAD = [
    "trials = 3",
    'data = "tunes"\ntrials = 0',
    'data = "tunes"\ntrials = 3\ntuner = "bayes"',
    'data = "tunes"\ntrials = 3\nbudgett = 3',
    'data = "tunes"\ntrials = 3\n[settings]\nepochs = 3',
    'data = "tunes"\ntrials = 3\n[space]\nnetwork = "rnn2"',
]


@pytest.mark.parametrize("text", GOOD)
def test_takes_what_a_job_takes(text, tmp_path):
    table = tomllib.loads(text)
    arguments(tmp_path / "job.toml", table)
    jsonschema.validate(table, job_schema())


@pytest.mark.parametrize("text", BAD)
def test_refuses_what_a_job_refuses(text, tmp_path):
    from keras_deep_rnn.tuning.job.job import Job

    table = tomllib.loads(text)
    with pytest.raises(UserError):
        Job(**arguments(tmp_path / "job.toml", table))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(table, job_schema())


def test_every_key_says_what_it_is():
    schema = json.loads(json.dumps(job_schema()))
    tables = [schema, schema["properties"]["settings"]]
    keys = [key for table in tables for key in table["properties"].values()]
    assert len(keys) > 50
    assert all(key["description"] or "minimum" in key for key in keys)


def test_command_writes_it(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["tune", "schema", "--out", str(tmp_path / "job.schema.json")])
    assert not end.value.code
    assert json.loads((tmp_path / "job.schema.json").read_text()) == job_schema()
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'job.schema.json'}\n"

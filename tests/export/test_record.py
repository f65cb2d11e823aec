"""export.json comes from a disk: what it says is checked wherever it is read."""

import importlib.util
import json
import subprocess
import sys

import pytest

if not importlib.util.find_spec("tensorflow"):
    pytest.skip("needs TensorFlow", allow_module_level=True)

from keras_deep_rnn.export.model import record as records
from keras_deep_rnn.export.model.record import read_record
from keras_deep_rnn.utils.errors import UserError

CASE = {"signature": "serving_default", "inputs": {}, "outputs": {}}
GOOD = {"model": "bach", "version": 1, "signatures": {}, "files": {}, "golden": [CASE]}


def written(folder, **changes):
    record = {name: value for name, value in {**GOOD, **changes}.items() if value != "absent"}
    (folder / "export.json").write_text(json.dumps(record))
    return folder


def test_what_is_right_is_read(tmp_path):
    assert read_record(written(tmp_path)) == GOOD


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "/tmp/elsewhere"}, "`model` must be a name of .*, got '/tmp/elsewhere'"),
        ({"model": ".."}, "`model` must be a name of"),
        ({"model": "\x1b]0;mine\x07"}, r"got '\\x1b\]0;mine\\x07'"),
        ({"model": "absent"}, "`model` must be a name of"),
        ({"model": ["bach"]}, "`model` must be a name of"),
        ({"version": "../1"}, "`version` must be a positive integer, got '../1'"),
        ({"version": 2**63}, r"`version` must be below 2\*\*63"),
        ({"version": "absent"}, "`version` must be a positive integer"),
        ({"signatures": []}, "no dict 'signatures'"),
        ({"signatures": {"a\nb": {}}}, r"it has the name 'a\\nb'"),
        ({"files": {"\x1b[2J": ""}}, r"it has the name '\\x1b\[2J'"),
        ({"files": "absent"}, "no dict 'files'"),
        ({"golden": {}}, "no list 'golden'"),
        ({"golden": [{"signature": "step"}]}, "no signature, inputs or outputs"),
        ({"golden": [3]}, "no signature, inputs or outputs"),
    ],
)
def test_what_is_wrong_is_one_line(changes, reason, tmp_path):
    with pytest.raises(UserError, match=reason) as error:
        read_record(written(tmp_path, **changes))
    assert str(error.value).startswith(f"Cannot read '{tmp_path}/export.json': ")
    assert str(error.value).isprintable()


def test_a_changed_number_is_one_line(tmp_path):
    records.write_record(tmp_path, GOOD)
    assert read_record(tmp_path)["golden"] == GOOD["golden"]
    path = tmp_path / "export.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match="it has changed since it was written; export the model"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10**5, b"9" * 10**5, b"[NaN"]
)
def test_what_is_no_json_is_one_line(content, tmp_path):
    (tmp_path / "export.json").write_bytes(content)
    with pytest.raises(UserError, match="Cannot read .*; export the model again") as error:
        read_record(tmp_path)
    assert str(error.value).isprintable()


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="it has more than"):
        read_record(written(tmp_path))


MEASURE = """
import resource, sys
from keras_deep_rnn.export.model.record import read_record
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_record(sys.argv[1])
except ValueError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_a_refused_file_takes_little_memory(tmp_path):
    """As lists, 60 MB of brackets would take 2 GB."""
    (tmp_path / "export.json").write_bytes(b"[" + b"[]," * 20_000_000 + b"[]]")
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True
    )
    line, megabytes = result.stdout.splitlines()
    assert "it has more than 1048576 values" in line
    assert int(megabytes) < 500

"""Files appear whole or not at all, whoever else writes beside them and whatever goes wrong."""

import errno
import json
import os
import subprocess
import sys

import pytest

from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.utils.files import replacing, write_errors, write_json

START = """
import json, os, sys, threading
from pathlib import Path
from keras_deep_rnn.utils.files import replacing, write_json
folder = Path({folder!r})
"""
MANY = """
def write(thread):
    for n in range({times}):
        for name in ("shared.json", f"{{os.getpid()}}-{{thread}}.json"):
            write_json(folder / name, {{"n": n, "padding": "x" * 1000}})
            json.loads((folder / name).read_text())

def report_errors(thread):
    try:
        write(thread)
    except BaseException as error:
        print(repr(error), flush=True)

print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=report_errors, args=(i,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def python(folder, code, **values):
    """A process that runs code, with what it prints."""
    return subprocess.Popen(
        [sys.executable, "-c", (START + code).format(folder=str(folder), **values)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_many_write_into_one_folder(tmp_path):
    """Two processes of four threads, each into a file of its own and into one that all share."""
    writers = [python(tmp_path, MANY, times=100) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.communicate(timeout=60) == ("", None)
        assert writer.returncode == 0
    own = {f"{writer.pid}-{thread}.json" for writer in writers for thread in range(4)}
    assert {path.name for path in tmp_path.iterdir()} == {"shared.json", *own}
    assert all(json.loads(path.read_text())["n"] == 99 for path in tmp_path.iterdir())


def fail(path, error, folder=False):
    """Writes a half and then no more."""
    with replacing(path) as partial:
        if folder:
            partial.mkdir()
        (partial / "file" if folder else partial).write_text("half")
        raise error


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("other"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, error):
    for there in ({"name": "old"}, None):
        path = tmp_path / str(there) / "file.json"
        path.parent.mkdir()
        if there:
            write_json(path, there)
        with pytest.raises(type(error)):
            fail(path, error)
        assert [p.name for p in path.parent.iterdir()] == (["file.json"] if there else [])
        assert not there or json.loads(path.read_text()) == there


def test_what_json_cannot_hold_leaves_what_was_there(tmp_path):
    write_json(tmp_path / "file.json", "old")
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", object())
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"file.json": '"old"\n'}


def test_a_killed_writer_is_in_nobodys_way(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, "old")
    code = """
with replacing(folder / "file.json") as partial:
    partial.write_text("half")
    os._exit(7)
"""
    with python(tmp_path, code) as killed:
        assert killed.wait(60) == 7
    assert json.loads(path.read_text()) == "old"
    assert len(list(tmp_path.glob(".partial/*"))) == 1
    write_json(path, "new")
    assert json.loads(path.read_text()) == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


def test_a_living_writer_is_left_alone(tmp_path):
    (tmp_path / ".partial" / "of-another-machine").mkdir(parents=True)
    with replacing(tmp_path / "slow") as partial:
        partial.write_text("whole")
        write_json(tmp_path / "quick.json", 1)
        with python(tmp_path, 'write_json(folder / "other.json", 2)') as other:
            assert other.wait(60) == 0
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"slow", "quick.json", "other.json", ".partial"}
    assert [file.name for file in tmp_path.glob(".partial/*")] == ["of-another-machine"]


def test_folders_appear_whole_too(tmp_path):
    with replacing(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "file").write_text("whole")
        assert not (tmp_path / "folder").exists()
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "other", ZeroDivisionError(), folder=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EDQUOT, "as the library calls it"), os.strerror(errno.EDQUOT)),
        (
            RuntimeError("Unable to close\nfile (errno = 28,\n error message = 'No space left')"),
            "No space left",
        ),
        (
            NotImplementedError("a/b; No space left on device\n\tCould not"),
            "No space left on device",
        ),
    ],
)
def test_write_errors_are_one_line(error, reason):
    with pytest.raises(UserError) as caught, write_errors("runs/a"):
        raise error
    assert str(caught.value) == f"Cannot write 'runs/a': {reason}."


def test_a_write_error_keeps_the_name_of_its_file():
    with pytest.raises(UserError) as caught, write_errors("runs/a"), write_errors("runs/a/b"):
        raise OSError(errno.ENOSPC, "full")
    assert str(caught.value) == "Cannot write 'runs/a/b': No space left on device."


@pytest.mark.parametrize("folder", [False, True])
def test_what_replaces_a_file_is_on_the_disk_before(folder, tmp_path, monkeypatch):
    """By the order of the calls: a machine that loses its power has the old or the new one."""
    calls, sync, replace = [], os.fsync, os.replace

    def name(descriptor):
        return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(name(fd)), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    with replacing(tmp_path / "new") as partial:
        if folder:
            partial.mkdir()
        (partial / "inner" if folder else partial).write_text("whole")
    assert calls == ["inner" if folder else "new", "replace", tmp_path.name]

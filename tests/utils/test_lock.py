"""A lock is held by one process, which the others can name, and ends with it."""

import datetime
import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from keras_deep_rnn.utils.lock import InUseError, locked

HOLD = """
import sys
from pathlib import Path
from keras_deep_rnn.utils.lock import locked
with locked(Path({path!r}), "it"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def holder(path):
    """A process that holds the lock until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(path=str(path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def refusal(path):
    with pytest.raises(InUseError) as error, locked(path, "'runs/a'"):
        pass
    return str(error.value)


def test_the_owner_is_named(path, holder):
    line = refusal(path)
    found = re.fullmatch(r"'runs/a' is in use by process (\d+) on (\S+) since (.+)\.", line)
    assert (int(found[1]), found[2]) == (holder.pid, socket.gethostname())
    age = datetime.datetime.now().astimezone() - datetime.datetime.fromisoformat(found[3])
    assert datetime.timedelta(seconds=-1) < age < datetime.timedelta(minutes=1)
    holder.communicate("end\n")
    with locked(path, "it"):
        assert str(os.getpid()) in refusal(path)
    assert not path.exists()


def test_the_lock_of_a_killed_process_is_taken_over(path, holder):
    holder.kill()
    holder.wait()
    assert path.exists()
    with locked(path, "it"):
        assert f"process {os.getpid()} on" in refusal(path)
    assert not path.exists()


def test_a_killed_owner_is_not_named_for_a_new_one(path, monkeypatch):
    """The new one has the lock, and writes who it is a moment later."""
    monkeypatch.setattr("keras_deep_rnn.utils.lock._PATIENCE", 60)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale = {"process": ended.pid, "host": socket.gethostname(), "since": "then"}
    path.write_text(json.dumps(stale))
    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def write():
            file.write(json.dumps({"process": os.getpid(), "host": "here", "since": "now"}))
            file.flush()

        timer = threading.Timer(0.2, write)
        timer.start()
        line = refusal(path)
        timer.join()
    assert line == f"'runs/a' is in use by process {os.getpid()} on here since now."


@pytest.mark.parametrize("content", ["", "half", "[1]", '{"process": 1}', "[" * 999])
def test_an_owner_without_a_name(path, content, monkeypatch):
    monkeypatch.setattr("keras_deep_rnn.utils.lock._PATIENCE", 0.05)
    path.write_text(content)
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert refusal(path) == "'runs/a' is in use by another process."


def test_waiting(path, holder):
    lines = []

    def end(line):
        lines.append(line)
        holder.stdin.write("end\n")
        holder.stdin.flush()

    with locked(path, "it", wait=end):
        assert f"process {os.getpid()} on" in refusal(path)
    (line,) = lines
    assert line.startswith(f"it is in use by process {holder.pid} on ")


def test_one_at_a_time(path):
    """Each of many threads takes the lock many times, while the file comes and goes."""
    inside, most, taken = 0, 0, 0

    def work():
        nonlocal inside, most, taken
        for _ in range(100):
            with locked(path, "it", wait=lambda line: None):
                inside += 1
                time.sleep(0.0001)  # lets the others in, if they can come
                most = max(most, inside)
                inside -= 1
                taken += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, taken) == (1, 400)
    assert not path.exists()


def test_an_error_frees_the_lock(path):
    with pytest.raises(ZeroDivisionError), locked(path, "it"):
        raise ZeroDivisionError
    with locked(path, "it"):
        pass


def test_a_file_system_without_locks(path, monkeypatch):
    def unsupported(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(path, "it"), locked(path, "it"):
        pass


def test_a_folder_that_is_not_there(path):
    with pytest.raises(FileNotFoundError), locked(path / "lock", "it"):
        pass

"""The folder of a version: what it may be called, and what a killed export leaves."""

import signal
import subprocess
import sys

import pytest

from keras_deep_rnn.export.model.version import Version
from keras_deep_rnn.utils.errors import UserError

WRITING = """
import sys, time
from keras_deep_rnn.export.model.version import Version
with Version(sys.argv[1], name="bach").written() as folder:
    folder.mkdir()
    (folder / "half").touch()
    print(folder.parent.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writing():
    """Starts processes that are in the middle of an export; gives one and its folder's name."""
    processes = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITING, path], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def folders(path):
    return sorted(folder.name for folder in path.iterdir())


@pytest.mark.parametrize("name", ["bach", "ba*h [1]"])
def test_the_next_export_deletes_what_killed_ones_have_left(name, writing, tmp_path):
    path = tmp_path / name
    dead, left = writing(path)
    alive, in_use = writing(path)
    (tmp_path / f".{name}-settings").mkdir()  # of the user's
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    partial = tmp_path / ".partial"
    assert folders(partial) == sorted([left, in_use])
    with Version(path, name="bach").written() as folder:
        folder.mkdir()
    assert folders(tmp_path) == sorted([name, f".{name}-settings", ".partial"])
    assert folders(partial) == [in_use]
    assert (path / "1").is_dir()
    assert alive.poll() is None


def test_two_exports_that_begin_together(tmp_path):
    """Neither takes the other's folder for one that was left."""
    path = tmp_path / "bach"
    with Version(path, 1).written() as first, Version(path, 2).written() as second:
        first.mkdir()
        second.mkdir()
    assert folders(path) == ["1", "2"]
    assert folders(tmp_path) == ["bach"]


@pytest.mark.parametrize(
    "name", ["", "..", ".hidden", "a/b", "a b", "a\nb", "a\x1b[31m", "é", "a" * 129, 3, None]
)
def test_names_that_no_model_may_have(name, tmp_path):
    """Paths, URLs, terminals or TF Serving's configuration take them for something else."""
    given = {} if name is None else {"name": name}
    with pytest.raises(
        UserError, match="must be a name of letters, digits, .*, at most 128"
    ) as error:
        Version(tmp_path / "two words", **given)
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []

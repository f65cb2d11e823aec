import concurrent.futures
import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from keras_deep_rnn.data import Dataset
from keras_deep_rnn.training import run_folder
from keras_deep_rnn.tuning import Hyperparameter, SearchSpace
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.search.project import BACKUP, JOB, STATE, Project
from keras_deep_rnn.tuning.search.trial import Trial
from keras_deep_rnn.utils.errors import UserError

# What a search begins with.
FOLDER = {"job.json", "logs", "trials"}
# Two states.
FIRST, SECOND = {"n": 1, "text": "é\ud800"}, {"n": 2, "scores": [0.1 + 0.2, None]}


@pytest.fixture
def job(tmp_path):
    space = SearchSpace([Hyperparameter("units", "int", low=8, high=64)])
    return Job("j", "bach_chorales", str(tmp_path / "search"), space, trials=3, epochs=2)


@pytest.fixture
def project(tmp_path, job):
    project = Project(tmp_path / "search")
    with project.lead():
        project.begin(job)
    return project


@pytest.fixture(scope="module")
def forks():
    """A process that runs each line of code that it is given in a fork of itself."""
    script = """
import os, signal, subprocess, sys
from keras_deep_rnn.tuning.search.project import Project
for line in iter(sys.stdin.readline, ""):
    pid = os.fork()
    if not pid:
        exec(line)
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        start_new_session=True,
    )

    def fork(code):
        process.stdin.write(code + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    fork.ended = lambda: process.stdout.readline() == "ended\n"
    yield fork
    os.killpg(process.pid, signal.SIGKILL)
    with process:
        pass


def refused(project, *arguments, **options):
    """The line with which a search is refused."""
    with pytest.raises(UserError) as error, project.lead():
        project.begin(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def content(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_search_begins(tmp_path, job):
    project = Project(tmp_path / "a" / "search")
    project.check()
    assert not project.exists()
    assert not project.path.parent.exists()
    with project.lead():
        project.begin(job)
        assert project.exists()
        assert project.job() == job
        assert project.load() == (None, None)
        assert project.trials() == []
    assert {p.name for p in project.path.iterdir()} == FOLDER
    assert project.path.is_absolute()


def test_a_search_is_there(project, job):
    before = content(project.path)
    line = "holds a search: pass --resume to resume it or --overwrite to replace it."
    assert line in refused(project, job)
    with pytest.raises(UserError, match=line):
        project.check()
    assert "cannot be combined" in refused(project, job, resume=True, overwrite=True)
    other = dataclasses.replace(job, seed=5, trials=9)
    assert refused(project, other, resume=True) == (
        f"`job` must be the one that began the search in {str(project.path)!r}: `seed` was 1, is 5."
    )
    assert content(project.path) == before


def test_resume(project, job):
    more = dataclasses.replace(job, trials=9)
    project.save(FIRST)
    with project.lead():
        project.begin(more, resume=True)
        assert project.job() == more
        assert project.load() == (FIRST, None)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"checksum": "def"}, "the checksum of the data was abc, is def."),
        ({"kind": "words"}, "the kind of the data was characters, is words."),
    ],
)
def test_other_data_is_another_search(tmp_path, job, change, line):
    facts = {"step": "character", "version": "1", "checksum": "abc", "description": ""}
    data = Dataset("text", "characters", {}, **facts)
    project = Project(tmp_path / "search")
    with project.lead():
        project.begin(job, data)
        project.begin(job, data, resume=True)
        before = content(project.path)
        with pytest.raises(UserError, match="`job` must be the one that began") as error:
            project.begin(job, dataclasses.replace(data, **change), resume=True)
        assert str(error.value).endswith(line)
        assert content(project.path) == before


def test_another_backend_is_another_search(project, job, monkeypatch):
    original = run_folder.versions()
    monkeypatch.setattr(run_folder, "versions", lambda: {**original, "backend": "another"})
    line = refused(project, job, resume=True)
    assert line.endswith(f": the backend was {original['backend']}, is another.")


def test_nothing_to_resume(tmp_path, job):
    """A command that is the same after each interruption begins the search."""
    project = Project(tmp_path / "new")
    project.check(resume=True)
    with project.lead():
        project.begin(job, resume=True)
    assert project.job() == job
    with pytest.raises(UserError, match="`job` must be a job file or the folder of a search, got"):
        Project(tmp_path / "none").job()


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("name", ["notes.txt", "logs", JOB, STATE])
def test_something_else_is_there(tmp_path, job, name, options):
    (tmp_path / name).write_text("{}")
    project = Project(tmp_path)
    line = refused(project, job, **options)
    assert "which holds other files." in line or "damaged or of another program" in line
    with pytest.raises(UserError):
        project.check(**options)
    assert content(tmp_path).keys() == {(tmp_path / name).relative_to(tmp_path)}
    assert "got the file" in refused(Project(tmp_path / name), job, **options)


def test_what_killed_processes_leave_is_nothing_else(tmp_path, job):
    project = Project(tmp_path / "search")
    for resume in (False, True):
        left = project / ".partial" / "1-1"
        left.mkdir(parents=True)
        (left / JOB).write_text("half")
        project.check(resume=resume)
        with project.lead():
            project.begin(job, resume=resume)
        assert {p.name for p in project.path.iterdir()} == FOLDER


def test_another_programs_job_is_not_ours(tmp_path):
    ours = '"versions": {"keras_deep_rnn": "0"}'
    for text in ("", "[1]", '"job"', '{"job": {}}', '{"job": {}, "versions": {}}', "[" * 100_000,
                 "\0", f'{{"job": 3, {ours}}}', f'{{"job": "a", {ours}}}'):  # fmt: skip
        (tmp_path / JOB).write_text(text)
        assert not Project(tmp_path).exists()
        with pytest.raises(UserError, match="whose job.json is damaged or of another program"):
            Project(tmp_path).job()


def test_overwrite_takes_only_what_a_search_has_written(project, job):
    outside = project.path.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (project / "logs").rmdir()
    (project / "logs").symlink_to(outside)
    for name in ("trials/0000/0/model.keras", "report/index.html", "best.json"):
        (project / name).parent.mkdir(exist_ok=True, parents=True)
        (project / name).write_text("{}")
    (project / "notes.txt").write_text("mine")
    project.save(FIRST)
    project.save(SECOND)
    with project.lead():
        project.begin(job, overwrite=True)
    assert project.load() == (None, None)
    left = {p.name for p in project.path.iterdir()}
    assert left == FOLDER | {"notes.txt"}
    assert not list((project / "trials").iterdir())
    assert [p.name for p in outside.iterdir()] == ["kept"]


def test_a_begin_that_was_killed(tmp_path, job, monkeypatch):
    """At whichever call it stops, the same command, or --overwrite, begins the search."""
    project, step = Project(tmp_path / "search"), 0
    while True:
        with Stop(monkeypatch, after=step) as stop, project.lead():
            project.begin(job, overwrite=True)
        with project.lead():
            project.begin(job, overwrite=project.exists())
        assert project.job() == job
        if not stop.stopped:
            break
        step += 1
    assert step > 6


class Killed(BaseException):
    """Stands for SIGKILL."""


class Stop:
    """Stops the program at one of its calls of the system, counted from 0.

    As where a process is killed, the files that it has open are closed, and their locks are free.
    """

    CALLS = ("open", "mkdir", "fsync", "replace", "unlink", "rmdir", "close")

    def __init__(self, monkeypatch, after):
        self.monkeypatch, self.left, self.stopped = monkeypatch, after, False
        self.descriptors = set()

    def __enter__(self):
        self.context = self.monkeypatch.context()
        patch = self.context.__enter__()
        for name in self.CALLS:
            patch.setattr(os, name, self.counting(name, getattr(os, name)))
        return self

    def __exit__(self, kind, *error):
        self.context.__exit__(None, None, None)
        for descriptor in self.descriptors:
            os.close(descriptor)
        return kind is Killed

    def counting(self, name, call):
        def counted(*args, **kwargs):
            if self.left == 0:
                self.stopped = True
                raise Killed
            self.left -= 1
            result = call(*args, **kwargs)
            if name == "open":
                self.descriptors.add(result)
            elif name == "close":
                self.descriptors.discard(*args)
            return result

        return counted


def test_one_process_leads(project, job):
    with project.lead():
        line = f"{str(project.path)!r} is in use by process {os.getpid()} on "
        for options in ({}, {"resume": True}, {"overwrite": True}):
            assert refused(project, job, **options).startswith(line)
        assert project.load() == (None, None)  # who does not lead may read
    with project.lead():
        pass


def test_of_many_that_begin_one_leads(tmp_path, job):
    barrier, done, lines = threading.Barrier(8), threading.Event(), []

    def begin():
        project = Project(tmp_path / "search")
        barrier.wait()
        try:
            with project.lead():
                project.begin(job)
                lines.append("leads")
                done.wait(10)
        except UserError as error:
            lines.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10
    while len(lines) < 8 and time.monotonic() < end:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert lines.count("leads") == 1
    assert sum("is in use by" in line for line in lines) == 7


def test_a_lock_ends_with_its_process(project, job, forks, tmp_path):
    """Also when a child of the process lives on."""
    note = tmp_path / "child"
    pid = forks(
        f"project = Project({str(project.path)!r}); lead = project.lead(); lead.__enter__(); "
        f"child = subprocess.Popen(['sleep', '60']); file = open({str(note)!r}, 'w'); "
        "file.write(f'{child.pid} '); file.close(); signal.pause()"
    )
    end = time.monotonic() + 10
    while not (note.exists() and note.read_text().endswith(" ")) and time.monotonic() < end:
        time.sleep(0.01)
    assert f"is in use by process {pid} on" in refused(project, job, overwrite=True)
    os.kill(pid, signal.SIGKILL)
    assert forks.ended()
    os.kill(int(note.read_text()), 0)  # the child is there
    with project.lead():
        project.begin(job, resume=True)
    os.kill(int(note.read_text()), signal.SIGKILL)


def test_save_and_load(project):
    state = {"z": 0.1, "a": 1e-300, "b": [True, None, -0.0, 2**70], "c": {"é\ud800\n": "\0"}}
    for states in ([FIRST], [FIRST, SECOND], [FIRST, SECOND, state]):
        project.save(states[-1])
        assert project.load() == (states[-1], None)
        if len(states) > 1:
            (project / STATE).rename(project.path.parent / "away")
            note = "state.json is missing; continued from state.backup.json."
            assert project.load() == (states[-2], note)
            (project.path.parent / "away").rename(project / STATE)
    assert list(project.load()[0]) == list(state)
    with pytest.raises(ValueError, match="not JSON compliant"):
        project.save({"score": float("nan")})
    assert project.load() == (state, None)


def test_trials(project):
    trials = [Trial("0000", {"units": 8}, {"seed": 3}, 100, score=0.5), Trial("0001", {}, {}, 7)]
    project.save({"trials": [dataclasses.asdict(trial) for trial in trials]})
    assert project.trials() == trials
    for other in ({}, {"trials": 3}, {"trials": [{"id": "0000"}]}, {"trials": [{"new": 1}]}):
        project.save(other)
        with pytest.raises(UserError, match="state.json' was written by another version"):
            project.trials()


def damages(text):
    """Ways in which a file can be wrong."""
    for length in range(len(text)):
        yield text[:length]
    for place in range(len(text)):
        for bit in (0x01, 0x10, 0x20, 0x80):
            yield text[:place] + bytes([text[place] ^ bit]) + text[place + 1 :]
    yield from (b"{}", b"[]", b"3", b"null", b"NaN", b"\0" * len(text), b"\xff\xfe" + text)
    yield from (b"[" * 100_000, b'{"checksum": "", "state": {}}', b'{"state": ' * 5000, text * 2)
    yield b'{"checksum": "0", "state": {"n": NaN}}'
    yield b'{"checksum": [], "state": {"n": 1e999}}'


def test_a_damaged_state(project):
    """The backup is used, or, where the damage changes nothing, the state itself."""
    project.save(FIRST)
    project.save(SECOND)
    text = (project / STATE).read_bytes()
    note = "state.json is damaged; continued from state.backup.json."
    used = 0
    for damaged in damages(text):
        (project / STATE).write_bytes(damaged)
        state, said = project.load()
        assert (state, said) in ((FIRST, note), (SECOND, None)), damaged
        used += said is not None
    assert used > 4 * len(text)


def test_a_sound_backup_is_kept(project):
    """What is damaged does not become the backup, at no moment of the next save."""
    project.save(FIRST)
    project.save(SECOND)
    (project / STATE).write_text("damaged")
    project.save({"n": 3})
    assert project.load() == ({"n": 3}, None)
    (project / STATE).unlink()
    assert project.load()[0] == FIRST


def test_a_folder_in_place_of_the_state(project):
    project.save(FIRST)
    project.save(SECOND)
    (project / STATE).unlink()
    (project / STATE).mkdir()
    assert project.load()[0] == FIRST
    with pytest.raises(UserError, match="Cannot write .*state.json': Is a directory"):
        project.save(SECOND)
    assert project.load()[0] == FIRST


@pytest.mark.parametrize("backup", [None, b"", b"other"])
def test_nothing_is_left(project, backup):
    project.save(FIRST)
    text = (project / STATE).read_bytes()
    if backup is not None:
        (project / BACKUP).write_bytes(backup)
    wrong = "missing" if backup is None else "damaged"
    for length in range(0, len(text) - 1, 7):
        (project / STATE).write_bytes(text[:length])
        with pytest.raises(UserError) as error:
            project.load()
        assert str(error.value) == (
            f"{str(project / STATE)!r} is damaged and state.backup.json is {wrong}: "
            "restore one of them, or restart with --overwrite."
        )


def test_what_cannot_be_read_is_not_damaged(project, monkeypatch):
    project.save(FIRST)
    project.save(SECOND)

    def read_text(path, encoding):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("pathlib.Path.read_text", read_text)
    for read, name in ((project.load, STATE), (project.job, JOB)):
        with pytest.raises(UserError, match=f"Cannot read .*{name}': {os.strerror(errno.EIO)}"):
            read()


def test_a_save_that_was_killed_at_each_step(project, monkeypatch):
    project.save({"n": 0})
    project.save({"n": 1})
    last, step = 1, 0
    while True:
        with Stop(monkeypatch, after=step) as stop:
            project.save({"n": last + 1})
        state, note = project.load()
        assert state["n"] in (last, last + 1)
        assert note is None
        (project / STATE).rename(project / "away")
        assert project.load()[0]["n"] in (last - 1, last)
        (project / "away").rename(project / STATE)
        if not stop.stopped:
            break
        step += 1
        last += 1
        project.save({"n": last})
    assert step > 6


@pytest.mark.parametrize("call", ["mkdir", "fsync", "replace"])
def test_a_full_disk(project, monkeypatch, call):
    project.save(FIRST)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(UserError, match="Cannot write .*state.*': No space left on device"):
            project.save(SECOND)
    assert project.load() == (FIRST, None)
    assert not list(project.path.glob("*.partial"))


@pytest.mark.slow
def test_a_state_survives_sigkill(project, forks, tmp_path):
    acknowledged = tmp_path / "acknowledged"
    project.save({"n": -1})  # so that the first that is acknowledged has one before it
    draw, lasts = random.Random(), []
    code = (
        f"import itertools; project = Project({str(project.path)!r})\n"
        f"file = os.open({str(acknowledged)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
        "for n in itertools.count(project.load()[0]['n'] + 1):\n"
        "    project.save({'n': n, 'padding': 'x' * 50_000}); os.write(file, b'%d\\n' % n)"
    )
    for _ in range(20):
        pid = forks(f"exec({code!r})")
        began, size = time.monotonic(), acknowledged.stat().st_size if lasts else 0
        while not acknowledged.exists() or acknowledged.stat().st_size == size:
            assert time.monotonic() < began + 10
        time.sleep(draw.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        assert forks.ended()
        lasts.append(int(acknowledged.read_text().split()[-1]))
        state, note = project.load()
        assert note is None
        assert state["n"] - lasts[-1] in (0, 1)
        (project / STATE).rename(project / "away")
        assert state["n"] - project.load()[0]["n"] in (0, 1)
        (project / "away").rename(project / STATE)
    assert len(set(lasts)) == 20


@pytest.mark.slow
def test_a_state_is_read_while_it_is_written(project):
    project.save({"n": 0})
    stop = threading.Event()

    def save():
        n = 1
        while not stop.is_set():
            project.save({"n": n})
            n += 1

    thread = threading.Thread(target=save)
    thread.start()
    seen = []
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            state, note = project.load()
            assert note is None
            seen.append(state["n"])
    finally:
        stop.set()
        thread.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 5


def test_what_a_search_has_found_is_read_without_keras(project):
    """By the command, for which the package itself imports nothing."""
    project.save({"trials": [dataclasses.asdict(Trial("0000", {}, {"seed": 3}, 100, score=0.5))]})
    code = (
        "import sys; sys.argv = ['deep-rnn']\n"
        "from keras_deep_rnn.tuning import Hyperparameter, Job, SearchSpace\n"
        "from keras_deep_rnn.tuning.search.project import Project\n"
        f"project = Project({str(project.path)!r})\n"
        "print(project.job().trials, project.trials()[0].score)\n"
        "print({'keras', 'tensorflow', 'keras_tuner'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "3 0.5\nset()\n", result.stdout + result.stderr


def test_attempts(project):
    assert project.attempt_folder("0007", 1).parts == ("trials", "0007", "1")
    assert project.make_attempt("0007") == 0
    for name in ("2", "10", "x", ".partial"):
        (project / "trials" / "0007" / name).mkdir()
    assert project.make_attempt("0007") == 11
    assert project.attempts("0007") == [project / f"trials/0007/{n}" for n in (0, 2, 10, 11)]


def test_no_two_attempts_have_one_folder(project):
    """Of a trial that its lost worker goes on with, on whichever machine."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: project.make_attempt("0001"), range(40)))
    assert sorted(made) == list(range(40))


def test_an_attempt_that_cannot_be_made(project):
    (project / "trials" / "0001").touch()
    with pytest.raises(UserError, match=r"Cannot write .*trials/0001/0'"):
        project.make_attempt("0001")


@pytest.mark.parametrize(
    "id",
    ["", ".", "..", ".a", "../a", "a/b", "/etc/passwd", "a\\b", "a\n", "a\0", "a b", "é", "A" * 65,
     None, 3, ["a"], "A" * 10**6],
)  # fmt: skip
def test_nothing_leaves_the_folder(project, id):
    before = content(project.path.parent)
    for call in (
        lambda: project.attempt_folder(id, 0),
        lambda: project.make_attempt(id),
        lambda: project.attempts(id),
    ):
        with pytest.raises(UserError, match="must be 1 to 64 letters") as error:
            call()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300
    for attempt in ("../..", "/", None, 1.5):
        with pytest.raises((TypeError, ValueError)):
            project.attempt_folder("0000", attempt)
    assert content(project.path.parent) == before


def test_job_json_is_strict(project, job):
    stored = json.loads((project / JOB).read_text(), parse_constant=pytest.fail)
    assert stored["job"] == job.get_config()
    assert "keras_deep_rnn" in stored["versions"]

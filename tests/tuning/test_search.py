"""Whole searches in processes of their own, killed in the middle and gone on with."""

import errno
import functools
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.search.project import Project
from keras_deep_rnn.tuning.search.trial import COMPLETED, ENDED, FAILED, RUNNING, Trial, best_of
from keras_deep_rnn.utils.errors import UserError

pytest.importorskip("keras_tuner")
from keras_deep_rnn.tuning import run_search as search_module
from keras_deep_rnn.tuning.run_search import run_search
from keras_deep_rnn.tuning.search import worker as worker_module
from keras_deep_rnn.tuning.search.attempt import run_attempt
from keras_deep_rnn.tuning.search.chief import Chief
from keras_deep_rnn.tuning.search.wire import Server

COMMAND = str(pathlib.Path(sys.executable).with_name("deep-rnn"))
JOB = """
data = "pieces.npz"
trials = 3
epochs = {epochs}
workers = {workers}
{more}
[settings]
patience = 100
{settings}
[space]
network = ["rnn", "dts_rnn"]
transition_depth = 1
units = [4, 16]
batch_size = 2
"""


def job_file(folder, *, name="job", epochs=2, workers=1, more="", settings=""):
    """A job on twelve short pieces."""
    random = np.random.default_rng(0)
    rolls = {
        f"{split}_{i}": (random.random((8, 88)) < 0.05).astype("uint8")
        for split, count in (("train", 8), ("valid", 2), ("test", 2))
        for i in range(count)
    }
    np.savez(folder / "pieces.npz", **rolls)
    text = JOB.format(epochs=epochs, workers=workers, more=more, settings=settings)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def hear_interrupts():
    """What runs in the background passes on that it does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Started:
    """A command that runs."""

    def __init__(self, folder, *arguments):
        self.output = folder / f"output-{secrets.token_hex(4)}.txt"
        command = [COMMAND, "tune", *map(str, arguments)]
        with open(self.output, "w") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, preexec_fn=hear_interrupts
            )

    def kill(self):
        self.process.kill()
        self.process.wait()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds=120):
        """Exit code and output."""
        try:
            return self.process.wait(seconds), self.output.read_text()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self.output.read_text()) from None


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to pass"
        time.sleep(0.05)


def in_the_middle(project, *, of=1):
    """Whether so many trials have ended and the next one has trained an epoch."""
    trials = project.trials() if project.exists() else []
    running = [trial for trial in trials if trial.status == RUNNING]
    ended = [trial for trial in trials if trial.status in ENDED]
    return len(ended) == of and any(
        (project / trial.folder / "backup.npz").exists() for trial in running
    )


def workers_of(project):
    """Processes of workers of a search."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "worker" in command and str(project.path) in command:
            found.append(process)
    return found


def check_whole(project, count=3):
    """Every trial is there once, completed, and its network has its score."""
    trials = project.trials()
    assert [trial.id for trial in trials] == [f"{i:04d}" for i in range(count)]
    for trial in trials:
        assert trial.status == COMPLETED
        metrics = training.evaluate_run(project / trial.folder, "validation")
        again = metrics["splits"]["validation"]["frame_nll"]
        assert again == pytest.approx(trial.score, rel=1e-6)
    best = json.loads((project / "best.json").read_text())
    assert best["id"] == best_of(trials).id
    wait_for(lambda: not workers_of(project), 60)
    return trials


def results(trials):
    return [(trial.values, trial.settings["seed"], trial.score) for trial in trials]


def test_killed_and_resumed_as_if_nothing_had_happened(tmp_path):
    """The same seed gives the same trials and scores, with an interruption and without."""
    quiet = job_file(tmp_path, name="quiet", epochs=15)
    code, output = Started(tmp_path, "run", quiet).end()
    assert code == 0, output
    expected = check_whole(Project(tmp_path / "quiet"))

    job = job_file(tmp_path, epochs=15)
    project = Project(tmp_path / "job")
    search = Started(tmp_path, "run", job)
    wait_for(lambda: in_the_middle(project))
    search.kill()
    wait_for(lambda: not workers_of(project), 20)
    code, output = Started(tmp_path, "run", job, "--resume").end()
    assert code == 0, output
    trials = check_whole(project)
    assert results(trials) == results(expected)
    assert max(trial.attempt for trial in trials) == 1

    # A finished search has nothing left to do, and another job is refused.
    chief = run_search(Job.read(job), resume=True, log=lambda line: None)
    assert (chief.over, results(project.trials())) == ("finished", results(expected))
    job_file(tmp_path, epochs=16)
    with pytest.raises(UserError, match="`epochs` was 15, is 16"):
        run_search(Job.read(job), resume=True)

    # The best one, trained again from best.json as a run of its own.
    command = json.loads((project / "best.json").read_text())["command"]
    again = ["-m", "keras_deep_rnn", *command.split()[1:], "--out", str(tmp_path / "again")]
    cores = {min(os.sched_getaffinity(0))}
    subprocess.run(
        [sys.executable, *again], check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    )
    score = Run(tmp_path / "again").metrics["splits"]["validation"]["frame_nll"]
    assert score == pytest.approx(best_of(trials).score, rel=1e-6)


def test_interrupted(tmp_path):
    job, project = job_file(tmp_path, epochs=200, workers=2), Project(tmp_path / "job")
    search = Started(tmp_path, "run", job)
    wait_for(lambda: in_the_middle(project, of=0))
    workers_of(project)[0].kill()  # another one takes its place
    wait_for(lambda: max((len(project.attempts(t.id)) for t in project.trials()), default=0) == 2)
    assert len(workers_of(project)) == 2
    search.interrupt()
    code, output = search.end(30)
    assert code == 130
    assert output.splitlines()[-1] == (
        "Error: interrupted; --resume continues a training or a search, "
        "the same command continues experiments."
    )
    assert not workers_of(project)


def test_chief_and_workers_are_killed(tmp_path):
    """A worker that never returns, one that returns under its id, and the chief itself."""
    job, project = job_file(tmp_path, epochs=40), Project(tmp_path / "job")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def chief(*more):
        return Started(tmp_path, "chief", job, "--bind", address, "--lease", 4, *more)

    def worker(id, timeout=60):
        join = ("--connect", address, "--connect-timeout", timeout, "--id", id)
        return Started(tmp_path, "worker", *join)

    lead, first = chief(), worker("first")
    wait_for(lambda: in_the_middle(project, of=0))
    first.kill()
    wait_for(lambda: "worker first was silent for 4 seconds" in lead.output.read_text())
    second = worker("second")
    wait_for(lambda: in_the_middle(project, of=1))
    assert project.trials()[0].worker == "second"
    second.kill()
    second = worker("second")
    wait_for(lambda: in_the_middle(project, of=2))
    lead.kill()
    lead = chief("--resume")
    code, output = lead.end()
    assert code == 0, output
    code, output = second.end()
    assert code == 0, output
    trials = check_whole(project)
    # The trial that ran while there was no chief was not begun again.
    assert [trial.attempt for trial in trials] == [1, 1, 0]
    code, output = worker("late", timeout=1).end()
    assert code == 2
    assert "no answer from" in output
    assert results(project.trials()) == results(trials)


def test_every_trial_fails(tmp_path):
    settings = 'activation = "glu"'  # halves the width of what it is given
    began = time.monotonic()
    code, output = Started(tmp_path, "run", job_file(tmp_path, settings=settings)).end()
    assert (code, time.monotonic() - began < 60) == (3, True), output
    project = Project(tmp_path / "job")
    trials = project.trials()
    assert {trial.status for trial in trials} == {FAILED}
    report = json.loads((project / "report" / "trials.json").read_text())
    assert all("Traceback" in trial["traceback"] for trial in report["trials"])
    assert all("axis size must be divisible by 2" in trial["error"] for trial in report["trials"])
    assert not workers_of(project)


def test_a_trial_goes_on_from_one_that_stopped_early(tmp_path):
    """Hyperband's next round has the result of the last one then, as without the rounds."""
    path = job_file(tmp_path, epochs=8, settings="learning_rate = 0.3\nclipnorm = 5.0")
    path.write_text(path.read_text().replace("patience = 100", "patience = 1"))
    job, hyper = Job.read(path).prepare()
    project = Project(job.project)
    settings = hyper.settings_of({**hyper.space.defaults(), "network": "rnn", "units": 8})

    def result(id, **more):
        folder = f"trials/{id}/0"
        trial = Trial(id, {}, {"data": job.data, **settings, "seed": 7}, 0, folder=folder, **more)
        found = run_attempt(trial, job, project, hyper.dataset, log=lambda line: None)
        return found["score"], found["epochs"], found["best_epoch"]

    whole = result("0000")
    first = result("0001", until=4)
    assert first[1] < 4
    assert result("0002", until=8, continues="trials/0001/0") == first == whole


def test_an_address_in_use_is_told_before_anything_is_replaced(search):
    _, server, project = search
    with pytest.raises(UserError, match="`address` must be free to listen at"):
        run_search(project.job(), workers=0, address=server.address, overwrite=True)
    assert project.exists()


def test_the_error_that_ended_a_search(tmp_path, monkeypatch):
    def write_report(*_):
        raise UserError("Cannot write 'report': No space left on device.")

    job = Job.read(job_file(tmp_path))
    monkeypatch.setattr(search_module, "write_report", write_report)
    monkeypatch.setattr(Chief, "poll", lambda self: self._fail(UserError("Cannot write 'state'.")))
    with pytest.raises(UserError, match="Cannot write 'state'"):
        run_search(job, workers=0, log=lambda line: None)


@pytest.fixture
def search(tmp_path):
    """A chief in this process, behind a server."""
    job, hyper = Job.read(job_file(tmp_path)).prepare()
    project = Project(job.project)
    with project.lead():
        project.begin(job)
        chief = Chief(job, hyper, project, log=lambda line: None)
        server = Server(
            "127.0.0.1:0", chief.handlers, token=project.token(), open_methods=("hello",)
        )
        yield chief, server, project
        server.stop()


class Restarted(BaseException):
    pass


def restart():
    raise Restarted


def worker(server, **more):
    said = []
    more = {"restart": restart, "log": said.append, "connect_timeout": 5.0, **more}
    return worker_module.Worker(server.address, "here", **more), said


def test_a_worker_that_grows_begins_anew(search, monkeypatch):
    chief, server, _ = search
    monkeypatch.setattr(worker_module, "GROWTH", -1)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(Restarted):
        worker(server)[0].run()
    assert [trial.status for trial in chief.trials.values()] == [COMPLETED]


def test_a_worker_that_cannot_write_ends_the_search(search, monkeypatch):
    chief, server, _ = search
    line = "Cannot write .*backup.npz': No space left on device"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(np, "savez", full)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(UserError, match=line):
        worker(server)[0].run()
    assert re.search(line, chief.over)
    assert [trial.status for trial in chief.trials.values()] == [RUNNING]


def test_a_folder_that_is_not_shared_is_refused(search, tmp_path, monkeypatch):
    sees = functools.partialmethod(Project.sees, patience=0.5)
    monkeypatch.setattr(Project, "sees", sees)
    _, server, project = search
    with pytest.raises(UserError, match=r"must be shared by the chief .* and its workers; here: "):
        worker(server, project=tmp_path / "elsewhere")
    # A copy has the token, but what is written into it the chief does not see.
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "token").write_text((project / "token").read_text())
    with pytest.raises(UserError, match="the chief cannot find the file of here in it"):
        worker(server, project=tmp_path / "copy")


def test_nobody_answers():
    with pytest.raises(UserError, match="no answer from 127.0.0.1:9 for 1 seconds"):
        worker_module.Worker("127.0.0.1:9", "a", restart=restart, connect_timeout=1.0)

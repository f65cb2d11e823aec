"""Whole searches in processes of their own, killed in the middle and gone on with."""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import random
import secrets
import signal
import subprocess
import sys
import time

import numpy as np
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
from keras_deep_rnn.tuning.search.attempt import run_attempt, run_trial

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

    def wait_for(self, condition):
        """Waits until something has come to pass while the command runs."""

        def has_come():
            ended = self.process.poll() is not None
            found = condition()
            assert found or not ended, "it ended before"
            return found

        try:
            wait_for(has_come)
        except AssertionError as error:
            raise AssertionError(self.output.read_text()) from error

    def end(self, seconds=120):
        """Exit code and output."""
        try:
            return self.process.wait(seconds), self.output.read_text()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self.output.read_text()) from None


def wait_for(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to pass"
        time.sleep(0.05)


def in_the_middle(project, *, of=1):
    """Whether so many trials have ended, or more, and the next one has trained an epoch."""
    trials = project.trials() if project.exists() else []
    running = [trial for trial in trials if trial.status == RUNNING]
    ended = [trial for trial in trials if trial.status in ENDED]
    return len(ended) >= of and any(
        (project / trial.folder / "backup.npz").exists() for trial in running if trial.folder
    )


def workers_of(project):
    """Ids of the processes that write into the logs of a search."""
    found = []
    for output in pathlib.Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            if str(project / "logs") in os.readlink(output):
                found.append(int(output.parts[2]))
    return found


def listening(pid):
    """Addresses at which a process listens on a network."""
    held = set()
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(os.readlink(descriptor))
    lines = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
    sockets = [line.split() for line in lines.splitlines() if ":" in line.split()[0]]
    return [s[1] for s in sockets if s[3] == "0A" and f"socket:[{s[9]}]" in held]


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


@pytest.mark.process
def test_killed_and_resumed_as_if_nothing_had_happened(tmp_path):
    """The same seed gives the same trials and scores, with an interruption and without."""
    quiet = job_file(tmp_path, name="quiet", epochs=30)
    code, output = Started(tmp_path, "run", quiet).end()
    assert code == 0, output
    expected = check_whole(Project(tmp_path / "quiet"))

    job = job_file(tmp_path, epochs=30)
    project = Project(tmp_path / "job")
    search = Started(tmp_path, "run", job)
    search.wait_for(lambda: in_the_middle(project))
    search.kill()
    wait_for(lambda: not workers_of(project), 20)
    code, output = Started(tmp_path, "run", job, "--resume").end()
    assert code == 0, output
    trials = check_whole(project)
    assert results(trials) == results(expected)
    assert max(trial.attempt for trial in trials) == 1

    # A finished search has nothing left to do, and another job is refused.
    search = run_search(Job.read(job), resume=True, log=lambda line: None)
    assert (search.over, results(project.trials())) == ("finished", results(expected))
    job_file(tmp_path, epochs=31)
    with pytest.raises(UserError, match="`epochs` was 30, is 31"):
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


@pytest.mark.process
def test_interrupted(tmp_path):
    job, project = job_file(tmp_path, epochs=200, workers=2), Project(tmp_path / "job")
    search = Started(tmp_path, "run", job)
    search.wait_for(lambda: in_the_middle(project, of=0))
    os.kill(workers_of(project)[0], signal.SIGKILL)  # another one takes its place
    search.wait_for(
        lambda: max((len(project.attempts(t.id)) for t in project.trials()), default=0) == 2
    )
    search.wait_for(lambda: len(workers_of(project)) == 2)
    assert not any(listening(pid) for pid in [search.process.pid, *workers_of(project)])
    search.interrupt()
    code, output = search.end(30)
    assert code == 130
    assert output.splitlines()[-1] == (
        "Error: interrupted; --resume continues a training or a search, "
        "the same command continues experiments."
    )
    assert not workers_of(project)


@pytest.mark.process
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


@pytest.mark.slow
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


def test_the_error_that_ended_a_search(tmp_path, monkeypatch):
    def write_report(*_):
        raise UserError("Cannot write 'report': No space left on device.")

    def run(self, executor):
        raise UserError("Cannot write 'state'.")

    job = Job.read(job_file(tmp_path))
    monkeypatch.setattr(search_module, "write_report", write_report)
    monkeypatch.setattr(search_module.Search, "run", run)
    with pytest.raises(UserError, match="Cannot write 'state'"):
        run_search(job, log=lambda line: None)


@pytest.fixture
def begun(tmp_path):
    """The arguments of `run_trial` for the first trial of a search."""
    job, hyper = Job.read(job_file(tmp_path)).prepare()
    project = Project(job.project)
    with project.lead():
        project.begin(job)
    values = {**hyper.space.defaults(), "network": "rnn", "units": 4}
    trial = Trial("0000", values, {"data": job.data, **hyper.settings_of(values), "seed": 7}, 0)
    return job.get_config(), dataclasses.asdict(trial), str(project.path)


@pytest.mark.slow
def test_an_attempt_has_a_folder_of_its_own(begun):
    first, second = run_trial(*begun), run_trial(*begun)
    assert [first["folder"], second["folder"]] == ["trials/0000/0", "trials/0000/1"]
    assert first["score"] == second["score"]
    assert first["worker"].endswith(f":{os.getpid()}")


@pytest.mark.slow
def test_random_numbers_of_other_threads_change_nothing(begun, monkeypatch):
    """Keras draws seeds that are not given from the random numbers of Python."""
    first = run_trial(*begun)
    monkeypatch.setattr(random, "randint", random.SystemRandom().randint)
    assert run_trial(*begun)["score"] == first["score"]


@pytest.mark.slow
def test_a_worker_that_cannot_write_is_no_failure_of_the_trial(begun, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="Cannot write .*backup.npz': No space left on device"):
        run_trial(*begun)


def test_a_folder_that_is_not_shared_is_refused(begun, tmp_path):
    config, trial, _ = begun
    with pytest.raises(UserError, match=r"`project` must be shared by all machines: .*:\d+ has no"):
        run_trial(config, trial, str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()

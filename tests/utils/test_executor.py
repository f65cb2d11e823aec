"""Tasks in processes of this machine."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from keras_deep_rnn.utils.errors import ArgumentError, UserError
from keras_deep_rnn.utils.executor import WorkerLost
from keras_deep_rnn.utils.local_executor import LocalExecutor
from keras_deep_rnn.utils.processes import places

pytestmark = pytest.mark.process


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ArgumentError("units", "a positive integer", 0)


def cores():
    return sorted(os.sched_getaffinity(0))


@pytest.fixture
def executor(tmp_path):
    made = []

    def make(*arguments, **options):
        made.append(LocalExecutor(arguments[0], tmp_path / "logs", *arguments[1:], **options))
        return made[-1]

    yield make
    for executor in made:
        executor.stop()


def results(executor, *tasks):
    """Runs tasks, a function and its arguments each, to their ends, and returns their results."""
    keys = [executor.submit(*task) for task in tasks]
    ended = {}
    while len(ended) < len(keys):
        ended |= executor.ended(timeout=10)
    return [ended[key] for key in keys]


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def test_results_and_errors(executor, tmp_path):
    pair = executor(2)
    assert pair.slots() == 2
    first, second = results(pair, (pow, 2, 5), (fail,))
    assert first() == 32
    with pytest.raises(ArgumentError, match="`units` must be a positive integer, got 0"):
        second()
    assert pair.ended(timeout=0.01) == {}
    (printed,) = results(pair, (print, "a line"))
    assert printed() is None
    time.sleep(0.1)
    pair.stop()
    said = [log.read_text() for log in (tmp_path / "logs").iterdir()]
    assert sorted(said) == ["", "a line\n"]


def test_a_killed_process_costs_its_own_task(executor):
    pair = executor(2)
    lost, kept = results(pair, (kill_itself,), (os.getpid,))
    with pytest.raises(WorkerLost, match=r"was killed by signal 9, see .*worker-0.log"):
        lost()
    (again, same) = results(pair, (os.getpid,), (os.getpid,))
    assert kept() in (again(), same())
    # Between two tasks a process can be killed too.
    os.kill(kept(), signal.SIGKILL)
    outcomes = results(pair, (os.getpid,), (os.getpid,))
    with pytest.raises(WorkerLost):
        [outcome() for outcome in outcomes]


def test_a_process_is_replaced_after_some_tasks(executor):
    one = executor(1, tasks=2)
    pids = [results(one, (os.getpid,))[0]() for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert not alive(pids[0])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_cores(executor):
    every = cores()
    first, second = results(executor(2), (cores,), (cores,))
    assert (first(), second()) == (every[::2], every[1::2])
    (alone,) = results(executor(1, 1), (cores,))
    assert alone() == every[:1]


def test_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,7")
    visible = [environment["CUDA_VISIBLE_DEVICES"] for _, environment in places(3, None)]
    assert visible == ["3", "7", "3"]


def test_stopped_in_the_middle(executor):
    one = executor(1)
    pid = results(one, (os.getpid,))[0]()
    one.submit(time.sleep, 600)
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < 10
    assert not alive(pid)


def test_a_process_that_cannot_start(executor, tmp_path):
    one = executor(1)
    (tmp_path / "logs").rmdir()
    with pytest.raises(UserError, match=r"A worker process cannot start; .*worker-0.log says why"):
        one.submit(pow, 2, 2)


def test_processes_end_with_their_parent(tmp_path):
    code = (
        "import os, pathlib, time\n"
        "from keras_deep_rnn.utils.local_executor import LocalExecutor\n"
        f"executor = LocalExecutor(2, pathlib.Path({str(tmp_path)!r}))\n"
        "for _ in range(2): print(*(e() for e in (executor.submit(os.getpid),"
        " executor.ended(9))[1].values()), flush=True)\n"
        "executor.submit(time.sleep, 600)\n"
        "executor.ended(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.1)

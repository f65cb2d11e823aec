"""Tests on a Ray cluster; tests/tuning/test_cluster.py runs them in a network of their own."""

import os
import signal
import time

import pytest
from ray.cluster_utils import Cluster
from test_search import Started, check_whole, in_the_middle, job_file, results

from keras_deep_rnn.tuning.search.project import Project
from keras_deep_rnn.tuning.search.trial import RUNNING
from keras_deep_rnn.utils.errors import ArgumentError, UserError
from keras_deep_rnn.utils.executor import WorkerLost
from keras_deep_rnn.utils.ray_executor import RayExecutor


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A head without cores and a machine with two."""
    os.environ.update(RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0")
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # other tests may fill the memory
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0})
    cluster.add_node(num_cpus=2, num_gpus=0)
    yield cluster
    cluster.shutdown()


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ArgumentError("units", "a positive integer", 0)


def threads():
    """The number of threads that the backend uses."""
    import tensorflow as tf

    return tf.config.threading.get_inter_op_parallelism_threads()


def test_tasks(cluster):
    executor = RayExecutor(cluster.address, most=2)
    assert executor.slots() == 2
    keys = [executor.submit(*task) for task in ((pow, 2, 5), (fail,), (kill_itself,), (threads,))]
    ended = {}
    while len(ended) < len(keys):
        ended |= executor.ended(timeout=10)
    first, second, third, fourth = (ended[key] for key in keys)
    assert (first(), fourth()) == (32, 1)
    with pytest.raises(ArgumentError, match="`units` must be a positive integer, got 0"):
        second()
    with pytest.raises(WorkerLost, match="was lost: WorkerCrashedError"):
        third()
    executor.submit(divmod, 1, 0)
    (result,) = executor.ended(timeout=60).values()
    with pytest.raises(UserError, match="must have the same packages .*ZeroDivisionError"):
        result()
    executor.submit(time.sleep, 600)
    executor.stop()


def test_no_cluster():
    with pytest.raises(ArgumentError, match="`cluster` must be the address of a Ray cluster"):
        RayExecutor("nowhere")


def test_machines_and_searches_are_lost(cluster, tmp_path):
    """The trials and scores are those of a search on one machine that nothing disturbs."""
    quiet = job_file(tmp_path, name="quiet", epochs=40, workers=2)
    code, output = Started(tmp_path, "run", quiet).end()
    assert code == 0, output
    expected = check_whole(Project(tmp_path / "quiet"))

    job, project = job_file(tmp_path, epochs=40), Project(tmp_path / "job")
    arguments = ("run", job, "--resume", "--cluster", cluster.address)
    search = Started(tmp_path, *arguments)
    search.wait_for(lambda: in_the_middle(project, of=0))
    # A machine joins, the other one is lost with all that runs on it.
    first, new = cluster.list_all_nodes()[1], cluster.add_node(num_cpus=1, num_gpus=0)
    cluster.remove_node(first, allow_graceful=False)
    search.wait_for(lambda: any(trial.losses for trial in project.trials()))
    search.wait_for(lambda: in_the_middle(project, of=1))
    search.kill()
    code, output = Started(tmp_path, *arguments).end()
    assert code == 0, output
    trials = check_whole(project)
    assert not [trial for trial in trials if trial.status == RUNNING]
    assert results(trials) == results(expected)
    cluster.remove_node(new)

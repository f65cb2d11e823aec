"""Runs tests/tuning/on_cluster.py: Ray listens on all interfaces, of which there is one then."""

import os
import pathlib
import subprocess
import sys

import loopback
import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's namespaces")
def test_on_a_cluster():
    pytest.importorskip("ray")
    here = pathlib.Path(__file__).parent
    command = [sys.executable, loopback.__file__, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # The workers of the cluster import what a task is from here.
    environment = {
        **os.environ, "PYTEST_ADDOPTS": "", "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join([str(here), *sys.path[1:]]),
    }  # fmt: skip
    result = subprocess.run(
        [*command, str(here / "on_cluster.py")], env=environment, capture_output=True, text=True
    )
    if result.returncode == loopback.NOT_ALLOWED:
        pytest.skip("this system allows no network of its own")
    assert result.returncode == 0, result.stdout + result.stderr

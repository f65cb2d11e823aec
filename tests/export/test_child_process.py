"""A check does not go on after the export that has asked for it was killed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.slow

if sys.platform != "linux" or not importlib.util.find_spec("tensorflow"):
    pytest.skip("needs Linux and TensorFlow", allow_module_level=True)

CHECKING = """
import sys
from keras_deep_rnn.export.checks.check import _start
process = _start("python", sys.argv[1])
print(process.pid, flush=True)
process.communicate()
"""
SERVING = """
import sys
from keras_deep_rnn.export.checks import served_by_binary
from keras_deep_rnn.export.checks.child_process import start
def told(*arguments, **options):
    process = start(*arguments, **options)
    print(process.pid, flush=True)
    return process
served_by_binary.child_process.start = told
with served_by_binary.served_by_binary(sys.argv[1], {"model": "bach", "version": 1}):
    pass
"""


def ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("code", [CHECKING, SERVING], ids=["check", "tensorflow_model_server"])
def test_checks_end_with_the_export(code, tmp_path):
    os.mkfifo(tmp_path / "export.json")  # who reads it waits for ever
    program = tmp_path / "tensorflow_model_server"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    export = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True, env=environment
    )
    check = psutil.Process(int(export.stdout.readline()))
    time.sleep(1)
    assert not ended(check)
    export.send_signal(signal.SIGKILL)
    export.communicate()
    end = time.monotonic() + 20
    while not ended(check) and time.monotonic() < end:
        time.sleep(0.05)
    assert ended(check)

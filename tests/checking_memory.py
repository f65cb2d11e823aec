"""Peak memory of a file that is refused, in a process of its own."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from keras_deep_rnn import data
from keras_deep_rnn.data import local_files
from keras_deep_rnn.utils.errors import UserError
# `getrusage` counts the peak of the parent, too.
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
before = peak()
try:
    data.load(sys.argv[1])
    line = ""
except UserError as error:
    line = str(error)
print(json.dumps([peak() - before, line]))
"""


def peak_megabytes(folder, name, write=None):
    """Reads a file as data.

    Args:
        folder: Where to work.
        name: Name of the file.
        write: Code that writes it, in a process of its own too; None: it is there.

    Returns:
        Megabytes over those of the process before, and the line of the error.
    """
    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    if write is not None:
        subprocess.run([sys.executable, "-c", write], cwd=folder, check=True)
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT, name], cwd=folder, check=True, capture_output=True, text=True
    )
    return json.loads(output.stdout.splitlines()[-1])

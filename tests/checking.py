"""Lets two processes check one export after another, where a user's has two new ones for each.

A new process spends most of its time on the import of TensorFlow. These run the same script, and
can import neither Keras nor the package.
"""

import contextlib
import json
import pathlib
import subprocess
import sys

from keras_deep_rnn.export.checks import check

SCRIPT = pathlib.Path(check.__file__).with_name("check_process.py")
SERVE = """
import contextlib, importlib.util, io, json, sys, traceback
spec = importlib.util.spec_from_file_location("check_process", sys.argv[1])
process = importlib.util.module_from_spec(spec)
spec.loader.exec_module(process)
process.block()
for line in sys.stdin:
    output, errors = io.StringIO(), ""
    with contextlib.redirect_stdout(output):
        try:
            process.main(*json.loads(line))
        except Exception:
            errors = traceback.format_exc()
    print(json.dumps([output.getvalue(), errors]), flush=True)
"""


class Checking:
    """One such process; its `communicate` is that of the processes it stands for."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", SERVE, SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, arguments):
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()

    def communicate(self):
        return json.loads(self._process.stdout.readline() or '["", ""]')

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextlib.contextmanager
def checking():
    """Gives a function that does what `check._start` does."""
    processes = {}

    def start(loader, *arguments):
        if loader not in processes:
            processes[loader] = Checking()
        processes[loader].start([loader, *map(str, arguments)])
        return processes[loader]

    yield start
    for process in processes.values():
        process.close()

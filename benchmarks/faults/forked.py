"""`deep-rnn` in processes that are forked, since the import of TensorFlow takes seconds.

The process that forks has imported everything and started nothing: TensorFlow starts its threads
with its first operation, and no process with threads can be forked. So whatever computes runs in a
child: a command as a `Command`, a function of the benchmark by `in_processes`.
"""

import collections
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import time
import traceback
from typing import NamedTuple

# Commands import these as they run.
IMPORTED = (
    "array_record", "importlib_resources", "matplotlib.figure", "matplotlib.backends.backend_agg",
    "optuna", "pretty_midi", "scipy.io", "tensorflow", "tensorflow_datasets",
    "keras_deep_rnn.cli.main", "keras_deep_rnn.data.builders.builders",
    "keras_deep_rnn.data.local_files", "keras_deep_rnn.data.midi_files",
    "keras_deep_rnn.experiments.results_page", "keras_deep_rnn.experiments.runner",
    "keras_deep_rnn.export.formats.saved_model",
    "keras_deep_rnn.export.testing_server.served_model",
    "keras_deep_rnn.training.sample", "keras_deep_rnn.training.train",
    "keras_deep_rnn.tuning.run_search",
)  # fmt: skip
SECONDS = 180.0  # in which every command must end
processes = multiprocessing.get_context("fork")


def import_all():
    """Imports what the commands import, as they do."""
    from keras_deep_rnn.utils.backend import start_backend

    os.environ["KERAS_BACKEND"] = "tensorflow"  # which alone exports and serves
    # Set before TensorFlow is there: small matrices gain nothing from threads or from XLA.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("KERAS_DEEP_RNN_XLA", "0")
    start_backend()
    for name in IMPORTED:
        importlib.import_module(name)


class Died(NamedTuple):
    """In place of a result: a signal has ended the process of a case."""

    signal: int

    def __str__(self):
        return f"ended by {signal.Signals(self.signal).name}"


def in_processes(function, cases, width):
    """Calls a generator function for each case, in a process of its own.

    Args:
        function: Called with a case; yields results, which can be pickled.
        cases: The cases. More may be appended to a deque while it runs.
        width: Processes at a time.

    Yields:
        (case, result), and (case, `Died`) after those of a process that has died.

    Raises:
        RuntimeError: The function has raised an exception.
    """
    waiting = cases if isinstance(cases, collections.deque) else collections.deque(cases)
    running = {}
    while waiting or running:
        while waiting and len(running) < width:
            case = waiting.popleft()
            receiver, sender = processes.Pipe(duplex=False)
            process = processes.Process(target=_send_all, args=(sender, function, case))
            process.start()
            sender.close()
            running[receiver] = case, process
        for receiver in multiprocessing.connection.wait(list(running)):
            case, process = running[receiver]
            try:
                result = receiver.recv()
            except EOFError:
                process.join()
                del running[receiver]
                receiver.close()
                if process.exitcode:
                    yield case, Died(-process.exitcode)
                continue
            if isinstance(result, _Raised):
                raise RuntimeError(f"{case}: {result.traceback}")
            yield case, result


class _Raised(NamedTuple):
    traceback: str


def _send_all(sender, function, case):
    try:
        for result in function(case):
            sender.send(result)
    except Exception:
        sender.send(_Raised(traceback.format_exc()))


class Ended(NamedTuple):
    """A command that has ended."""

    code: int | None  # negative: the number of a signal; None: killed after `SECONDS`
    output: str
    errors: str
    seconds: float


class Command:
    """A running `deep-rnn`.

    Args:
        words: Its command line.
        folder: Its working folder.
        before: Called in the process before the command.
        environment: Variables for the process and for those that it starts.
    """

    def __init__(self, *words, folder, before=None, **environment):
        self._files = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._start = time.monotonic()
        arguments = list(map(str, words)), folder, before, environment
        self._process = processes.Process(target=self._run, args=arguments)
        self._process.start()

    def _run(self, words, folder, before, environment):
        for number, file in enumerate(self._files, start=1):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment)
        sys.argv = ["deep-rnn", *words]
        # What processes that it spawns begin with.
        sys.modules["__main__"] = importlib.import_module("keras_deep_rnn.__main__")
        if before is not None:
            before()
        sys.modules["keras_deep_rnn.cli.main"].main(words)

    def kill(self):
        """Kills the process alone, as the system does, not those that it has started."""
        self._process.kill()

    @property
    def runs(self):
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def wait(self, seconds=SECONDS):
        """Waits for its end; it is killed after `seconds`."""
        self._process.join(seconds)
        late = self._process.is_alive()
        if late:
            self.kill()
            self._process.join()
        said = []
        for file in self._files:
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
            file.close()
        code = None if late else self._process.exitcode
        return Ended(code, *said, time.monotonic() - self._start)


def deep_rnn(*words, folder, **options):
    """Runs a command to its end."""
    return Command(*words, folder=folder, **options).wait()

"""One process of one framework that makes contestants and times them when the driver says so.

Requests and answers are JSON, one a line, through standard input and output.
"""

import importlib
import json
import os
import resource
import sys
import time

import keras

from .network import Case, loop_of


def memory():
    """Memory of this process in MiB: now, and the most that it ever had."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        return {"now": _mib(fields["VmRSS"]), "peak": _mib(fields["VmHWM"])}
    except OSError:  # not Linux
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale}


def _mib(kib):
    return int(kib.split()[0]) / 1024


class Worker:
    """Answers the requests; each method is one."""

    def __init__(self):
        self.side = importlib.import_module(f".{keras.backend.backend()}_side", __package__)
        self.made = {}

    def facts(self):
        """What is known about the framework and the process, before any work."""
        facts = {"keras": keras.__version__, "numpy": importlib.import_module("numpy").__version__}
        return {**facts, **self.side.facts(), "memory": memory()}

    def make(self, name, case):
        """Makes a contestant; the first run, which compiles, is timed apart."""
        start = time.perf_counter()
        with loop_of(name):
            function, calls = self.side.make(name, Case(**case))
            before, made = memory(), time.perf_counter()
            loss = function()
        first = time.perf_counter() - made
        self.made[name] = function, calls
        # Of the contestant alone, where the framework knows it.
        mib = getattr(function, "mib", lambda: None)()
        return {"made": made - start, "first": first, "loss": loss, "before": before, "mib": mib}

    def time(self, name, warm, steps):
        """Seconds of each of some runs, after some that are not timed."""
        function, calls = self.made[name]
        seconds = []
        with loop_of(name):
            for _ in range(warm + steps):
                start = time.perf_counter()
                function()
                seconds.append((time.perf_counter() - start) / calls)
        return {"seconds": seconds[warm:]}

    def memory(self):
        """The memory of the process."""
        return memory()


def main():
    """Answers requests until standard input ends."""
    # What libraries print goes to the log, not among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # whatever a contestant fails with, the others go on
            sys.excepthook(*sys.exc_info())
            first = (str(error).splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {first}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

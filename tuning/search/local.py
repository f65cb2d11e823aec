"""`LocalWorkers`: the worker processes of one machine, each with its own cores or GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils.errors import UserError
from .project import LOGS

if TYPE_CHECKING:
    from .chief import Chief
    from .project import Project

# Number of starts without a request for a trial after which a worker is not started again.
STARTS = 3
# Seconds between SIGTERM and SIGKILL of a worker.
GRACE = 5.0


class LocalWorkers:
    """Worker processes that are restarted when they die.

    Args:
        count: Number of workers.
        address: "HOST:PORT" of the chief.
        project: The `Project`.
    """

    def __init__(self, count: int, address: str, project: Project) -> None:
        self._address, self._project = address, project
        self._places = dict(zip((f"local-{i}" for i in range(count)), _places(count)))
        self._processes = {}
        self._starts = dict.fromkeys(self._places, 0)
        (project / LOGS).mkdir(exist_ok=True)
        for id in self._places:
            self._start(id)

    def poll(self, chief: Chief) -> None:
        """Reports dead workers to the chief and restarts them.

        Raises:
            UserError: A worker cannot start.
        """
        for id, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self._processes[id]
            if chief.over is not None:
                chief.lost(id, "has exited")
                continue
            if chief.asked(id):
                self._starts[id] = 0
            chief.lost(id, f"was killed by signal {-code}" if code < 0 else f"exited with {code}")
            if self._starts[id] == STARTS:
                log = self._log(id)
                last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                raise UserError(f"Worker {id} cannot start, see {str(log)!r}: {''.join(last)}")
            self._start(id)

    def stop(self) -> None:
        """Ends all workers; their last complete epochs are on the disk."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = {}

    def _log(self, id: str) -> Path:
        return self._project / LOGS / f"{id}.log"

    def _start(self, id: str) -> None:
        self._starts[id] += 1
        options, environment = self._places[id]
        command = [
            *(sys.executable, "-m", "keras_deep_rnn", "tune", "worker", "--connect", self._address),
            *("--id", id, "--project", str(self._project.path), "--parent", str(os.getpid())),
            *options,
        ]
        with open(self._log(id), "ab") as log:
            self._processes[id] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # the chief handles Ctrl-C and ends its workers
            )


def _places(count: int) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Options and environment of each worker: a GPU if there are any, else its share of cores."""
    gpus = _gpus()
    if gpus:
        return [((), {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]}) for i in range(count)]
    if not hasattr(os, "sched_getaffinity"):
        return [((), {})] * count
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[i % len(cores) :: count] for i in range(count)]
    return [(("--cores", ",".join(map(str, share))), {}) for share in shares]


def _gpus() -> list[str]:
    """The available GPUs, as in CUDA_VISIBLE_DEVICES."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(i) for i, line in enumerate(found.stdout.splitlines()) if line.startswith("GPU ")]

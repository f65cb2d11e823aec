"""Processes of this machine: which cores and GPUs each has, and that they end with their parent."""

import os
import shutil
import subprocess
import threading
import time


def end_with(parent: int) -> None:
    """Ends this process when its parent has ended.

    Args:
        parent: Process id of the parent.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def places(count: int, cores: int | None) -> list[tuple[list[int], dict[str, str]]]:
    """Cores and environment of each slot: a GPU if there are any, else some of the cores."""
    gpus = _gpus()
    if gpus:
        return [([], {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]}) for i in range(count)]
    if (count == 1 and cores is None) or not hasattr(os, "sched_getaffinity"):
        return [([], {})] * count
    every = sorted(os.sched_getaffinity(0))
    shares = [every[i % len(every) :: count] for i in range(count)]
    if cores is not None:
        shares = [[every[(i * cores + j) % len(every)] for j in range(cores)] for i in range(count)]
    return [(share, {}) for share in shares]


def _gpus() -> list[str]:
    """The available GPUs, as in CUDA_VISIBLE_DEVICES."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(i) for i, line in enumerate(found.stdout.splitlines()) if line.startswith("GPU ")]

"""Processes that end when the one that has started them does.

Also run by file name, `python -I child_process.py PARENT PROGRAM ARGUMENT...`: it turns into the
program. Python's own way into a new process, `preexec_fn`, may deadlock where there are threads.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

# Of <linux/prctl.h>: the signal that a process gets when the thread that has started it ends.
PR_SET_PDEATHSIG = 1


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Starts a program; on Linux it ends with this process, also if this one is killed.

    Args:
        command: The program and its arguments.
        options: As for `subprocess.Popen`.
    """
    script = [sys.executable, "-I", __file__, str(os.getpid())]
    return subprocess.Popen([*script, *command], **options)


def main(parent: str, *command: str) -> None:
    """Turns this process into a program that ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):  # else it has ended before
        os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Serves a version with `tensorflow_model_server`, where that program is on PATH."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...utils.errors import ServerError, Unreachable, UserError
from ..model.signature_specs import Arrays
from . import child_process
from .check_suite import Rejected, Runner

BINARY = "tensorflow_model_server"
SECONDS = 60


def find_binary() -> str | None:
    """The path of the program; None where it is not there."""
    return shutil.which(BINARY)


@contextlib.contextmanager
def served_by_binary(folder: str | os.PathLike[str], record: dict[str, Any]) -> Iterator[Runner]:
    """Serves a version on loopback; yields the runner of its signatures for `Suite`.

    Args:
        folder: Version folder.
        record: The content of its export.json.

    Raises:
        UserError: The program does not serve the version within a minute.
    """
    from ..client.client import Client

    with tempfile.TemporaryDirectory() as beside:
        name = record["model"]
        base, log = Path(beside, name), Path(beside, "log")
        base.mkdir()
        (base / str(record["version"])).symlink_to(Path(folder).resolve())
        port = _free_port()
        arguments = [f"--port={port}", f"--model_name={name}", f"--model_base_path={base}"]
        with open(log, "w") as output:
            server = child_process.start(
                [find_binary() or BINARY, *arguments], stdout=output, stderr=subprocess.STDOUT
            )
        try:
            address = f"127.0.0.1:{port}"
            _wait_until_available(address, name, server, log)
            with Client(address, name, timeout=SECONDS) as client:

                def run(signature: str, inputs: Arrays) -> Arrays:
                    try:
                        return client.call(signature, **inputs)
                    except UserError as error:
                        raise Rejected(str(error)) from error

                yield run
        finally:
            server.kill()
            server.wait()


def _wait_until_available(
    address: str, name: str, server: subprocess.Popen[bytes], log: Path
) -> None:
    from ..client.client import Client

    end = time.monotonic() + SECONDS
    # A call is retried until its timeout, also when the program has ended.
    with Client(address, name, timeout=1) as client:
        while time.monotonic() < end and server.poll() is None:
            with contextlib.suppress(UserError, ServerError, Unreachable):
                if "AVAILABLE" in client.status().values():
                    return
            time.sleep(0.2)
    said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
    raise UserError(f"check '{BINARY}' failed: it does not serve the version, it says: {said[-1]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

"""`run_search`: leads a search from its start to its report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..utils.errors import UserError
from ..utils.network import check_address
from .report.report import write_report
from .search.chief import LEASE, Chief
from .search.local import LocalWorkers
from .search.project import Project
from .search.wire import Server

if TYPE_CHECKING:
    from .job.job import Job

LOOPBACK = "127.0.0.1:0"
PAUSE = 0.2
# Timeout in seconds for the workers of other machines to leave a search that is over.
FAREWELL = 20.0


def run_search(
    job: Job,
    *,
    workers: int | None = None,
    address: str = LOOPBACK,
    resume: bool = False,
    overwrite: bool = False,
    lease: float = LEASE,
    log: Callable[[str], object] = print,
) -> Chief:
    """Leads a search and writes its report.

    Args:
        job: `Job`.
        workers: Number of workers on this machine; None: that of the job; 0: none, all workers run
            elsewhere and share the project folder.
        address: "HOST:PORT" to listen at.
        resume: Whether to resume the search in the project folder.
        overwrite: Whether to replace it.
        lease: Seconds without a heartbeat after which a worker is lost.
        log: Called with one log line at a time.

    Returns:
        The `Chief`, with `trials`, `over` (why it ended) and `failed`.

    Raises:
        UserError: The job is invalid, or the folder is another job's or led by another process.
        KeyboardInterrupt: Re-raised after the state is saved and the workers have ended.
    """
    project = Project(job.project)
    check_address(address)
    project.check(resume=resume, overwrite=overwrite)
    job, hyper = job.prepare()
    with project.lead():
        project.begin(job, resume=resume, overwrite=overwrite)
        local = workers is None or workers > 0
        chief = Chief(job, hyper, project, log=log, lease=lease, keep_running=not local)
        server = Server(address, chief.handlers, token=project.token(), open_methods=("hello",))
        local_workers = None
        try:
            log(f"Chief at {server.address}, project folder {project.path}")
            if local and chief.over is None:
                count = workers or cast(int, job.workers)
                local_workers = LocalWorkers(count, server.address, project)
            while chief.over is None:
                time.sleep(PAUSE)
                chief.poll()
                if local_workers is not None:
                    local_workers.poll(chief)
            _farewell(chief, local_workers)
            if chief.error is not None:
                raise chief.error
        finally:
            if local_workers is not None:
                chief.stop("interrupted")  # workers elsewhere wait for a resumed chief
                local_workers.stop()
            server.stop()
            with contextlib.suppress(KeyboardInterrupt):
                _report(project, job, chief)
        chief.tidy()
    return chief


def _report(project: Project, job: Job, chief: Chief) -> None:
    """Writes the report of the saved trials; after an error of the chief only if possible."""
    try:
        write_report(project.path, job, project.trials())
    except UserError:
        if chief.error is None:
            raise


def _farewell(chief: Chief, local_workers: LocalWorkers | None) -> None:
    """Waits until the workers have left."""
    end = time.monotonic() + FAREWELL
    while not chief.gone() and time.monotonic() < end:
        time.sleep(PAUSE)
        if local_workers is not None:
            local_workers.poll(chief)

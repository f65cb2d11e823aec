"""A search from its beginning to its report: the chief in this process, workers where they are."""

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
# Seconds for which a search that is over waits for workers of other machines to notice.
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
        workers: Number of workers to start on this machine; None for the job's, 0 for none: they
            come by themselves, from other machines that share the project folder.
        address: "HOST:PORT" to listen at.
        resume: Whether to go on with the search in the project folder.
        overwrite: Whether to replace it.
        lease: Seconds after which a silent worker is given up.
        log: Called with one line at a time.

    Returns:
        The `Chief`, whose trials, `over` (why it ended) and `failed` tell what came out.

    Raises:
        UserError: The job is impossible, the folder is another job's or led by another process.
        KeyboardInterrupt: As it was raised, after the state was saved and the workers ended.
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
        helpers = None
        try:
            log(f"Chief at {server.address}, project folder {project.path}")
            if local and chief.over is None:
                count = workers or cast(int, job.workers)
                helpers = LocalWorkers(count, server.address, project)
            while chief.over is None:
                time.sleep(PAUSE)
                chief.look()
                if helpers is not None:
                    helpers.look(chief)
            _farewell(chief, helpers)
            if chief.error is not None:
                raise chief.error
        finally:
            if helpers is not None:
                chief.stop("interrupted")  # others wait for a chief that comes back
                helpers.stop()
            server.stop()
            with contextlib.suppress(KeyboardInterrupt):
                _report(project, job, chief)
        chief.tidy()
    return chief


def _report(project: Project, job: Job, chief: Chief) -> None:
    """Writes the report of what was saved; where an error has ended the search, if it can."""
    try:
        write_report(project.path, job, project.trials())
    except UserError:
        if chief.error is None:
            raise


def _farewell(chief: Chief, helpers: LocalWorkers | None) -> None:
    """Waits until the workers know that it is over."""
    end = time.monotonic() + FAREWELL
    while not chief.gone() and time.monotonic() < end:
        time.sleep(PAUSE)
        if helpers is not None:
            helpers.look(chief)

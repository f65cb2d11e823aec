"""`run_search`: runs a search from its start to its report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..utils.errors import UserError
from ..utils.executor import Executor
from ..utils.local_executor import LocalExecutor
from ..utils.ray_executor import RayExecutor
from .report.report import write_report
from .search.project import LOGS, Project
from .search.search import Search

if TYPE_CHECKING:
    from .job.job import Job


def run_search(
    job: Job,
    *,
    workers: int | None = None,
    cluster: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log: Callable[[str], object] = print,
) -> Search:
    """Runs a search and writes its report.

    The processes of this machine are spawned: a script that calls this does so below
    `if __name__ == "__main__"`.

    Args:
        job: `Job`.
        workers: Number of trials at a time; None: that of the job, or on a cluster as many as it
            has room for.
        cluster: Address of a Ray cluster, HOST:PORT or "auto", whose machines share the project
            folder. None: this machine alone.
        resume: Whether to resume the search in the project folder, if there is one.
        overwrite: Whether to replace it.
        log: Called with one log line at a time.

    Returns:
        The `Search`, with `trials`, `over` (why it ended) and `failed`.

    Raises:
        UserError: The job is invalid, or the folder is another job's or led by another process.
        KeyboardInterrupt: Re-raised after the workers have ended.
    """
    project = Project(job.project)
    project.check(resume=resume, overwrite=overwrite)
    job, hyper = job.prepare()
    with project.lead():
        project.begin(job, hyper.dataset, resume=resume, overwrite=overwrite)
        search = Search(job, hyper, project, log=log)
        log(f"Project folder {project.path}")
        executor = _executor(job, project, workers, cluster) if search.over is None else None
        done = False
        try:
            if executor is not None:
                search.run(executor)
            done = True
        finally:
            if executor is not None:
                executor.stop()
            # What has ended the search is the error to show.
            with contextlib.nullcontext() if done else contextlib.suppress(UserError):
                write_report(project.path, job, project.trials())
        search.tidy()
    return search


def _executor(job: Job, project: Project, workers: int | None, cluster: str | None) -> Executor:
    if cluster is None:
        count = workers or cast(int, job.workers)
        return LocalExecutor(count, project / LOGS, job.cpus_per_trial)
    return RayExecutor(cluster, job.cpus_per_trial or 1, job.gpus_per_trial, workers)

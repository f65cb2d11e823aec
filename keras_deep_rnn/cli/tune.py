"""The commands `deep-rnn tune`. Each imports what it needs, so that --help is quick."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..utils.backend import start_backend
from ..utils.errors import ArgumentError, Words, argument_is
from .console import say, say_aside, show_json, show_table
from .options import JSON, Command, argument, flag, path, text, whole

if TYPE_CHECKING:
    from ..tuning.job.job import Job
    from ..tuning.search.project import Project
    from ..tuning.search.trial import Trial

tune_app = typer.Typer(help="Searches for the network: which variant, how deep, how wide.")

A_JOB = "Job file (.toml)."
A_SEARCH = "Job file, or the project folder of its search."
RESUME = "Continue the search in the project folder, if there is one."
OVERWRITE = "Replace the search in the project folder."
# Exit code of a search that failures have ended, or that nothing came out of.
FAILED = 3


@tune_app.command(cls=Command, epilog="Example: deep-rnn tune run job.toml --workers 2")
def run(
    job: Annotated[str, argument(A_JOB)],
    workers: Annotated[
        int | None, whole("Trials at a time.", default="the job's; all that fit on a cluster")
    ] = None,
    cluster: Annotated[
        str | None, text("Ray cluster to run on: HOST:PORT, or auto.", default="this machine")
    ] = None,
    resume: Annotated[bool, flag("--resume", RESUME)] = False,
    overwrite: Annotated[bool, flag("--overwrite", OVERWRITE)] = False,
) -> None:
    """Searches on this machine, each trial on cores or a GPU of its own, or on a cluster."""
    if workers is not None and workers < 1:
        raise ArgumentError("workers", "a positive integer", Words(workers))
    start_backend()
    from ..tuning.job.job import Job
    from ..tuning.run_search import run_search

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a cluster ends a job
    found = run_search(
        Job.read(job),
        workers=workers,
        cluster=cluster,
        resume=resume,
        overwrite=overwrite,
        log=say,
    )
    _, search, trials = _search(job)
    _show(search, trials)
    say(f"Search {found.over}")
    if found.failed:
        raise typer.Exit(FAILED)


@tune_app.command(cls=Command, epilog="Example: deep-rnn tune status job.toml")
def status(
    job: Annotated[str, argument(A_SEARCH)],
    as_json: Annotated[bool, flag("--json", JSON)] = False,
) -> None:
    """Shows how far a search is, also while it runs."""
    _, search, trials = _search(job)
    _show(search, trials, as_json=as_json)


@tune_app.command(cls=Command, epilog="Example: deep-rnn tune report job.toml")
def report(
    job: Annotated[str, argument(A_SEARCH)],
    figures: Annotated[
        Path | None,
        path("Folder for pictures and a table of Markdown to show in a document.", default="none"),
    ] = None,
    optuna: Annotated[
        Path | None,
        path("Optuna storage, an SQLite file, to write the trials to.", default="none"),
    ] = None,
    as_json: Annotated[bool, flag("--json", JSON)] = False,
) -> None:
    """Writes the report of a search: CSV, JSON, a page with charts, TensorBoard's HParams."""
    project, search, trials = _search(job)
    start_backend()
    from ..tuning.report.matplotlib_charts import write_pictures
    from ..tuning.report.report import write_report

    write_report(project.path, search, trials)
    if figures is not None:
        write_pictures(figures, search, trials)
    if optuna is not None:
        from ..tuning.report.optuna_storage import write_optuna

        with argument_is("path", "optuna"):
            number = write_optuna(optuna, project.path, search, trials)
        say_aside(f"Wrote {number} trials: optuna-dashboard sqlite:///{optuna}")
    _show(search, trials, as_json=as_json)


@tune_app.command(cls=Command, epilog="Example: deep-rnn tune export job.toml --out served/best")
def export(
    job: Annotated[str, argument(A_SEARCH)],
    out: Annotated[
        Path | None,
        path("Folder in which a numbered version is made.", default="served in the project folder"),
    ] = None,
    version: Annotated[int | None, whole("Its number.", default="the next free one")] = None,
) -> None:
    """Writes the best network as a SavedModel for TensorFlow Serving and checks it."""
    from ..tuning.search.trial import best_of

    project, _, trials = _search(job)
    best = best_of(trials)
    if best is None:
        raise ArgumentError("job", "a search with a completed trial", str(project.path))
    start_backend()
    from ..export import export_run

    with argument_is("path", "out"):
        written = export_run(project / str(best.folder), out or project / "served", version=version)
    say(f"Wrote {written}: trial {best.id}, score {best.score:.4f}")


@tune_app.command(cls=Command, epilog="Example: deep-rnn tune schema --out job.schema.json")
def schema(
    out: Annotated[
        Path, path("JSON file to write; `#:schema FILE` at the top of a job file names it.")
    ] = Path("job.schema.json"),
) -> None:
    """Writes the JSON schema of job files, with which an editor completes and checks them."""
    from ..tuning.job.schema import job_schema
    from ..utils.files import write_json

    write_json(out, job_schema())
    say(f"Wrote {out}")


def _search(job: str) -> "tuple[Project, Job, list[Trial]]":
    """The `Project`, `Job` and trials of a search, by its job file or by its folder."""
    from ..tuning.job.job import Job
    from ..tuning.search.project import Project

    project = Project(job if os.path.isdir(job) else Job.read(job).project)
    if not os.path.lexists(project.path):
        raise ArgumentError("job", "a search that has begun", str(project.path))
    return project, project.job(), project.trials()


def _show(search: "Job", trials: "list[Trial]", *, as_json: bool = False) -> None:
    from ..tuning.search.summary import records, table

    if as_json:
        show_json(records(search, trials))
        return
    title, columns, rows, notes = table(search, trials)
    show_table(title, columns, rows, drop=("seed", "seconds", "epochs", "parameters"))
    for note in notes:
        say(note)

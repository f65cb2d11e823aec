"""The commands `deep-rnn reproduce`. Each imports what it needs, so that --help is quick."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..utils.backend import start_backend
from .console import show_table
from .options import BY_HAND, PREPARED, Command, flag, path, text, whole
from .options import sizes as whole_numbers

reproduce_app = typer.Typer(help="The paper's experiments: trained, measured, and reported.")

TASK = "nottingham, jsb_chorales or musedata; else all."
NETWORK = "One row of the table, such as dots_rnn; else all."
RECIPE = "paper or modern; else both."
SEED = "Seeds in place of the experiment's own."
JOBS = "Trainings at a time; else 1."
RUNS = "Folder of the run folders."
RESULTS = "Folder of the records."
OVERWRITE = "Train anew what has been trained."
MEASURE = "Train nothing; measure what unfinished runs have reached."
LIST = "Only show what has been run."


@reproduce_app.command(
    cls=Command,
    epilog="Example: deep-rnn reproduce music --task jsb_chorales --network rnn --data-path DIR",
)
def music(
    task: Annotated[str | None, text(TASK)] = None,
    network: Annotated[str | None, text(NETWORK)] = None,
    recipe: Annotated[str | None, text(RECIPE)] = None,
    seed: Annotated[tuple | None, whole_numbers(SEED)] = None,
    jobs: Annotated[int, whole(JOBS)] = 1,
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
    runs: Annotated[Path, path(RUNS)] = Path("runs/reproduce"),
    results: Annotated[Path, path(RESULTS)] = Path("results"),
    overwrite: Annotated[bool, flag("--overwrite", OVERWRITE)] = False,
    measure_only: Annotated[bool, flag("--measure-only", MEASURE)] = False,
    list: Annotated[bool, flag("--list", LIST)] = False,
) -> None:
    """Polyphonic music: Nottingham, JSB Chorales and MuseData."""
    _run(**locals(), group="music")


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce characters --network rnn --data-path DIR"
)
def characters(
    network: Annotated[str | None, text(NETWORK)] = None,
    recipe: Annotated[str | None, text(RECIPE)] = None,
    seed: Annotated[tuple | None, whole_numbers(SEED)] = None,
    jobs: Annotated[int, whole(JOBS)] = 1,
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
    runs: Annotated[Path, path(RUNS)] = Path("runs/reproduce"),
    results: Annotated[Path, path(RESULTS)] = Path("results"),
    overwrite: Annotated[bool, flag("--overwrite", OVERWRITE)] = False,
    measure_only: Annotated[bool, flag("--measure-only", MEASURE)] = False,
    list: Annotated[bool, flag("--list", LIST)] = False,
) -> None:
    """The characters of the Penn Treebank."""
    _run(**locals(), group="characters")


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce words --recipe modern --data-path DIR"
)
def words(
    network: Annotated[str | None, text(NETWORK)] = None,
    recipe: Annotated[str | None, text(RECIPE)] = None,
    seed: Annotated[tuple | None, whole_numbers(SEED)] = None,
    jobs: Annotated[int, whole(JOBS)] = 1,
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
    runs: Annotated[Path, path(RUNS)] = Path("runs/reproduce"),
    results: Annotated[Path, path(RESULTS)] = Path("results"),
    overwrite: Annotated[bool, flag("--overwrite", OVERWRITE)] = False,
    measure_only: Annotated[bool, flag("--measure-only", MEASURE)] = False,
    list: Annotated[bool, flag("--list", LIST)] = False,
) -> None:
    """The words of the Penn Treebank."""
    _run(**locals(), group="words")


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce report --out docs/results.md"
)
def report(
    results: Annotated[Path, path(RESULTS)] = Path("results"),
    out: Annotated[
        Path, path("Markdown file to write; its pictures lie in a folder of its name.")
    ] = Path("docs/results.md"),
) -> None:
    """Writes the page of results, published and measured side by side, from the records."""
    start_backend()
    from ..experiments import results_page as page

    for written in page.write(results, out):
        typer.echo(f"Wrote {written}")


def _run(
    group: str,
    task: str | None = None,
    network: str | None = None,
    recipe: str | None = None,
    seed: tuple[int, ...] | None = None,
    *,
    list: bool,
    data_path: Path | None,
    data_dir: Path | None,
    results: Path,
    **options: Any,
) -> None:
    start_backend()
    from ..experiments import experiment, runner
    from ..experiments import results_page as page

    chosen = experiment.select(group, task=task, network=network, recipe=recipe)
    if not list:
        runner.reproduce(
            chosen,
            results=results,
            seeds=seed,
            places={"data_path": data_path, "data_dir": data_dir},
            log=typer.echo,
            **options,
        )
    columns, rows = page.overview(results, chosen)
    show_table("", columns, rows)

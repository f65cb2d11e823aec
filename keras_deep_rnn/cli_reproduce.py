"""The commands `deep-rnn reproduce`. Each imports what it needs, so that --help is quick."""

from pathlib import Path

import typer

from .console import show_table, start_backend
from .options import Command, flag, path, text, whole
from .options import sizes as whole_numbers

reproduce_app = typer.Typer(help="The paper's experiments: trained, measured, and reported.")

TASK = "nottingham, jsb_chorales or musedata; else all."
NETWORK = "One row of the table, such as dots_rnn; else all."
RECIPE = "paper or modern; else both."
SEED = "Seeds in place of the experiment's own."
JOBS = "Trainings at a time; else 1."
BY_HAND = "Folder of files that were downloaded by hand."
PREPARED = "Folder of prepared data; else the one of TensorFlow Datasets."
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
    task: text(TASK) = None,
    network: text(NETWORK) = None,
    recipe: text(RECIPE) = None,
    seed: whole_numbers(SEED) = None,
    jobs: whole(JOBS) = 1,
    data_path: path(BY_HAND) = None,
    data_dir: path(PREPARED) = None,
    runs: path(RUNS) = Path("runs/reproduce"),
    results: path(RESULTS) = Path("results"),
    overwrite: flag("--overwrite", OVERWRITE) = False,
    measure_only: flag("--measure-only", MEASURE) = False,
    list: flag("--list", LIST) = False,
):
    """Polyphonic music: Nottingham, JSB Chorales and MuseData."""
    _run(**locals(), group="music")


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce characters --network rnn --data-path DIR"
)
def characters(
    network: text(NETWORK) = None,
    recipe: text(RECIPE) = None,
    seed: whole_numbers(SEED) = None,
    jobs: whole(JOBS) = 1,
    data_path: path(BY_HAND) = None,
    data_dir: path(PREPARED) = None,
    runs: path(RUNS) = Path("runs/reproduce"),
    results: path(RESULTS) = Path("results"),
    overwrite: flag("--overwrite", OVERWRITE) = False,
    measure_only: flag("--measure-only", MEASURE) = False,
    list: flag("--list", LIST) = False,
):
    """The characters of the Penn Treebank."""
    _run(**locals(), group="characters")


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce words --recipe modern --data-path DIR"
)
def words(
    network: text(NETWORK) = None,
    recipe: text(RECIPE) = None,
    seed: whole_numbers(SEED) = None,
    jobs: whole(JOBS) = 1,
    data_path: path(BY_HAND) = None,
    data_dir: path(PREPARED) = None,
    runs: path(RUNS) = Path("runs/reproduce"),
    results: path(RESULTS) = Path("results"),
    overwrite: flag("--overwrite", OVERWRITE) = False,
    measure_only: flag("--measure-only", MEASURE) = False,
    list: flag("--list", LIST) = False,
):
    """The words of the Penn Treebank."""
    _run(**locals(), group="words")


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce report --out docs/results.md"
)
def report(
    results: path(RESULTS) = Path("results"),
    out: path("Markdown file to write; its pictures lie in a folder of its name.") = Path(
        "docs/results.md"
    ),
):
    """Writes the page of results, published and measured side by side, from the records."""
    start_backend()
    from .experiments import page

    for written in page.write(results, out):
        typer.echo(f"Wrote {written}")


def _run(group, task=None, network=None, recipe=None, seed=None, *, list, data_path, data_dir,
         results, **options):  # fmt: skip
    start_backend()
    from .experiments import experiment, page, runner

    chosen = experiment.select(group, task=task, network=network, recipe=recipe)
    if not list:
        runner.reproduce(
            chosen,
            results=results,
            seeds=seed,
            places={"data_path": data_path, "data_dir": data_dir},
            say=typer.echo,
            **options,
        )
    columns, rows = page.overview(results, chosen)
    show_table("", columns, rows)

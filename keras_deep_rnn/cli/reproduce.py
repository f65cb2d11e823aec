"""The commands `deep-rnn reproduce`. Each imports what it needs, so that --help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from ..utils.backend import start_backend
from .console import say, say_aside, show_json, show_table
from .options import DATA_DIR, JSON, MANUAL_DIR, Command, flag, path, sizes, text, whole

reproduce_app = typer.Typer(help="The paper's experiments: trained, measured, and reported.")

RESULTS = "Folder of the records."
# Each group of experiments: what its command says of itself, and an example.
GROUPS = {
    "music": (
        "Polyphonic music: Nottingham, JSB Chorales and MuseData.",
        "--task jsb_chorales --network rnn --manual-dir DIR",
    ),
    "characters": ("The characters of the Penn Treebank.", "--network rnn --manual-dir DIR"),
    "words": ("The words of the Penn Treebank.", "--recipe modern --manual-dir DIR"),
}


def rows(incomplete: str) -> list[str]:
    """The networks of the paper's tables, for completion."""
    from ..experiments.published import NETWORKS

    return list(NETWORKS)


def reproduce(
    context: typer.Context,
    task: Annotated[
        str | None, text("Data set, such as jsb_chorales.", default="all of the group")
    ] = None,
    network: Annotated[
        str | None,
        text("Row of the table, such as dots_rnn.", default="all", complete=rows),
    ] = None,
    recipe: Annotated[str | None, text("paper or modern.", default="both")] = None,
    seed: Annotated[tuple | None, sizes("Seeds.", default="the experiment's own")] = None,
    jobs: Annotated[int, whole("Trainings at a time.")] = 1,
    cluster: Annotated[
        str | None, text("Ray cluster to run on: HOST:PORT, or auto.", default="this machine")
    ] = None,
    manual_dir: Annotated[Path | None, path(MANUAL_DIR)] = None,
    data_dir: Annotated[Path | None, path(DATA_DIR)] = None,
    runs: Annotated[Path, path("Folder of the run folders.")] = Path("runs/reproduce"),
    results: Annotated[Path, path(RESULTS)] = Path("results"),
    overwrite: Annotated[bool, flag("--overwrite", "Train again what has been trained.")] = False,
    measure_only: Annotated[
        bool,
        flag("--measure-only", "Train nothing; measure unfinished runs with their best weights."),
    ] = False,
    ensemble: Annotated[
        bool, flag("--ensemble", "Also measure the seeds of an experiment together.")
    ] = False,
    only_list: Annotated[bool, flag("--list", "Only show what has been run.")] = False,
    as_json: Annotated[bool, flag("--json", JSON)] = False,
) -> None:
    """Trains, measures and shows the experiments of the group that the command is named after."""
    start_backend()
    from ..experiments import experiment, published, records, results_page, runner

    group = str(context.info_name)
    chosen = experiment.select(group, task=task, network=network, recipe=recipe)
    if not only_list:
        runner.reproduce(
            chosen,
            runs=runs,
            results=results,
            seeds=seed,
            jobs=jobs,
            cluster=cluster,
            folders={"manual_dir": manual_dir, "data_dir": data_dir},
            overwrite=overwrite,
            measure_only=measure_only,
            ensemble=ensemble,
            log=say_aside if as_json else say,
        )
    if as_json:
        show_json([
            {
                "experiment": one.name,
                "published": published.PUBLISHED[one.task].get(one.network),
                "record": records.read(results, one.name),
            }
            for one in chosen
        ])  # fmt: skip
    else:
        show_table("", *results_page.overview(results, chosen), drop=("validation",))


for group, (help, example) in GROUPS.items():
    reproduce_app.command(
        group, cls=Command, help=help, epilog=f"Example: deep-rnn reproduce {group} {example}"
    )(reproduce)


@reproduce_app.command(
    cls=Command, epilog="Example: deep-rnn reproduce report --out docs/results.md"
)
def report(
    results: Annotated[Path, path(RESULTS)] = Path("results"),
    out: Annotated[
        Path, path("Markdown file to write; its pictures lie in a folder of its name.")
    ] = Path("docs/results.md"),
) -> None:
    """Writes the page of results, published and measured side by side, from the records.

    The cards of the networks whose weights lie beside the records go to models.md beside it.
    """
    start_backend()
    from ..experiments import model_cards, results_page

    cards = model_cards.write(results, out.with_name("models.md"))
    for written in [*results_page.write(results, out), cards]:
        say(f"Wrote {written}")

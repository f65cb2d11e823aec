"""The command `deep-rnn inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..utils.backend import start_backend
from ..utils.errors import NOTHING, ArgumentError, argument_is
from .console import say, show_table
from .options import A_RUN, DATA_DIR, MANUAL_DIR, argument, path, run_folders, text, whole

if TYPE_CHECKING:
    from ..training.inspection import Inspection

EXAMPLE = "Example: deep-rnn inspect runs/bach --split validation --out bach-inspected"


def inspect(
    model: Annotated[str, argument(f"{A_RUN}, or a .keras file.", run_folders)],
    split: Annotated[str, text("train, validation or test.")] = "validation",
    out: Annotated[
        Path | None, path("Folder to write to.", default="inspection in the run's folder")
    ] = None,
    data: Annotated[
        str | None, text("Where the data of the run is now; required for a .keras file.")
    ] = None,
    manual_dir: Annotated[Path | None, path(MANUAL_DIR)] = None,
    data_dir: Annotated[Path | None, path(DATA_DIR)] = None,
    rows: Annotated[int, whole("The most pieces, or parts of a text, in the batch.")] = 8,
    steps: Annotated[int, whole("The most time steps of the batch.")] = 100,
) -> None:
    """Looks inside a recurrent network: gradients through time, saturation, states, Jacobians.

    On a batch of its data without dropout; tables, and a page inspect.html with pictures. The loss
    is that of the training; of a .keras file half the mean square of its outputs.
    """
    start_backend()
    from ..experiments.trained import path_of
    from ..training import plots
    from ..training.inspection import page, run_inspection
    from ..training.packed_run import unpacked

    plots.require()
    with argument_is("run", "model"):
        path = path_of(model)
    of_file = path.is_file()
    if of_file and out is None:
        raise ArgumentError("out", "given for a file, which is no folder", NOTHING)
    size: dict[str, Any] = {"rows": rows, "steps": steps}
    places: dict[str, Any] = {"manual_dir": manual_dir, "data_dir": data_dir}
    if Path(model).suffix == ".keras":
        from ..data import load
        from ..export import load_keras_file

        if data is None:
            raise ArgumentError("data", "given for a .keras file, which has none", NOTHING)
        network = load_keras_file(model)
        found = run_inspection.inspect_on(network, load(data, **places), split, **size)
    else:
        with argument_is("run", "model"), unpacked(path) as folder:
            network, found = run_inspection.inspect_run(folder, split, data=data, **size, **places)
    _show(found)
    title = f"{Path(model).name}: inside, on the {split} split"
    for file in page.write_inspection(network, found, out or path / "inspection", title):
        say(f"Wrote {file}")


def _show(found: "Inspection") -> None:
    from ..training.inspection import page

    show_table("Recurrent layers", page.LAYER_COLUMNS, page.layer_rows(found))
    say("back: how much of the last step's gradient is left so many steps back.")
    say("largest s. v.: of dh(t)/dh(t-1), over the steps of one row.")
    say("")
    columns = page.WEIGHT_COLUMNS
    show_table("Weights", columns, page.weight_rows(found), drop=("shape", "ratio"))
    for name in found.skipped:
        say(f"Not inspected: {name}")
    for line in found.advice:
        say(line)

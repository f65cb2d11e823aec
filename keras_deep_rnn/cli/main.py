"""The command line `deep-rnn`. Each command imports what it needs, so that --help is quick."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..utils.backend import start_backend
from ..utils.errors import DivergedError, UserError, argument_is
from .console import progress, show_table
from .options import Command, argument, flag, path, real, sizes, text, whole
from .reproduce import reproduce_app
from .serve import register as register_serve
from .tune import tune_app

app = typer.Typer(
    name="deep-rnn",
    help="Deep recurrent networks (arXiv:1312.6026): from music or text to a served model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Data sets: what is there, what it needs, where it lies.")
app.add_typer(data_app, name="data", no_args_is_help=True)
app.add_typer(tune_app, name="tune", no_args_is_help=True)
app.add_typer(reproduce_app, name="reproduce", no_args_is_help=True)

BY_HAND = "Folder of files that were downloaded by hand."
PREPARED = "Folder of prepared data; else the one of TensorFlow Datasets."
A_RUN = "Folder of a finished run."
# Groups of the options of `train` in its help.
RUN, NET, REG, OPT = "Run", "Network", "Regularization", "Optimization"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"deep-rnn {__version__}")
        raise typer.Exit()


@app.callback()
def before_commands(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """The options that stand before a command."""


@data_app.command("list", cls=Command, epilog="Example: deep-rnn data list")
def data_list(data_dir: Annotated[Path | None, path(PREPARED)] = None) -> None:
    """Lists the data sets that have a name."""
    from .. import data

    rows = []
    for name in data.names():
        found = data.describe(name, data_dir=data_dir)
        place = found["folder"] if found["prepared"] else "not prepared yet"
        rows.append([name, found["kind"], found["needs"], place])
    show_table("", ["name", "kind", "needs", "where it lies"], rows)
    typer.echo(
        "Your own: the path of a folder of MIDI files, of .npz or .mat piano-rolls, or of a text."
    )


@data_app.command(
    "prepare",
    cls=Command,
    epilog="Example: deep-rnn data prepare jsb_chorales --data-path ~/Downloads",
)
def data_prepare(
    name: Annotated[str, argument("Name of a data set.")],
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
) -> None:
    """Makes a data set ready, so that training starts at once."""
    from .. import data

    dataset = data.load(name, data_path=data_path, data_dir=data_dir)
    rows = [
        [split, f"{len(sequences):,}", f"{sum(len(part) for part in sequences):,}"]
        for split, sequences in dataset.splits.items()
    ]
    show_table(dataset.description, ["split", "sequences", f"{dataset.step}s"], rows)


@app.command(
    cls=Command,
    epilog="Example: deep-rnn train --data bach_chorales --network dots_rnn --units 400 "
    "--transition-units 400 --output-units 400 --out runs/bach",
)
def train(
    context: typer.Context,
    data: Annotated[str | None, text("Name of a data set, or path of your own.", RUN)] = None,
    data_path: Annotated[str | None, text(BY_HAND, RUN)] = None,
    data_dir: Annotated[str | None, text(PREPARED, RUN)] = None,
    out: Annotated[Path | None, path("Run folder to make; else runs/DATA.", RUN)] = None,
    resume: Annotated[
        bool, flag("--resume", "Go on with the interrupted run in --out.", RUN)
    ] = False,
    overwrite: Annotated[bool, flag("--overwrite", "Replace the run in --out.", RUN)] = False,
    seed: Annotated[int | None, whole("Seed of weights, dropout and order; else 1.", RUN)] = None,
    tensorboard: Annotated[
        bool, flag("--tensorboard", "Also write logs for TensorBoard.", RUN)
    ] = False,
    network: Annotated[
        str | None,
        text(
            "rnn, deep_input_rnn, dt_rnn, dts_rnn, do_rnn, dot_rnn, dots_rnn, srnn, "
            "fast_dropout_rnn, rhn, dt_gru, dt_lstm, gru, lstm.",
            NET,
        ),
    ] = None,
    units: Annotated[
        int | None, whole("Width of h; else the sizes of the paper's Table 1.", NET)
    ] = None,
    input_units: Annotated[tuple | None, sizes("Layers before the recurrence.", NET)] = None,
    transition_units: Annotated[
        tuple | None, sizes("Intermediate layers of the transition.", NET)
    ] = None,
    output_units: Annotated[tuple | None, sizes("Layers of the deep output.", NET)] = None,
    levels: Annotated[int | None, whole("Levels of srnn.", NET)] = None,
    depth: Annotated[
        int | None, whole("Gated layers in the transition of rhn, dt_gru, dt_lstm; else 2.", NET)
    ] = None,
    input_to: Annotated[
        str | None, text("Input to the first transition layer or to all.", NET)
    ] = None,
    skip: Annotated[
        str | None, text("Between levels of srnn: residual or all_to_output.", NET)
    ] = None,
    activation: Annotated[
        str | None, text("Of the recurrence: Keras's, maxout or lp_unit; else tanh.", NET)
    ] = None,
    output_activation: Annotated[
        str | None, text("Of the deep output; else relu for music.", NET)
    ] = None,
    output_bias: Annotated[float | None, real("Where the biases of the logits start.", NET)] = None,
    recurrent_start: Annotated[
        str | None, text("Of the transition: orthogonal or sparse.", NET)
    ] = None,
    recurrent_gain: Annotated[
        float | None, real("Largest singular value of its kernels; else 1.", NET)
    ] = None,
    input_deviation: Annotated[
        float | None, real("Of the Gaussian that the kernels of x start from.", NET)
    ] = None,
    kernel_deviation: Annotated[
        float | None, real("Of that of levels' and the deep output's kernels.", NET)
    ] = None,
    classes_deviation: Annotated[
        float | None, real("Of the Gaussian that the last kernel starts from.", NET)
    ] = None,
    dropout: Annotated[float | None, real("Share of the inputs to drop.", REG)] = None,
    recurrent_dropout: Annotated[float | None, real("Share of h(t-1) to drop.", REG)] = None,
    output_dropout: Annotated[
        float | None, real("Share to drop before and in the output.", REG)
    ] = None,
    weight_noise: Annotated[
        float | None, real("Standard deviation of the noise on weights.", REG)
    ] = None,
    weight_decay: Annotated[float | None, real("Of adamw, times the rate; else 0.01.", REG)] = None,
    optimizer: Annotated[
        str | None, text("adamw with a cosine schedule, or sgd with the paper's; else adamw.", OPT)
    ] = None,
    learning_rate: Annotated[
        float | None, real("Rate at the start, or after the warmup.", OPT)
    ] = None,
    warmup: Annotated[
        int | None, whole("Updates over which adamw's rate rises to it; else 0.", OPT)
    ] = None,
    momentum: Annotated[float | None, real("Of sgd; else 0.", OPT)] = None,
    decay_start: Annotated[
        int | None, whole("Update after which sgd's rate falls; else 0.", OPT)
    ] = None,
    decay_beta: Annotated[
        float | None, real("Further updates that halve sgd's rate; else 1000.", OPT)
    ] = None,
    clipnorm: Annotated[
        float | None, real("Largest norm of the whole gradient; else 1.", OPT)
    ] = None,
    epochs: Annotated[int | None, whole("Largest number of epochs.", OPT)] = None,
    batch_size: Annotated[
        int | None, whole("Sequences, or rows of a text, in a batch.", OPT)
    ] = None,
    truncate: Annotated[
        int | None, whole("Steps after which backpropagation is cut; 0: whole pieces.", OPT)
    ] = None,
    patience: Annotated[
        int | None, whole("Epochs without a better validation result before it stops.", OPT)
    ] = None,
) -> None:
    """Trains a network and measures it. What is not given has the data set's default."""
    start_backend()
    from ..training import train as training
    from ..training.config import Settings

    told = {field.name: context.params[field.name] for field in dataclasses.fields(Settings)}
    given = {
        name: value for name, value in told.items() if value is not None and value is not False
    }
    how = {
        "command": shlex.join(["deep-rnn", *sys.argv[1:]]),
        "say": typer.echo,
        "progress": progress,
    }
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other: pass one of them.")
    if resume:
        if out is None:
            raise UserError("--out must be the folder of the run to resume, got nothing.")
        metrics = training.resume(out, given=given, **how)
    else:
        if data is None:
            raise UserError("--data must be the name of a data set or a path, got nothing.")
        out = out or Path("runs", Path(data).stem)
        metrics = training.train(Settings(**given), out, overwrite=overwrite, **how)
    _results(metrics, "test")
    typer.echo(f"Run folder: {out}")


@app.command(cls=Command, epilog="Example: deep-rnn evaluate runs/bach --split test")
def evaluate(
    run: Annotated[str, argument(A_RUN)],
    split: Annotated[str, text("train, validation or test.")] = "test",
    data_path: Annotated[Path | None, path(BY_HAND)] = None,
    data_dir: Annotated[Path | None, path(PREPARED)] = None,
    dynamic: Annotated[
        bool, flag("--dynamic", "Also read the text learning from what was read.")
    ] = False,
    streaming: Annotated[
        bool, flag("--streaming", "Also read step by step, as an online service does.")
    ] = False,
) -> None:
    """Measures a trained network; the numbers also go to the run's metrics.json."""
    start_backend()
    from ..training import train as training

    places = {"data_path": data_path, "data_dir": data_dir}
    how = {"dynamic": dynamic, "streaming": streaming, "say": typer.echo, "progress": progress}
    _results(training.measure(run, split, **places, **how), split)


@app.command(
    cls=Command,
    epilog="Example: deep-rnn generate runs/bach --out chorale.mid --length 64 --temperature 0.9",
)
def generate(
    run: Annotated[str, argument(A_RUN)],
    out: Annotated[
        Path | None, path("File to write: .mid, and a picture .png beside it; for text .txt.")
    ] = None,
    length: Annotated[int | None, whole("Frames, characters or words to draw.")] = None,
    temperature: Annotated[float, real("Below 1: more of what is likely; above 1: less.")] = 1.0,
    seed: Annotated[int, whole("The same seed draws the same.")] = 0,
    primer: Annotated[str | None, text("What to go on from: a MIDI file; for text a text.")] = None,
    primer_length: Annotated[int, whole("Frames to take from the MIDI file.")] = 16,
    tempo: Annotated[float, real("Quarter notes in a minute.")] = 80.0,
    instrument: Annotated[str, text("piano, organ, strings or choir.")] = "organ",
) -> None:
    """Draws new music, as MIDI and as a picture, or new text."""
    start_backend()
    from ..training import sample as generation

    written = generation.generate(
        run,
        out,
        length=length,
        temperature=temperature,
        seed=seed,
        primer=primer,
        primer_length=primer_length,
        tempo=tempo,
        instrument=instrument,
        say=typer.echo,
    )
    for file in written:
        typer.echo(f"Wrote {file}")


@app.command(
    cls=Command,
    epilog="Example: deep-rnn export runs/bach --out served/bach; "
    "then: deep-rnn export --check served/bach/1",
)
def export(
    model: Annotated[str | None, argument("Folder of a finished run, or a .keras file.")] = None,
    out: Annotated[
        Path | None, path("Folder in which a numbered version is made; else RUN/served.")
    ] = None,
    check: Annotated[
        Path | None, path("Check this version, which was exported before, instead.")
    ] = None,
    version: Annotated[int | None, whole("Its number; else the next free one.")] = None,
    name: Annotated[
        str | None, text("Name of the model for its clients; else that of the folder.")
    ] = None,
    probabilities: Annotated[
        str | None, text("Of a .keras file: y are logits of these, sigmoid or softmax.")
    ] = None,
    signatures: Annotated[
        str | None, text("Those to serve, with commas between; else all that there can be.")
    ] = None,
    max_steps: Annotated[int, whole("The most steps that one request may generate.")] = 10_000,
    jit_compile: Annotated[
        bool, flag("--jit-compile", "Let XLA compile; a stock server refuses that.")
    ] = False,
    target: Annotated[str, text("saved_model, litert or onnx.")] = "saved_model",
    quantize: Annotated[str | None, text("Of litert: int8, a quarter of the size.")] = None,
) -> None:
    """Writes a SavedModel for TensorFlow Serving, or another format, and checks it."""
    if (model is None) == (check is None):
        raise UserError("give either MODEL, a run or a .keras file to export, or --check PATH.")
    if quantize is not None and target != "litert":
        raise UserError(f"`quantize` must be left out for {target}, got {quantize!r}.")
    start_backend()
    if check is not None:
        from ..export import check_export

        with argument_is("path", "check"):
            checked = check_export(check)
        show_table(f"{check} passes", ["check", "found"], list(checked.found.items()))
        return
    assert model is not None  # as there is no `check`
    given: dict[str, Any] = {"version": version, "name": name, "quantize": quantize}
    if signatures is not None:
        given["signatures"] = tuple(signatures.split(","))
    if target == "saved_model":
        given |= {"max_steps": max_steps, "jit_compile": jit_compile}
    options = {option: value for option, value in given.items() if value is not None}
    with argument_is("path", "out"):
        written = _export(model, out, target, probabilities, options)
    typer.echo(f"Wrote {written}, which gives the network's numbers without this package")


def _export(
    model: str, out: Path | None, target: str, probabilities: str | None, options: dict[str, Any]
) -> Path:
    from ..export import export_run, exporter, load_keras_file

    if Path(model).suffix != ".keras":
        if probabilities is not None:
            raise UserError("`probabilities` must be left out for a run, which knows them.")
        return export_run(model, out, target=target, **options)
    if out is None:
        raise UserError("`out` must be the folder of the versions of a .keras file, got nothing.")
    export = exporter(target)
    typer.echo(f"Loading {model} with safe_mode=True: Python code in it is refused")
    return export(load_keras_file(model), out, probabilities=probabilities, **options)


@app.command(cls=Command, epilog="Example: deep-rnn demo --out demo")
def demo(
    out: Annotated[Path, path("Folder for everything that it makes.")] = Path("demo"),
    overwrite: Annotated[bool, flag("--overwrite", "Replace what an earlier demo made.")] = False,
) -> None:
    """Bach's chorales: data, training, a new chorale and a SavedModel, in some minutes."""
    start_backend()
    from . import demo as whole_job

    metrics, written = whole_job.run(out, overwrite=overwrite, say=typer.echo, progress=progress)
    _results(metrics, "test")
    for what, where in written.items():
        typer.echo(f"{what + ':':16}{where}")


register_serve(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line; a mistake of the user ends as one line and exit code 2.

    Args:
        arguments: List of strings; None takes those of the process.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="deep-rnn", standalone_mode=False)
    except UserError as error:
        _fail(str(error), 2)
    except DivergedError as error:
        _fail(str(error), 1)
    except Exception as error:
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        _fail(format_message(), 2)  # what the parser of options found
    if code == 130:  # what typer makes of Ctrl-C
        how = "a training or a search goes on with --resume, experiments with the same command."
        _fail(f"interrupted; {how}", code)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> NoReturn:
    if message:  # none where a help page was printed instead
        typer.echo("Error: " + " ".join(message.split()).replace("?.", "?"), err=True)
    sys.exit(code)


def _results(metrics: dict[str, Any], split: str) -> None:
    """The table of a run: floors, then the network, each number with its definition below."""
    from ..training.evaluate import table

    title, columns, rows, notes = table(metrics, split)
    show_table(title, columns, rows)
    for note in notes:
        typer.echo(note)

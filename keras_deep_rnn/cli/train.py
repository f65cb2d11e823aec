"""The command `deep-rnn train`."""

import dataclasses
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..utils.backend import start_backend
from ..utils.errors import UserError
from ..utils.files import one_line
from ..utils.text import with_tilde
from .console import progress, say, show_results
from .options import BY_HAND, PREPARED, data_sets, flag, path, real, sizes, text, whole

if TYPE_CHECKING:
    from ..training.config import Settings

EXAMPLE = (
    "Example: deep-rnn train --data bach_chorales --network dots_rnn --units 400 "
    "--transition-units 400 --output-units 400 --out runs/bach"
)
# Groups of the options in its help.
RUN, NET, REG, OPT = "Run", "Network", "Regularization", "Optimization"


def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        text(
            "Name of a data set, or path of your own; required unless --resume.",
            RUN,
            complete=data_sets,
        ),
    ] = None,
    data_path: Annotated[str | None, text(BY_HAND, RUN)] = None,
    data_dir: Annotated[str | None, text(PREPARED, RUN)] = None,
    out: Annotated[
        Path | None,
        path(
            "Run folder to make. The default is numbered, runs/DATA-NETWORK-2, where it is taken "
            "and --overwrite is not given.",
            RUN,
            default="runs/DATA-NETWORK",
        ),
    ] = None,
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
        "log": say,
        "progress": progress,
    }
    if resume and overwrite:
        raise UserError("--resume and --overwrite cannot be combined.")
    if resume:
        if out is None:
            raise UserError("Missing option --out: the folder of the run to resume.")
        metrics = training.resume(out, given=given, **how)
    else:
        if data is None:
            raise UserError("Missing option --data: the name of a data set or a path.")
        settings = Settings(**given)
        if out is None:
            out = _default_folder(settings, overwrite)
        try:
            metrics = training.train(settings, out, overwrite=overwrite, **how)
        finally:
            with suppress(OSError):  # which says that something was written
                out.rmdir()
    show_results(metrics, "test")
    say(f"Run folder: {with_tilde(out)}")


def _default_folder(settings: "Settings", overwrite: bool) -> Path:
    """Makes runs/DATA-NETWORK or, where that is taken, the first free runs/DATA-NETWORK-N.

    It is made at once, so that trainings that begin together do not take the same.
    """
    data = Path(settings.data).expanduser().resolve().stem
    name, number = f"{data}-{settings.network}", 1
    while True:
        folder = Path("runs", name if number == 1 else f"{name}-{number}")
        with one_line(folder), suppress(FileExistsError):
            folder.mkdir(parents=True, exist_ok=overwrite)
            return folder
        number += 1

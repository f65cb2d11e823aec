"""The command `deep-rnn export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..utils.backend import start_backend
from ..utils.errors import UserError, argument_is
from .console import show_table
from .options import argument, flag, path, text, whole

EXAMPLE = (
    "Example: deep-rnn export runs/bach --out served/bach; "
    "then: deep-rnn export --check served/bach/1"
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

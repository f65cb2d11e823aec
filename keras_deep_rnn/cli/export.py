"""The command `deep-rnn export`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ..utils.backend import start_backend
from ..utils.errors import NOTHING, ArgumentError, UserError, argument_is
from ..utils.text import as_option
from .console import show_json, show_table
from .options import A_RUN, JSON, argument, flag, path, text, whole

EXAMPLE = (
    "Example: deep-rnn export runs/bach --out served/bach; "
    "then: deep-rnn export --check served/bach/1"
)


# Options of one format alone.
OWN = {"max_steps": "saved_model", "jit_compile": "saved_model", "quantize": "litert"}


def export(
    model: Annotated[str | None, argument(f"{A_RUN}, or a .keras file.")] = None,
    out: Annotated[
        Path | None,
        path(
            "Folder in which a numbered version is made; required for a .keras file.",
            default="served, litert or onnx in RUN",
        ),
    ] = None,
    check: Annotated[
        Path | None, path("Check this version, which was exported before, instead.")
    ] = None,
    as_json: Annotated[bool, flag("--json", f"With --check: {JSON[0].lower()}{JSON[1:]}")] = False,
    no_check: Annotated[bool, flag("--no-check", "Do not check the export.")] = False,
    version: Annotated[int | None, whole("Version number.", default="the next free one")] = None,
    name: Annotated[
        str | None, text("Name of the model for its clients.", default="that of the folder")
    ] = None,
    probabilities: Annotated[
        str | None, text("For a .keras file: y are logits for sigmoid or softmax.")
    ] = None,
    signatures: Annotated[
        str | None,
        text("Signatures to serve, separated by commas.", default="all possible ones"),
    ] = None,
    max_steps: Annotated[
        int | None, whole("The most steps that one request may generate. \\[default: 10000]")
    ] = None,
    jit_compile: Annotated[
        bool, flag("--jit-compile", "Compile with XLA; a stock server refuses that.")
    ] = False,
    target: Annotated[str, text("saved_model, litert or onnx.")] = "saved_model",
    quantize: Annotated[str | None, text("For litert: int8, a quarter of the size.")] = None,
) -> None:
    """Writes a SavedModel for TensorFlow Serving, or another format, and checks it."""
    if (model is None) == (check is None):
        raise UserError("give either MODEL, a run or a .keras file to export, or --check PATH.")
    if as_json and check is None:
        raise UserError("--json is only supported with --check.")
    options: dict[str, Any] = {
        "version": version,
        "name": name,
        "probabilities": probabilities,
        "signatures": signatures and tuple(signatures.split(",")),
        "check": False if no_check else None,
        "max_steps": max_steps,
        "jit_compile": jit_compile or None,
        "quantize": quantize,
    }
    options = {option: value for option, value in options.items() if value is not None}
    for option in options.keys() & OWN.keys():
        if target != OWN[option]:
            raise UserError(f"{as_option(option)} is only supported with --target {OWN[option]}.")
    start_backend()
    if check is not None:
        from ..export import check_export

        with argument_is("path", "check"):
            checked = check_export(check)
        if as_json:
            show_json(dataclasses.asdict(checked))
            return
        show_table(f"{check} passes", ["check", "found"], list(checked.found.items()))
        return
    assert model is not None  # as there is no `check`
    with argument_is("path", "out"):
        written = _export(model, out, target, options)
    typer.echo(f"Wrote {written}, which gives the network's numbers without this package")


def _export(model: str, out: Path | None, target: str, options: dict[str, Any]) -> Path:
    from ..experiments.trained import opened
    from ..export import export_run, exporter, load_keras_file

    if Path(model).suffix != ".keras":
        if "probabilities" in options:
            raise ArgumentError("probabilities", "left out for a run, which knows them")
        with opened(model, out, writes=True) as folder:
            return export_run(folder, out, target=target, **options)
    if out is None:
        raise ArgumentError("out", "the folder of the versions of a .keras file", NOTHING)
    export = exporter(target)
    typer.echo(f"Loading {model} with safe_mode=True: Python code in it is refused")
    return export(load_keras_file(model), out, **options)

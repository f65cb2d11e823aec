"""Writes an inspection: pictures, and one HTML page that holds them."""

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from ...utils.files import replacing, user_path
from ...utils.html_page import html_page
from ...utils.types import PathLike
from .. import plots
from .inspection import Inspection, WeightInspection
from .pictures import PICTURES, network_picture

PAGE, NETWORK = "inspect.html", "network.png"
STYLE = """main { max-width: 1040px; }
td + td, th + th { text-align: right; }
.advice { border-color: #d9762b; }
"""
LAYER_COLUMNS = ("layer", "units", "saturated h", "10 back", "farthest back", "largest s. v.")
WEIGHT_COLUMNS = ("weight", "shape", "norm", "gradient", "ratio")


def write_inspection(
    model: keras.Model, inspection: Inspection, folder: PathLike, title: str
) -> list[Path]:
    """Writes inspect.html, which needs no other file, and its pictures beside it.

    Args:
        model: The inspected model.
        inspection: Result of `inspect`.
        folder: Folder to write to, which is made.
        title: Title of the page.

    Returns:
        The written files, the page first.

    Raises:
        UserError: matplotlib is not installed, or a file cannot be written.
    """
    plots.require()
    folder = user_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    network_picture(model, folder / NETWORK)
    sections = [
        _section("The network", "One time step, with the widths of its layers.", folder / NETWORK)
    ]
    files = [folder / NETWORK]
    for name, (write, heading, note) in PICTURES.items():
        if name == "saturation.png" and not any(layer.saturation for layer in inspection.layers):
            continue
        write(inspection, folder / name)
        files.append(folder / name)
        sections.append(_section(heading, note, folder / name))
    page = folder / PAGE
    with replacing(page) as partial:
        partial.write_text(_page(inspection, title, sections), encoding="utf-8")
    return [page, *files]


def layer_rows(inspection: Inspection) -> list[list[str]]:
    """A row for each recurrent layer, with the values of `LAYER_COLUMNS`."""
    rows = []
    for layer in inspection.layers:
        left = layer.mean_gradient_left
        left = left[np.isfinite(left)]
        back = [f"{left[10]:.1e}" if len(left) > 10 else "", ""]
        if len(left):
            back[1] = f"{left[-1]:.1e} ({len(left) - 1})"
        saturated = f"{layer.saturation['h']:.1%}" if "h" in layer.saturation else ""
        largest = f"{layer.singular_value.max():.3f}"
        rows.append([layer.name, str(layer.units), saturated, *back, largest])
    return rows


def weight_rows(inspection: Inspection) -> list[list[str]]:
    """A row for each trainable weight, with the values of `WEIGHT_COLUMNS`."""
    names = _short([weight.path for weight in inspection.weights])
    return [
        [
            name,
            "x".join(map(str, weight.shape)),
            f"{weight.norm:.3g}",
            f"{weight.gradient_norm:.1e}",
            _ratio(weight),
        ]
        for name, weight in zip(names, inspection.weights, strict=True)
    ]


def _ratio(weight: WeightInspection) -> str:
    return f"{weight.gradient_norm / weight.norm:.1e}" if weight.norm else ""


def _short(paths: list[str]) -> list[str]:
    """Paths of weights without "cell" and "plus", and without the name of a sequential model."""
    parts = [[p for p in path.split("/") if p not in ("cell", "plus")] for path in paths]
    if len({part[0] for part in parts}) == 1 and all(len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]
    short = ["/".join(part) for part in parts]
    return short if len(set(short)) == len(short) else paths


def _page(inspection: Inspection, title: str, sections: Sequence[str]) -> str:
    advice = "".join(f"<p>{html.escape(line)}</p>" for line in inspection.advice)
    if advice:
        advice = f'<section class="advice"><h2>What the numbers say</h2>{advice}</section>'
    note = (
        "Back: how much of the gradient of the last step is left so many steps back. "
        "Largest s. v.: the largest singular value of dh(t)/dh(t-1), over the steps of one row."
    )
    if inspection.skipped:
        note += f" Not inspected: {', '.join(inspection.skipped)}."
    layers = _table(LAYER_COLUMNS, layer_rows(inspection))
    weights = _table(WEIGHT_COLUMNS, weight_rows(inspection))
    loss = f"{inspection.loss:.4g}" if math.isfinite(inspection.loss) else "not finite"
    body = f"""<section><h2>Recurrent layers</h2>
<p>{html.escape(note)} Loss of the batch: {loss}.</p>{layers}
</section>
{advice}
{"".join(sections)}
<section><h2>Weights, from the input to the output</h2>
<p>The norm of each weight, that of the gradient of the loss, and gradient by weight.</p>
{weights}</section>"""
    return html_page(title, body, STYLE)


def _section(heading: str, note: str, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    text = html.escape(heading)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f"<section><h2>{text}</h2><p>{html.escape(note)}</p>{image}</section>\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'

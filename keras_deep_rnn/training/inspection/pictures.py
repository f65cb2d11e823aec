"""Plots of an inspection, one PNG file each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from ...layers import DeepRNN
from ...utils.keras_compat import sublayers
from .. import plots
from .drawing import draw_structure
from .inspection import Inspection, LayerInspection
from .structure import structure_of_layer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = (plots.BLUE, plots.ORANGE, "#3f8f5f", "#8a5fa8", plots.GREY, plots.INK)
# Layers whose states are shown; units of each, from the first on.
MAX_IMAGES, MAX_UNITS = 6, 400
# Inches of a box's distance from the next in a drawing.
SCALE = 0.85


def network_picture(model: keras.Model, path: Path) -> None:
    """Draws the recurrent layers of a model, from left to right."""
    layers = [layer for layer in sublayers(model) if isinstance(layer, DeepRNN)]
    shape = model.output_shape
    outputs = shape[-1] if isinstance(shape, tuple) and len(shape) > 1 else None
    structures = [
        structure_of_layer(layer, outputs if layer is layers[-1] else None) for layer in layers
    ]
    figure = plots.figure_of(3, 3)
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, structure in zip(panels, structures):
        draw_structure(axes, structure)
        axes.set_title(structure.title, color=plots.INK, fontsize=11)
    # Boxes are as large as their texts need.
    widths, heights = zip(*((np.ptp(a.get_xlim()), np.ptp(a.get_ylim())) for a in panels))
    figure.set_size_inches(SCALE * len(panels) * max(widths), SCALE * max(heights) + 0.2)
    plots.save(figure, path)


def gradient_picture(inspection: Inspection, path: Path) -> None:
    """Plots the gradient over time, and how much of the last step's is left further back."""
    figure = plots.figure_of(10, 3.6)
    over_time, left = figure.subplots(1, 2)
    for color, layer in _colored(inspection):
        mean = np.sqrt(np.mean(np.square(layer.gradient_norm.astype("float64")), axis=0))
        _log_line(over_time, mean, 1, color, layer.name)
        _log_line(left, layer.mean_gradient_left, 0, color, layer.name)
    over_time.set(xlabel="step t", title="norm of dL/dh(t)")
    left.set(xlabel="steps back", title="share left of the last step's gradient")
    left.axhline(1, color=plots.GREY, lw=0.8, ls="--")
    _finish(figure.axes, path, inspection)


def singular_value_picture(inspection: Inspection, path: Path) -> None:
    """Plots the largest singular value of dh(t)/dh(t-1) over time."""
    figure = plots.figure_of(10, 3.2)
    axes = figure.add_subplot()
    for color, layer in _colored(inspection):
        axes.plot(np.arange(1, len(layer.singular_value) + 1), layer.singular_value,
                  color=color, label=layer.name)  # fmt: skip
    axes.axhline(1, color=plots.GREY, lw=0.8, ls="--")
    axes.set_ylim(bottom=0)
    axes.set(
        xlabel="step t", title=f"largest singular value of dh(t)/dh(t-1), row {inspection.row}"
    )
    _finish([axes], path, inspection)


def saturation_picture(inspection: Inspection, path: Path) -> None:
    """Plots the saturated share of each layer of the transitions as bars."""
    bars = [
        (f"{layer.name}  {name}", share, color)
        for color, layer in _colored(inspection)
        for name, share in layer.saturation.items()
    ]
    figure = plots.figure_of(10, 0.9 + 0.36 * len(bars))
    axes = figure.add_subplot()
    names, shares, colors = zip(*bars)
    axes.barh(names, shares, color=colors, height=0.6)
    for row, share in enumerate(shares):
        axes.text(share + 0.01, row, f"{share:.1%}", va="center", color=plots.INK, fontsize=9)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.08), title="share of saturated values")
    axes.set_xticks(np.linspace(0, 1, 5), [f"{share:.0%}" for share in np.linspace(0, 1, 5)])
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    plots.save(figure, path)


def states_picture(inspection: Inspection, path: Path) -> None:
    """Plots the states of one row of the batch over time as images: a line for each unit."""
    layers = inspection.layers[:MAX_IMAGES]
    figure = plots.figure_of(10, 2.6 * len(layers))
    panels = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axes, layer in zip(panels, layers):
        h = layer.states[0][inspection.row, :, :MAX_UNITS].T
        limit = float(np.nanmax(np.abs(h))) or 1.0
        steps = h.shape[1]
        image = axes.imshow(
            h, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest",
            extent=(0.5, steps + 0.5, len(h) + 0.5, 0.5),
        )  # fmt: skip
        figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03)
        axes.set(xlabel="step t", ylabel="unit of h")
        axes.locator_params(integer=True)
        axes.set_title(_title(layer), loc="left", fontsize=10, parse_math=False)
    plots.save(figure, path)


# Of each file what writes it, and what it shows.
PICTURES: dict[str, tuple[Callable[[Inspection, Path], None], str, str]] = {
    "gradient.png": (
        gradient_picture,
        "The gradient through time",
        "Left: the norm of the gradient of the loss with respect to h(t), the root of the mean "
        "square over the rows; it is the sum over all paths, of this step's output and of later "
        "ones. Right: how much of the gradient of the last step is left after so many steps back "
        "through the layer's own recurrence, the mean over the rows.",
    ),
    "singular_values.png": (
        singular_value_picture,
        "The Jacobian of a step",
        "Below 1 the step shrinks every gradient; above 1 there is a direction in which it grows. "
        "Where the layer has several states, they count as one.",
    ),
    "saturation.png": (
        saturation_picture,
        "Saturation",
        "Of tanh the share of |a| > 0.95, where its slope is below 0.0975; of sigmoid the same, "
        "|2a - 1| > 0.95; of relu the share of units that are 0 at every step. a_1, a_2, ... are "
        "the layers of the transition below h.",
    ),
    "states.png": (states_picture, "The states over time", "Each line is a unit of h(t)."),
}


def _colored(inspection: Inspection) -> list[tuple[str, LayerInspection]]:
    return [(COLORS[i % len(COLORS)], layer) for i, layer in enumerate(inspection.layers)]


def _title(layer: LayerInspection) -> str:
    return f"{layer.name}: {layer.units} units" + (
        f", the first {MAX_UNITS}" if layer.units > MAX_UNITS else ""
    )


def _log_line(axes: "Axes", values: np.ndarray, first: int, color: str, label: str) -> None:
    """A line from x = `first` on a logarithmic axis, without what has no logarithm."""
    positive = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    if np.any(np.isfinite(positive)):
        axes.set_yscale("log")
    axes.plot(first + np.arange(len(values)), positive, color=color, label=label)


def _finish(panels: Sequence["Axes"], path: Path, inspection: Inspection) -> None:
    for axes in panels:
        axes.grid(color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    if len(inspection.layers) > 1:
        panels[0].legend(frameon=False, fontsize=9)
    figure = panels[0].get_figure()
    assert figure is not None
    plots.save(figure.figure, path)

"""Plots: learning curves and piano-rolls."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..data.dataset import LOWEST_PITCH
from ..utils.errors import missing_extra
from ..utils.files import replacing
from ..utils.types import PathLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GREY, BLUE, ORANGE = "#222222", "#888888", "#2f5f9e", "#d9762b"
# {network: colour}: Okabe and Ito's colours and Paul Tol's, for colour-blind readers. Networks of
# one picture have different ones.
NETWORK_COLOURS = {
    "rnn": "#7f7f7f", "deep_input_rnn": "#e69f00", "dt_rnn": "#56b4e9", "dts_rnn": "#0072b2",
    "do_rnn": "#009e73", "dot_rnn": "#cc79a7", "dots_rnn": "#d55e00", "srnn": "#222222",
    "rhn": "#999933", "dt_gru": "#332288", "dt_lstm": "#882255", "gru": "#44aa99",
    "lstm": "#aa4499", "srnn_tied": "#88ccee", "dots_rnn_lp": "#e69f00",
    "fast_dropout_rnn": "#009e73", "dots_rnn_nade": "#cc79a7", "lstm_large": "#e69f00",
    "dt_lstm_large": "#009e73",
}  # fmt: skip
BLACK_KEYS = (1, 3, 6, 8, 10)  # of the twelve from C


def learning_curve(
    history: Sequence[dict[str, float]], kind: str, path: PathLike, *, title: str = ""
) -> None:
    """Plots the training loss and the validation result over the epochs.

    Args:
        history: Rows of history.csv: dicts with "epoch", "loss" in nats and one "val_..." metric
            beside "val_loss", finite in one row at least; other rows are left out.
        kind: "piano_roll" (nats per frame), "characters" (bits) or "words" (perplexity).
        path: PNG file to write.
        title: Title of the plot, such as the network and the data.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    unit, convert = {
        "piano_roll": ("nats per frame", lambda nats: nats),
        "characters": ("bits per character", lambda nats: nats / math.log(2)),
        "words": ("perplexity", np.exp),
    }[kind]
    (name,) = [name for name in history[0] if name.startswith("val_") and name != "val_loss"]
    epochs = np.array([row["epoch"] for row in history])
    loss = _finite(convert(np.array([row["loss"] for row in history])))
    validation = _finite(np.array([row[name] for row in history]))
    best = int(np.nanargmin(validation))
    figure = figure_of(7, 4.2)
    axes = figure.add_subplot()
    axes.plot(epochs, loss, color=GREY, label="training")
    axes.plot(epochs, validation, color=BLUE, label="validation")
    axes.plot(epochs[best], validation[best], "o", color=ORANGE, zorder=3)
    axes.annotate(
        f"{validation[best]:.3f} in epoch {epochs[best]:.0f}",
        (epochs[best], validation[best]),
        (0, -16),
        textcoords="offset points",
        ha="right" if best > len(epochs) / 2 else "left",
        color=ORANGE,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
    )
    # The first epochs are so much worse that they would flatten the rest.
    late = np.concatenate([loss[len(loss) // 20 :], validation[len(loss) // 20 :]])
    low, high = np.nanmin([*late, validation[best]]), np.nanmax([*late, validation[best]])
    room = 0.12 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.set(xlabel="epoch", ylabel=unit)
    axes.locator_params(axis="x", integer=True)
    axes.grid(color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    axes.set_title(title, loc="left", color=INK, parse_math=False)  # a name may hold a $
    save(figure, path)


def piano_roll(
    frames: np.ndarray,
    path: PathLike,
    *,
    title: str,
    beats: int = 4,
    frames_in_quarter: float = 1.0,
    primer: int = 0,
) -> None:
    """Plots music as notes over time, with the keys of a piano on the left.

    Args:
        frames: (T, 88), 1 while a key sounds.
        path: PNG file to write.
        title: Title of the plot.
        beats: Quarter notes in a bar, for the vertical lines.
        frames_in_quarter: Frames in a quarter note.
        primer: Number of frames of the primer, which are grey.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    from ..data.midi_writer import notes

    found = notes(frames)
    pitches = [LOWEST_PITCH + key for key, _, _ in found] or [60]
    low, high = min(pitches) - 2, max(pitches) + 2
    width = min(24, max(7, 1.5 + len(frames) / frames_in_quarter / 8))
    figure = figure_of(width, 1.6 + (high - low) * 0.09)
    axes = figure.add_subplot()
    for pitch in range(low, high + 1):
        if pitch % 12 in BLACK_KEYS:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color="#f2f2f2", lw=0, zorder=0)
    rows: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for key, start, stop in found:
        # A gap after each note shows where the next one begins.
        bar = (start / frames_in_quarter, (stop - start - 0.12) / frames_in_quarter)
        rows.setdefault((key, GREY if start < primer else BLUE), []).append(bar)
    for (key, color), row in rows.items():
        axes.broken_barh(row, (LOWEST_PITCH + key - 0.4, 0.8), color=color, lw=0, zorder=2)
    quarters = len(frames) / frames_in_quarter
    bars = quarters / beats
    for per_inch, minor in ((1.2, False), (20, True)):
        every = beats * max(1, round(bars / (width * per_inch)))
        axes.set_xticks(np.arange(0, quarters + 1, every), minor=minor)
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.grid(axis="x", which="both", color="#e0e0e0", zorder=1)
    axes.set(xlim=(0, quarters), ylim=(low - 0.5, high + 0.5), xlabel="quarter notes")
    axes.set_title(title, loc="left", color=INK, parse_math=False)  # a name may hold a $
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", length=0)
    save(figure, path)


def require() -> None:
    """Raises `UserError` if matplotlib is not installed, before work for a plot is done."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_extra("matplotlib", "plots") from None


def _finite(values: np.ndarray) -> np.ndarray:
    """Replaces infinities by NaN, which matplotlib leaves out."""
    return np.where(np.isfinite(values), values, np.nan)


def figure_of(width: float, height: float) -> "Figure":
    """Makes a figure outside pyplot, whose state belongs to the user."""
    require()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: PathLike) -> None:
    """Writes a figure as PNG, atomically."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=140, format="png")

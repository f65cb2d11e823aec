"""Draws docs/figures/networks.png, the networks of the README: python docs/figures/networks.py"""

from pathlib import Path

from keras_deep_rnn.training import plots
from keras_deep_rnn.training.inspection.drawing import draw_network

PANELS = {
    "RNN": ("rnn", {"units": 400}),
    "DT-RNN": ("dt_rnn", {"units": 400, "transition_units": (400, 400)}),
    "DT(S)-RNN": ("dts_rnn", {"units": 400, "transition_units": (400, 400)}),
    "DOT(S)-RNN": ("dots_rnn", {"units": 400, "transition_units": (400,)}),
    "sRNN": ("srnn", {"units": 400, "levels": 2}),
    "RHN, DT-GRU, DT-LSTM": ("rhn", {"units": 400, "depth": 3}),
}


def draw(path: Path) -> None:
    """Writes the figure."""
    # Boxes of one size in all panels: the lower row is a box higher than the upper one.
    tops = (1.45, 2.45)
    figure = plots.figure_of(10, 4.7)
    panels = figure.subplots(2, 3, height_ratios=[top + 1.35 for top in tops])
    for number, (axes, (title, (kind, sizes))) in enumerate(zip(panels.flat, PANELS.items())):
        draw_network(axes, kind, sizes, show_sizes=False)
        middle = sum(axes.get_xlim()) / 2
        axes.set(xlim=(middle - 2.6, middle + 2.6), ylim=(-1.35, tops[number // 3]))
        axes.set_title(title, color=plots.INK)
    plots.save(figure, path)


if __name__ == "__main__":
    draw(Path(__file__).with_suffix(".png"))

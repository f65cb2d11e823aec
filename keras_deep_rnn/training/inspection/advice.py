"""What the numbers of a layer say about training, where arithmetic says it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .inspection import LayerInspection

# Change of the gradient within at most so many steps back: of an update to which both contribute,
# the smaller is then 0.01 %.
FACTOR, STEPS = 1e4, 100
GATED = ("RecurrentHighwayCell", "DeepTransitionGRUCell", "DeepTransitionLSTMCell")
# Share of saturated or dead units above which most of a layer's gradient is lost.
SHARE = 0.5


def advice_of(layer: "LayerInspection") -> list[str]:
    """Lines about one recurrent layer.

    - The gradient vanishes: within 100 steps back less than 1e-4 of it is left.
    - It explodes: within 100 steps back it is more than 1e4 times as large.
    - Most values of a layer are saturated: at |tanh| > 0.95 the slope is below 0.0975.

    Args:
        layer: `LayerInspection`.
    """
    gated = layer.network in GATED
    lines, left = [], layer.mean_gradient_left[: STEPS + 1]
    largest = float(np.max(layer.singular_value))
    for k, share in enumerate(left):
        if share < 1 / FACTOR:
            shrinks = f", as every step shrinks it, to {largest:.2f} at most" if largest < 1 else ""
            gates = "" if gated else " A gated network (gru, lstm, rhn) can keep more of it."
            lines.append(
                f"{layer.name}: the gradient vanishes: {share:.0e} of the last step's is left {k} "
                f"steps back{shrinks}.{gates}"
            )
            break
        if share > FACTOR:
            lines.append(
                f"{layer.name}: the gradient explodes: {k} steps back it is {share:.0e} times as "
                "large. Clip it (clipnorm), or make the gain of the recurrent kernels smaller."
            )
            break
    for name, share in layer.saturation.items():
        if share > SHARE:
            lines.append(
                f"{layer.name}: {share:.0%} of the values of {name} are saturated: less than a "
                "tenth of their gradient passes. Smaller initial weights or a smaller learning "
                "rate keep them in the range where they learn."
            )
    return lines

"""What the numbers of a layer say about training, where arithmetic says it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .inspection import LayerInspection

# A change of the gradient within at most so many steps back: a float16 holds no more digits.
FACTOR, STEPS = 1e4, 100
# Share of saturated or dead units above which most of a layer's gradient is lost.
SHARE = 0.5


def advice_of(layer: "LayerInspection") -> list[str]:
    """Lines about one recurrent layer.

    - The gradient vanishes: less than 1e-4 of it is left within 100 steps, and no step's Jacobian
      has a singular value of 1 or more, so that no direction can keep it.
    - It explodes: it has grown to more than 1e4 times within 100 steps.
    - Most values of a layer are saturated: at |tanh| > 0.95 the slope is below 0.0975.

    Args:
        layer: `LayerInspection`.
    """
    lines, left = [], layer.mean_gradient_left[: STEPS + 1]
    largest = float(np.max(layer.singular_value))
    for k, share in enumerate(left):
        if share < 1 / FACTOR and largest < 1:
            lines.append(
                f"{layer.name}: the gradient vanishes: {share:.0e} of it is left after {k} steps, "
                f"and every step shrinks it, to {largest:.2f} at most. A larger --gain of the "
                "recurrent kernels or a gated network (gru, lstm, rhn) keeps more of it."
            )
            break
        if share > FACTOR:
            lines.append(
                f"{layer.name}: the gradient explodes: after {k} steps back it is {share:.0e} "
                "times as large. Clip it (--clipnorm), or make --gain smaller."
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

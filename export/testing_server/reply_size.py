"""How many values a request makes, told from its shapes before anything is computed.

A request of a few bytes can ask for gigabytes: one value stands for all of a tensor, and `steps` is
a number. Shapes: B rows, T steps, S all states side by side.
"""

import math
from typing import Any

from ..model.signature_specs import Arrays, Specs


def reply_values(
    signature: dict[str, dict[str, Any]], inputs: Arrays, max_steps: int | None = None
) -> int:
    """Number of values of all outputs.

    Args:
        signature: Specs of the inputs and outputs.
        inputs: {name: array}, of these types and numbers of axes.
        max_steps: The most steps that the graph generates, which refuses more; None for any number.

    Example:

    >>> import numpy as np
    >>> signature = {
    ...     "inputs": {"x": {"shape": [-1, -1, 3]}},
    ...     "outputs": {"y": {"shape": [-1, -1, 8]}, "next_state": {"shape": [-1, 4]}},
    ... }
    >>> reply_values(signature, {"x": np.zeros((2, 5, 3))})
    88
    """
    rows, steps = _rows(inputs), _steps(signature, inputs)
    if "steps" in inputs:
        asked = max(inputs["steps"].tolist(), default=0)
        steps = asked if max_steps is None else min(asked, max_steps)
    open_sizes = [rows, *8 * [max(steps, 0)]]
    return sum(
        math.prod(
            size if size >= 0 else open_size for size, open_size in zip(_shape(spec), open_sizes)
        )
        for spec in signature["outputs"].values()
    )


def state_values(specs: Specs, name: str, inputs: Arrays) -> int:
    """Number of values of the states of all steps, B T S, where a signature takes sequences."""
    states = [signature["inputs"].get("state") for signature in specs.values()]
    size = max((spec["shape"][-1] for spec in states if spec and spec["shape"]), default=0)
    return _rows(inputs) * _steps(specs[name], inputs) * size


def _rows(inputs: Arrays) -> int:
    """The most rows of an input; the graph refuses unequal ones."""
    return max((array.shape[0] for array in inputs.values() if array.ndim), default=1)


def _steps(signature: dict[str, dict[str, Any]], inputs: Arrays) -> int:
    """The steps of the sequences among the inputs; 0 if there are none."""
    return max(
        (
            array.shape[1]
            for name, array in inputs.items()
            if array.ndim > 1 and _shape(signature["inputs"][name])[1] < 0
        ),
        default=0,
    )


def _shape(spec: dict[str, Any]) -> list[int]:
    return [-1, -1] if spec["shape"] is None else spec["shape"]

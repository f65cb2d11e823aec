"""The fast loop: one loop with a custom gradient for any step of affine maps.

    z_i(t) = sum_j u_ij(t) W_ij + p_i(t),     a_i(t) = phi_i(z_i(t))
    s(t) = step(affine, s(t-1))

A step names its products, `affine(i, u_1, u_2, ...)` for a_i, and may have any differentiable code
between them. Three things make it fast:

- x U of the whole sequence is one product before the loop.
- The backward loop computes no product of the forward loop again: it replays the step.
- The gradient of each W_ij is one product over all steps after the loop.

Inside the loops time is the first axis. In reading order:

- `structure`: what the affine maps of a step read, and where its states come from.
- `step_program`: one step, forward and backward.
- `fast_loop`: the forward and the backward loop, and the parts of the batch.
- `weight_gradients`: the products after the backward loop.
- `remat`: gradient checkpointing, the backward pass in chunks of time.
- `torch_loop`: the loop in PyTorch's own operations.
"""

from typing import Any

import keras

from .fast_loop import FastLoop
from .structure import Structure

__all__ = ["FastLoop", "Structure", "make_fast_loop"]


def make_fast_loop(*arguments: Any) -> FastLoop:
    """The fast loop of the backend; see `FastLoop` for the arguments."""
    if keras.backend.backend() == "torch":
        from .torch_loop import TorchLoop

        return TorchLoop(*arguments)
    return FastLoop(*arguments)

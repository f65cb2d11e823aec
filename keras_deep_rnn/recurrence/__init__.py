"""The loop over time; knows nothing of layers.

In reading order:

- `loop`: how a layer runs its loop, and the plain loop, which loops any step.
- `affine`: the affine maps of a step.
- `fast_loop`: the loop of a step of affine maps, with a custom gradient.
- `tensorflow`, `jax`, `torch`: of each backend the loop primitive that both loops stand on, its
  custom gradients, and how it splits a batch; `tensorflow_tracing`: whether a graph is an export's.
- `persistent`, `kernels`: all steps in one GPU kernel.
"""

from .affine import Affine
from .fast_loop import FastLoop
from .loop import DEFAULT_LOOP, Loop, available_cores, backend, run, warn_if_slow

__all__ = [
    "DEFAULT_LOOP",
    "Affine",
    "FastLoop",
    "Loop",
    "available_cores",
    "backend",
    "run",
    "warn_if_slow",
]

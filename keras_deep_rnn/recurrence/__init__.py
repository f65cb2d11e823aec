"""The loop over time; knows nothing of layers.

`loop.run` loops any step; `fast_loop.FastLoop` loops a step of affine maps, with a custom gradient.
Both stand on the loop primitive of the backend's module.
"""

from .fast_loop import Affine, FastLoop
from .loop import DEFAULT_LOOP, Loop, available_cores, backend, on_jax, run, warn_if_slow

__all__ = [
    "DEFAULT_LOOP",
    "Affine",
    "FastLoop",
    "Loop",
    "available_cores",
    "backend",
    "on_jax",
    "run",
    "warn_if_slow",
]

"""One time step in plain NumPy, from a snapshot of a layer's weights. In reading order:

- `stepper`: `Stepper`.
- `program`: how the step of a cell becomes a straight-line program.
- `numpy_functions`: the Keras operations that NumPy computes.
- `keras_call`: any other operation, which Keras computes.
"""

from .stepper import Stepper

__all__ = ["Stepper"]

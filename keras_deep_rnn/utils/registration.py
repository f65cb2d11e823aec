"""Registration of the layers with Keras once both are imported, in either order.

Keras looks up the class of a saved layer among the registered ones and imports no module for it. So
`import keras_deep_rnn` must be enough to load a model; but a program that never imports Keras, such
as a client of a server, must not wait for its import.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

from .imports import around_import


def with_keras(register: Callable[[], None]) -> None:
    """Calls `register` now if Keras has been imported, else at the end of its import."""

    @contextlib.contextmanager
    def register_after() -> Iterator[None]:
        yield
        register()

    if "keras" in sys.modules:
        register()
    else:
        around_import("keras", register_after)

"""When the layers register with Keras: once both are imported, in whichever order.

Keras finds the class of a saved layer among those that are registered; it imports no module that a
file names. A program that only says `import keras_deep_rnn` before it loads a model must find the
layers registered, and one that never imports Keras, such as a client of a server, must not wait
for it.
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

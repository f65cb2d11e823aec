"""Types in the annotations of several modules."""

import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

PathLike: TypeAlias = str | os.PathLike[str]
# Called with one log line at a time.
Log: TypeAlias = Callable[[str], object]
# A tensor of the backend, or what Keras makes one of; no backend is imported to say which.
Tensor: TypeAlias = Any


class ShowProgress(Protocol):
    """A function that gives out the steps of long work one by one and may show how far it is."""

    def __call__(self, steps: Iterable[int], what: str) -> Iterable[int]:
        """Gives out `steps`; `what` names the work in one or two words."""
        ...


def no_progress(steps: Iterable[int], what: str) -> Iterable[int]:
    """A `ShowProgress` that shows nothing."""
    return steps

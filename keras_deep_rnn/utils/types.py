"""Types in the annotations of several modules."""

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

PathLike: TypeAlias = str | os.PathLike[str]
# Called with one log line at a time.
Log: TypeAlias = Callable[[str], object]
# A function that gives out numbers one by one and may show how far it is.
ShowProgress: TypeAlias = Callable[[Iterable[int]], Iterable[int]]
# A tensor of the backend, or what Keras makes one of; no backend is imported to say which.
Tensor: TypeAlias = Any

"""`former_names`: a function accepts an argument under its former name for one release."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def former_names(**names: str) -> Callable[[Function], Function]:
    """Accepts arguments under former names, with a DeprecationWarning.

    Args:
        **names: Name of today of each former name.

    Example:

    >>> @former_names(truncate="bptt_steps")
    ... def train(bptt_steps=0):
    ...     return bptt_steps
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     train(truncate=3)
    3
    """

    def decorated(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for former in names.keys() & kwargs.keys():
                line = f"`{former}` is now `{names[former]}`; the former name ends with version 0.3"
                warnings.warn(line, DeprecationWarning, stacklevel=2)
                kwargs[names[former]] = kwargs.pop(former)
            return function(*args, **kwargs)

        return call  # pyright: ignore[reportReturnType] -- it has the signature of `function`

    return decorated

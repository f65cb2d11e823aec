"""Errors that a user can act on: one line with the expected value and the actual one."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any


class UserError(ValueError):
    """A mistake in a user's input, as one line.

    The command line prints the line and exits with code 2; in Python it is an
    ordinary `ValueError`.
    """


class DivergedError(RuntimeError):
    """Training was stopped because its loss became infinite or not a number."""


class Unreachable(ConnectionError):
    """No answer to a call, which may have been carried out all the same."""


class ServerError(UserError):
    """A call that failed in the server, as one line; the traceback is in the server's log."""


# Characters of the longest value that an error shows: a file may hold any.
MAX_SHOWN = 500


class Words(str):
    """Description of the actual value: shown as it is, other values by their `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


NOTHING, _OMITTED = Words("nothing"), Words("")


class ArgumentError(UserError):
    """A wrong value of an argument.

    The command line and the job file have other names for arguments: they show the error under
    their own, with `message`.

    Args:
        argument: Name of the argument, with an index or a key for a value inside of it.
        expected: Description of a correct value.
        got: The actual value, or its description as `Words`; left out of the line by default.
        hint: End of the line in place of the full stop: how to mend it.
        verb: Verb before `expected`.

    Example:

    >>> error = ArgumentError("units", "a positive integer", 0)
    >>> str(error)
    '`units` must be a positive integer, got 0.'
    >>> error.message("--units")
    '--units must be a positive integer, got 0.'
    >>> str(ArgumentError("x", "shape (B, D)", Words("a list"), verb="have"))
    '`x` must have shape (B, D), got a list.'
    """

    def __init__(
        self,
        argument: str,
        expected: str,
        got: object = _OMITTED,
        hint: str = "",
        *,
        verb: str = "be",
    ) -> None:
        super().__init__(argument, expected, got, hint)
        self.argument, self.expected, self.got = argument, expected, got
        self.hint, self.verb = hint, verb

    def __str__(self) -> str:
        return self.message()

    def message(self, name: str | None = None) -> str:
        """The line of the error, by default with the argument's own name."""
        name = f"`{self.argument}`" if name is None else name
        # By its value: a copy from another process is another object.
        omitted = isinstance(self.got, Words) and not self.got
        got = "" if omitted else f", got {_shortened(repr(self.got))}"
        return f"{name} must {self.verb} {self.expected}{got}{self.hint or '.'}"

    def renamed(self, argument: str) -> "ArgumentError":
        """The same error under another name of the argument."""
        return ArgumentError(argument, self.expected, self.got, self.hint, verb=self.verb)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"verb": self.verb}
        return type(self), (self.argument, self.expected, self.got, self.hint), state


@contextlib.contextmanager
def argument_is(inner: str, outer: str) -> Iterator[None]:
    """Renames the argument in errors: `inner` of the called function is `outer` of the caller.

    Example:

    >>> with argument_is("name", "data"):
    ...     raise ArgumentError("name", "a path", 1)
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.ArgumentError: `data` must be a path, got 1.
    """
    try:
        yield
    except ArgumentError as error:
        if error.argument != inner:
            raise
        raise error.renamed(outer) from error


@contextlib.contextmanager
def within(section: str) -> Iterator[None]:
    """Renames the argument in errors to a key of a section.

    Example:

    >>> with within("space"):
    ...     raise ArgumentError("units", "a positive integer", 0)
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.ArgumentError: `space.units` must be a positive integer, got 0.
    """
    try:
        yield
    except ArgumentError as error:
        raise error.renamed(f"{section}.{error.argument}") from None


def nearest(name: object, choices: Iterable[object]) -> str:
    """Hint of an error message with the choice closest to `name`, or "".

    Example:

    >>> nearest("dots_rn", ["rnn", "dots_rnn"])
    "; did you mean 'dots_rnn'?"
    >>> nearest("transformer", ["rnn", "dots_rnn"])
    ''
    """
    match = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def first_line(error: BaseException, limit: int = 300) -> str:
    """First line of an exception's message, or its class name if the message is empty.

    Args:
        error: The exception.
        limit: Length at which the line is cut: some libraries quote all that they were given.

    Example:

    >>> first_line(RuntimeError("the disk is full\\nmore lines"))
    'the disk is full'
    >>> first_line(EOFError())
    'EOFError'
    >>> first_line(ValueError("quoted"), limit=3)
    'quo...'
    """
    lines = str(error).strip().splitlines()
    return _shortened(lines[0] if lines else type(error).__name__, limit)


def _shortened(text: str, limit: int = MAX_SHOWN) -> str:
    return text if len(text) <= limit else text[:limit] + "..."


def missing_extra(package: str | None, extra: str) -> UserError:
    """Error for an optional dependency that is not installed.

    Example:

    >>> str(missing_extra("music21", "music"))
    "`music21` is not installed: pip install 'keras-deep-rnn[music]'"
    """
    return UserError(f"`{package}` is not installed: pip install 'keras-deep-rnn[{extra}]'")

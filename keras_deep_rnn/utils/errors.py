"""Errors that a user can act on: one line that says what was expected and what came."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any


class UserError(ValueError):
    """A mistake in what the user asked for, told in one line.

    The command line prints the line and exits with code 2; in Python it is an
    ordinary `ValueError`.
    """


class DivergedError(RuntimeError):
    """Training was stopped because its loss was no longer a number."""


class Unreachable(ConnectionError):
    """Nobody has answered a call. It may have been carried out all the same."""


class ServerError(UserError):
    """The server has failed in a call, in one line; the traceback is where the server runs."""


class Words(str):
    """What came, in words: shown as it is, where other values are shown as Python writes them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


NOTHING, UNSAID = Words("nothing"), Words("")


class ArgumentError(UserError):
    """A wrong value of an argument.

    Whoever asks the user for the argument under another name, as the command line and the job file
    do, takes the name from the error and shows its own.

    Args:
        argument: Name of the argument; with an index or a key where the value inside is meant.
        expected: What the value must be.
        got: What came: the value itself, or `Words`; nothing is said of it unless it is given.
        hint: The end of the line where it is more than a full stop: what to do about it.
        verb: What stands before `expected`.

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
        got: object = UNSAID,
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
        """The line, with another name for the argument."""
        name = f"`{self.argument}`" if name is None else name
        got = "" if self.got is UNSAID else f", got {self.got!r}"
        return f"{name} must {self.verb} {self.expected}{got}{self.hint or '.'}"

    def about(self, argument: str) -> "ArgumentError":
        """The same error about another argument."""
        return ArgumentError(argument, self.expected, self.got, self.hint, verb=self.verb)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"verb": self.verb}
        return type(self), (self.argument, self.expected, self.got, self.hint), state


@contextlib.contextmanager
def argument_is(inner: str, outer: str) -> Iterator[None]:
    """Errors about the argument `inner` of what is called become errors about the caller's `outer`.

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
        raise error.about(outer) from error


@contextlib.contextmanager
def within(section: str) -> Iterator[None]:
    """Errors about an argument become errors about that key of a section.

    Example:

    >>> with within("space"):
    ...     raise ArgumentError("units", "a positive integer", 0)
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.ArgumentError: `space.units` must be a positive integer, got 0.
    """
    try:
        yield
    except ArgumentError as error:
        raise error.about(f"{section}.{error.argument}") from None


def nearest(name: object, choices: Iterable[object]) -> str:
    """The end of an error message that proposes the choice closest to `name`.

    Example:

    >>> nearest("dots_rn", ["rnn", "dots_rnn"])
    "; did you mean 'dots_rnn'?"
    >>> nearest("transformer", ["rnn", "dots_rnn"])
    ''
    """
    match = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or the exception's name where it has none.

    Example:

    >>> first_line(RuntimeError("the disk is full\\nmore lines"))
    'the disk is full'
    >>> first_line(EOFError())
    'EOFError'
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def missing_extra(package: str | None, extra: str) -> UserError:
    """The error for an optional dependency that is not installed.

    Example:

    >>> str(missing_extra("music21", "music"))
    "`music21` is not installed: pip install 'keras-deep-rnn[music]'"
    """
    return UserError(f"`{package}` is not installed: pip install 'keras-deep-rnn[{extra}]'")

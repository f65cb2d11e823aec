"""Errors that a user can act on: one line that says what was expected and what came."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


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


@contextlib.contextmanager
def argument_is(inner: str, outer: str) -> Iterator[None]:
    """Errors about the argument `inner` of what is called become errors about the caller's `outer`.

    Example:

    >>> with argument_is("name", "data"):
    ...     raise UserError("`name` must be a path, got 1.")
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.UserError: `data` must be a path, got 1.
    """
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(f"`{inner}`", f"`{outer}`", 1)) from error


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

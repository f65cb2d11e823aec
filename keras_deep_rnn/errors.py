"""Errors that a user can act on: one line that says what was expected and what came."""

import difflib


class UserError(ValueError):
    """A mistake in what the user asked for, told in one line.

    The command line prints the line and exits with code 2; in Python it is an
    ordinary `ValueError`.
    """


def nearest(name, choices):
    """The end of an error message that proposes the choice closest to `name`.

    Example:

    >>> nearest("dots_rn", ["rnn", "dots_rnn"])
    "; did you mean 'dots_rnn'?"
    >>> nearest("transformer", ["rnn", "dots_rnn"])
    ''
    """
    match = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def missing_extra(package, extra):
    """The error for an optional dependency that is not installed.

    Example:

    >>> str(missing_extra("music21", "music"))
    "`music21` is not installed: pip install 'keras-deep-rnn[music]'"
    """
    return UserError(f"`{package}` is not installed: pip install 'keras-deep-rnn[{extra}]'")

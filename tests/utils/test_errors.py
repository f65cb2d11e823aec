"""Errors keep what they know where they are copied, as on their way from another process."""

import pickle

import pytest

from keras_deep_rnn.utils.errors import MAX_SHOWN, NOTHING, ArgumentError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ArgumentError("skip", "left out"), "`skip` must be left out."),
        (ArgumentError("data", "a path", NOTHING), "`data` must be a path, got nothing."),
        (ArgumentError("name", "a text", ""), "`name` must be a text, got ''."),
        (
            ArgumentError("units", "a number", "[" * 10**6),
            f"`units` must be a number, got '{'[' * (MAX_SHOWN - 1)}....",
        ),
        (
            ArgumentError("x", "(B, D)", 3, "; mend", verb="have"),
            "`x` must have (B, D), got 3; mend",
        ),
    ],
)
def test_a_copy_is_the_same_line(error, line):
    copy = pickle.loads(pickle.dumps(error))
    assert str(error) == str(copy) == line
    assert copy.renamed("y").message("--y") == line.replace(f"`{error.argument}`", "--y")

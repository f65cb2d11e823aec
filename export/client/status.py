"""Failure of a call: a gRPC status code and a message, and the HTTP status for it."""

import re

# TF Serving's table, with the two that HTTP has for what is too large and for what came too slowly.
HTTP = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_NAMES = {
    **{number: name for name, number in HTTP.items()},
    400: "INVALID_ARGUMENT",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
}


class Failure(Exception):
    """A call that has failed.

    Args:
        code: Name of a status code of gRPC, such as "INVALID_ARGUMENT".
        reason: What was wrong, in words.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason

    @property
    def http(self) -> int:
        """The code of HTTP that TF Serving answers with."""
        return HTTP.get(self.code, 500)


def code_of_http(number: int) -> str:
    """The status code of gRPC for one of HTTP.

    Example:

    >>> code_of_http(404), code_of_http(500)
    ('NOT_FOUND', 'INTERNAL')
    """
    return _NAMES.get(number, "INTERNAL")


def one_line(reason: str) -> str:
    """The message of TensorFlow about an operation, without the operation's place in the graph.

    Example:

    >>> one_line("Graph execution error:\\n\\nTensor had NaN values\\n\\t [[{{node check}}]]")
    'Tensor had NaN values'
    >>> one_line("assertion failed: [`x` must have a step, got] [0]\\n\\t [[{{node Assert}}]]")
    '`x` must have a step, got 0'
    """
    words = reason.partition("[[{{")[0].removeprefix("Graph execution error:").split()
    line = " ".join(words) or "no reason given"
    found = re.fullmatch(r"assertion failed: \[(.*)\]", line)
    return found[1].replace("] [", " ") if found else line

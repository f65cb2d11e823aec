"""Refuses requests over HTTP that were sent to another name than the server has.

A page from elsewhere can have its own name point to this machine and then call the server as if it
were its own (DNS rebinding). The name remains in the request.
"""

import functools
import ipaddress
import re
import socket

from ..client.status import Failure

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Each stands for all addresses of a machine.
_WILDCARDS = ("0.0.0.0", "[::]")


def check_host(name: str | None, host: str) -> None:
    """Checks the name that a request was sent to.

    Args:
        name: The header `Host`; None where there is none, as browsers never do.
        host: Where the server listens. At all addresses of this machine any number is right, which
            nobody else can have point elsewhere.

    Raises:
        Failure: With PERMISSION_DENIED, it is neither a loopback name nor the server's.

    Example:

    >>> check_host("localhost:8501", "127.0.0.1")
    >>> check_host("evil.example", "127.0.0.1")
    Traceback (most recent call last):
    keras_deep_rnn.export.client.status.Failure: PERMISSION_DENIED: host 'evil.example' is ...
    """
    if name is None:
        return
    name = re.sub(r":\d*$", "", name.lower())
    if name in _names(host) or (host in _WILDCARDS and _is_number(name)):
        return
    raise Failure(
        "PERMISSION_DENIED",
        f"host {name!r} is none of {', '.join(sorted(_names(host)))}: call one of these, or serve "
        "with --host.",
    )


@functools.cache
def _names(host: str) -> frozenset[str]:
    own = (socket.gethostname(), socket.getfqdn()) if host in _WILDCARDS else (host,)
    return frozenset(name.lower() for name in (*LOOPBACK, *own))


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True

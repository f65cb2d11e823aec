"""Addresses "HOST:PORT": parsing, and a check that a server can bind to one; time limits."""

import errno
import os
import re
import socket

from .errors import ArgumentError

# The longest time limit in seconds: in milliseconds it fits into an int.
MAX_SECONDS = 10**6


def check_address(address: str) -> tuple[str, int]:
    """Parses "HOST:PORT" and checks that a server can bind to it.

    Raises:
        UserError: The address is malformed, in use or not of this machine.
    """
    host, port = parse_address(address)
    _check_free(address, host, port)
    return host, port


def parse_address(address: str, lowest: int = 0) -> tuple[str, int]:
    """Parses "HOST:PORT" into host and port; an IPv6 host keeps its brackets."""
    pattern = r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9._-]+):(\d{1,5})"
    found = re.fullmatch(pattern, address, re.ASCII) if isinstance(address, str) else None
    if not found or not lowest <= int(found[2]) <= 65535:
        raise ArgumentError(
            "address",
            f"HOST:PORT, such as node7:5000 or [::1]:5000, with a port from {lowest} to 65535",
            address,
        )
    return found[1], int(found[2])


def _check_free(address: str, host: str, port: int) -> None:
    """Refuses an address that a server cannot bind to, with the system's reason.

    gRPC prints the reason on stderr alone, and binds to some of a name's addresses if others are
    in use.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ArgumentError("address", "of this machine", address, ": unknown host.") from None
    reasons = []
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does
                probe.bind(place)
        except OSError as error:
            reasons.append(error.errno)
    if errno.EADDRINUSE in reasons or len(reasons) == len(found):
        reason = errno.EADDRINUSE if errno.EADDRINUSE in reasons else reasons[0]
        raise ArgumentError("address", "free to listen at", address, f": {os.strerror(reason)}.")

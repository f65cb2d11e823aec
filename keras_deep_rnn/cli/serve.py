"""The command `deep-rnn serve`."""

import os
import sys
from typing import Annotated

from ..utils.backend import start_backend
from ..utils.errors import ArgumentError, Words, argument_is
from .console import say
from .options import argument, real, text, whole

AN_EXPORT = "Folder of an export, or of one of its versions."
GRPC_PORT, REST_PORT = 8500, 8501
EXAMPLE = "Example: deep-rnn serve served/bach --port 8500"


def serve(
    path: Annotated[str, argument(AN_EXPORT)],
    host: Annotated[
        str, text("Address to listen on; beyond 127.0.0.1 anyone who reaches it may call.")
    ] = "127.0.0.1",
    port: Annotated[int, whole("Port for gRPC; 0: any.")] = GRPC_PORT,
    rest_port: Annotated[int, whole("Port for REST; 0: any.")] = REST_PORT,
    name: Annotated[str | None, text("Name of the model.", default="that of the export")] = None,
    threads: Annotated[
        int | None, whole("Requests computed at a time.", default="number of CPU cores")
    ] = None,
    waiting: Annotated[
        int, whole("Length of the queue; beyond it requests get UNAVAILABLE.")
    ] = 4096,
    timeout: Annotated[float, real("Time limit of a request in seconds.")] = 30.0,
    header_timeout: Annotated[
        float, real("Seconds after which a connection that asks nothing is closed.")
    ] = 10.0,
    connections: Annotated[
        int | None,
        whole("Most connections at a time, to each port.", default="a quarter of `ulimit -n`"),
    ] = None,
    max_megabytes: Annotated[int, whole("Size limit of a request, and over REST of a reply.")] = 64,
) -> None:
    """Serves an export over gRPC and REST, as TF Serving would: for development and tests."""
    for option, value in (("port", port), ("rest_port", rest_port)):
        if not 0 <= value <= 65535:
            raise ArgumentError(option, "from 0 to 65535", Words(value))
    if not 1 <= max_megabytes < 2048:  # gRPC counts the bytes in an int
        raise ArgumentError("max_megabytes", "from 1 to 2047", Words(max_megabytes))
    counts = {"threads": threads, "connections": connections}
    for option, value in counts.items():
        if value is not None and value < 1:
            raise ArgumentError(option, "a positive integer", Words(value))
    start_backend()
    from ..export.testing_server.server import serve as run

    with argument_is("address", "host"):
        run(
            path,
            host=host,
            port=port,
            rest_port=rest_port,
            name=name,
            threads=threads,
            waiting=waiting,
            timeout=timeout,
            header_timeout=header_timeout,
            connections=connections,
            max_message_bytes=max_megabytes * 2**20,
            log=say,
        )
    # Python would take seconds to free TensorFlow, and wait for threads whose answers are too late.
    sys.stdout.flush()
    os._exit(0)

"""A testing server that stands in for TF Serving: one version of one model, gRPC and REST.

For development and for tests. It has no batching, no authentication, no encryption, and does not
watch the folder for new versions. A SavedModel is a program: serve your own.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable
from typing import Self, TypedDict, Unpack

from ...utils.errors import ArgumentError, Words, first_line, missing_extra
from ...utils.network import MAX_SECONDS, check_address
from .host_check import LOOPBACK
from .work_queue import WorkQueue

MESSAGE_BYTES = 64 * 2**20
# What the outputs of a request and the states of its steps may take, in times of a message, at
# the size of a float32.
MEMORY, VALUE_BYTES = 4, 4
# Seconds in which the server stops, the last of them for the answers alone.
GRACE, LAST = 5.0, 1.0
MOST_CONNECTIONS = 1024
# The largest number that gRPC takes.
MAX_INT = 2**31 - 1


class Server:
    """Serves an export until it is stopped.

    Args:
        path: Folder of an export, of which the highest version is served, or of one version.
        host: Name or number of the address to listen at; beyond a loopback address, whoever
            reaches it may call.
        port: Port for gRPC; 0 takes any that is free.
        rest_port: The same for REST.
        name: Name of the model; None takes that of the export.
        threads: Number of requests computed at a time; None takes the number of CPU cores.
        waiting: Length of the queue; beyond it requests end in UNAVAILABLE, which clients retry.
        timeout: Time limit of a request in seconds, the queue included; also for a request to
            arrive and for an answer to leave.
        header_timeout: Time limit for the header of a request to arrive, in seconds; a connection
            that has none to send is closed after it.
        connections: Most connections at a time, to each of the ports; None takes a quarter of the
            files that the process may open.
        max_message_bytes: Size limit of a request and, over REST, of its answer; the outputs of a
            request and the states of its steps may take four times as much memory.

    Attributes:
        model: The `ServedModel`.
        address: "HOST:PORT" of gRPC, with the port that was found.
        rest_address: The same for REST.

    Raises:
        UserError: There is no such export, it cannot be loaded, an address is in use or not of
            this machine, or an argument is out of range.

    Example:

    >>> with Server("served/bach") as server:  # doctest: +SKIP
    ...     print(Client(server.address, "bach").status())
    {1: 'AVAILABLE'}
    """

    # What serves from a thread of its own, between `__enter__` and `__exit__`.
    _thread: threading.Thread
    _loop: asyncio.AbstractEventLoop
    _stopped: asyncio.Event

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rest_port: int = 0,
        name: str | None = None,
        threads: int | None = None,
        waiting: int = 4096,
        timeout: float = 30.0,
        header_timeout: float = 10.0,
        connections: int | None = None,
        max_message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        _need_extra()
        from .served_model import ServedModel, version_folder

        connections = _most_connections() if connections is None else connections
        limits = {
            "threads": (threads or 1, MAX_INT),
            "waiting": (waiting, MAX_INT),
            "timeout": (timeout, MAX_SECONDS),
            "header_timeout": (header_timeout, MAX_SECONDS),
            "connections": (connections, MAX_INT),
            "max_message_bytes": (max_message_bytes, MAX_INT),
        }
        for key, (value, most) in limits.items():
            if not 0 < value <= most:
                raise ArgumentError(key, f"above 0 and at most {most:,}", Words(value))
        self._host, self._ports = host, (port, rest_port)
        if port and port == rest_port:
            raise ArgumentError("rest_port", "another one than `port`", Words(f"{port} for both"))
        for listened in self._ports:
            check_address(f"{host}:{listened}")
        self._timeout, self._header_timeout = timeout, header_timeout
        self._connections, self._max_message_bytes = connections, max_message_bytes
        max_values = MEMORY * max_message_bytes // VALUE_BYTES
        self.model = ServedModel(version_folder(path), name, max_values)
        self._queue = WorkQueue(threads, waiting, timeout)
        self.address: str = None  # pyright: ignore[reportAttributeAccessIssue]  known when it listens
        self.rest_address: str = None  # pyright: ignore[reportAttributeAccessIssue]  the same

    async def start(self) -> None:
        """Listens, on the running event loop."""
        import grpc

        from .grpc_service import handlers
        from .rest_listener import RestListener
        from .rest_service import application

        size, timeout, run = self._max_message_bytes, self._timeout, self._queue.run
        self._grpc = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", size),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_allowed_incoming_connections", self._connections),
                ("grpc.server_handshake_timeout_ms", int(1000 * self._header_timeout)),
                ("grpc.so_reuseport", 0),  # else a port that is in use is shared
            ]
        )
        self._grpc.add_generic_rpc_handlers(handlers(self.model, run, timeout))
        app = application(self.model, run, host=self._host, max_message_bytes=size, timeout=timeout)
        self._rest = RestListener(app, self._connections, self._header_timeout)
        try:
            port, rest_port = self._ports
            self.address = f"{self._host}:{self._grpc.add_insecure_port(f'{self._host}:{port}')}"
            await self._rest.start(self._host.strip("[]"), rest_port)
            self.rest_address = f"{self._host}:{self._rest.port}"
            await self._grpc.start()
        except (OSError, RuntimeError) as error:
            await self.stop(0)
            ports = " and ".join(map(str, self._ports))
            got = Words(f"{ports} at {self._host}")
            hint = f": {first_line(error)}."
            raise ArgumentError("port", "free to listen at", got, hint) from None

    async def stop(self, grace: float = GRACE) -> None:
        """Stops listening; open requests get `grace` seconds to end.

        What is not computed a second before that is answered with UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        last = loop.call_later(max(0.0, grace - LAST), self._interrupt)
        with contextlib.suppress(TimeoutError):  # of a client that does not take its answer
            async with asyncio.timeout(max(grace, LAST)):
                await asyncio.gather(self._grpc.stop(grace), self._rest.stop())
        last.cancel()
        self._interrupt()

    def _interrupt(self) -> None:
        self._queue.close()
        self.model.close()

    def __enter__(self) -> Self:
        """Serves from a thread of its own."""
        started = concurrent.futures.Future()

        async def life() -> None:
            self._stopped, self._loop = asyncio.Event(), asyncio.get_running_loop()
            try:
                await self.start()
            except BaseException as error:
                started.set_exception(error)
                return
            started.set_result(None)
            await self._stopped.wait()
            await self.stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(life()), name="server")
        self._thread.start()
        started.result()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()


class ServerOptions(TypedDict, total=False):
    """The options of `Server`."""

    host: str
    port: int
    rest_port: int
    name: str | None
    threads: int | None
    waiting: int
    timeout: float
    header_timeout: float
    connections: int | None
    max_message_bytes: int


def serve(
    path: str | os.PathLike[str],
    *,
    log: Callable[[str], object] = print,
    **options: Unpack[ServerOptions],
) -> None:
    """Serves an export in this process until SIGINT or SIGTERM, then finishes the open requests.

    Args:
        path: As for `Server`.
        log: Called with each line for the user.
        options: As for `Server`.

    Raises:
        UserError: As for `Server`.
    """
    asyncio.run(_serve(Server(path, **options), log))


async def _serve(server: Server, log: Callable[[str], object]) -> None:
    await server.start()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    model = server.model
    if server.address.rpartition(":")[0] not in LOOPBACK:
        log(f"Warning: whoever reaches {server.address} may call; nothing is encrypted.")
    log(
        f"Serving {model.name!r} version {model.version}: gRPC at {server.address}, REST at "
        f"http://{server.rest_address}/v1/models/{model.name}. A stand-in for TF Serving; "
        "Ctrl-C ends it."
    )
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):  # a second one ends the process at once
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
    await server.stop()
    log("Stopped.")


def _most_connections() -> int:
    """A quarter of the files that this process may open, for each of two ports."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(files // 4, MOST_CONNECTIONS))


def _need_extra() -> None:
    for module, package, extra in (
        ("tensorflow", "tensorflow", "export"),
        ("grpc", "grpcio", "serving"),
        ("aiohttp", "aiohttp", "serving"),
        ("tensorflow_serving", "tensorflow-serving-api", "serving"),
    ):
        try:
            __import__(module)
        except ImportError:
            raise missing_extra(package, extra) from None

"""A testing server that stands in for TF Serving: one version of one model, gRPC and REST.

For development and for tests. It has no batching, no authentication, no encryption, and does not
watch the folder for new versions. A SavedModel is a program: serve your own.
"""

import asyncio
import concurrent.futures
import functools
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Self, TypedDict, Unpack

from ...utils.errors import ArgumentError, Words, first_line, missing_extra
from ...utils.network import check_address
from ..client.status import Failure

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
MESSAGE_BYTES = 64 * 2**20
# Grace period of open requests in seconds when the server stops.
GRACE = 5.0


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
        timeout: Time limit of a request in seconds, the queue included.
        max_message_bytes: Size limit of a request.

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
        max_message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        _need_extra()
        from .served_model import ServedModel, version_folder

        for key, value in (("threads", threads or 1), ("waiting", waiting), ("timeout", timeout)):
            if not value > 0:
                raise ArgumentError(key, "above 0", Words(value))
        self._host, self._ports = host, (port, rest_port)
        if port and port == rest_port:
            raise ArgumentError("rest_port", "another one than `port`", Words(f"{port} for both"))
        for listened in self._ports:
            check_address(f"{host}:{listened}")
        self._timeout, self._max_message_bytes = timeout, max_message_bytes
        self._threads = threads or os.cpu_count() or 1
        self._waiting, self._places = waiting, waiting + self._threads
        self.model = ServedModel(version_folder(path), name)
        self.address: str = None  # pyright: ignore[reportAttributeAccessIssue]  known when it listens
        self.rest_address: str = None  # pyright: ignore[reportAttributeAccessIssue]  the same

    async def start(self) -> None:
        """Listens, on the running event loop."""
        import grpc
        from aiohttp import web

        from .grpc_service import handlers
        from .rest_service import application

        self._pool = concurrent.futures.ThreadPoolExecutor(self._threads, "model")
        size = self._max_message_bytes
        self._grpc = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", size),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # else a port that is in use is shared
            ]
        )
        self._grpc.add_generic_rpc_handlers(handlers(self.model, self._run))
        app = application(self.model, self._run, max_message_bytes=size, timeout=self._timeout)
        self._rest = web.AppRunner(app, access_log=None, logger=_logger(), shutdown_timeout=GRACE)
        try:
            await self._listen(web)
        except (OSError, RuntimeError) as error:
            await self.stop(0)
            ports = " and ".join(map(str, self._ports))
            got = Words(f"{ports} at {self._host}")
            hint = f": {first_line(error)}."
            raise ArgumentError("port", "free to listen at", got, hint) from None

    async def _listen(self, web: Any) -> None:
        port, rest_port = self._ports
        self.address = f"{self._host}:{self._grpc.add_insecure_port(f'{self._host}:{port}')}"
        await self._rest.setup()
        site = web.TCPSite(self._rest, self._host.strip("[]"), rest_port)
        await site.start()
        self.rest_address = f"{self._host}:{self._rest.addresses[0][1]}"
        await self._grpc.start()

    async def stop(self, grace: float = GRACE) -> None:
        """Stops listening; open requests get `grace` seconds to end."""
        await asyncio.gather(self._grpc.stop(grace), self._rest.cleanup())
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[float], bytes], seconds: float | None) -> bytes:
        """Calls `work(seconds left)` in a thread of the pool.

        Raises:
            Failure: The queue is full, or `work` has failed; INTERNAL for a bug of the server.
        """
        if self._places <= 0:
            raise Failure("UNAVAILABLE", f"{self._waiting} requests wait already")
        limit = self._timeout if seconds is None else min(seconds, self._timeout)
        call = functools.partial(_call, work, time.monotonic() + limit)
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._places += 1

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
        self.model.close()


class ServerOptions(TypedDict, total=False):
    """The options of `Server`."""

    host: str
    port: int
    rest_port: int
    name: str | None
    threads: int | None
    waiting: int
    timeout: float
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


def _call(work: Callable[[float], bytes], deadline: float) -> bytes:
    try:
        return work(deadline - time.monotonic())
    except Failure:
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        raise Failure("INTERNAL", f"{type(error).__name__}: {first_line(error)}") from None


def _logger() -> logging.Logger:
    """aiohttp's logger, without tracebacks for callers that do not speak HTTP."""
    from aiohttp.http_exceptions import HttpProcessingError

    logger = logging.getLogger("keras_deep_rnn.export.testing_server.server")
    logger.addFilter(lambda r: not (r.exc_info and isinstance(r.exc_info[1], HttpProcessingError)))
    return logger


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

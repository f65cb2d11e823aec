"""`RestListener`: the connections over which a server is asked by REST."""

import asyncio
import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class RestListener:
    """Listens for an application of aiohttp.

    Args:
        app: The application.
        connections: Most connections at a time; one more is sent away with 503.
        header_timeout: Seconds after which a connection is closed whose next request has not begun,
            or the rest of whose body nobody reads.

    Attributes:
        port: The port, once it has started.
    """

    def __init__(self, app: web.Application, connections: int, header_timeout: float) -> None:
        self._connections = connections
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_logger(),
            handler_cancellation=True,  # what nobody waits for any more is not begun
            # aiohttp counts it from the first byte, or none, to the end of the header.
            keepalive_timeout=header_timeout,
            lingering_time=header_timeout,
        )
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listens on the running event loop.

        Raises:
            OSError: The port is in use, or the host is not of this machine.
        """
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        # Of those that have come together it accepts so many before it sends the first one away.
        backlog = min(self._connections, 100)
        self._server = await loop.create_server(self._door, host, port, backlog=backlog)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening, and waits until the open requests are answered."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _door(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None  # it has been set up
        return _Door(server, self._connections)


class _Door(asyncio.Protocol):
    """Lets a new connection in, or sends it away where it is one too many."""

    def __init__(self, server: web.Server, connections: int) -> None:
        self._server, self._connections = server, connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if len(self._server.connections) < self._connections:
            protocol = self._server()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        else:
            transport.write(_FULL)
            transport.close()


def _logger() -> logging.Logger:
    """aiohttp's logger, without what is wrong with a request or the connection of a client."""
    by_clients = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
    logger = logging.getLogger("keras_deep_rnn.export.testing_server.rest_listener")
    logger.addFilter(lambda r: not (r.exc_info and isinstance(r.exc_info[1], by_clients)))
    return logger

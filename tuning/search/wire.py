"""JSON messages between the chief of a search and its workers, over gRPC.

Nothing is encrypted: who can listen to the network reads every message and the token. Listen at a
loopback address, or in a network whose machines are trusted.
"""

import concurrent.futures
import functools
import hmac
import inspect
import json
import math
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from ...utils.errors import (
    ArgumentError,
    ServerError,
    Unreachable,
    UserError,
    first_line,
    missing_extra,
)
from ...utils.network import check_address, parse_address

try:
    import grpc
except ImportError:
    raise missing_extra("grpcio", "tuning") from None

_SERVICE = "keras_deep_rnn.Search"
_TOKEN = "token"
_MESSAGE_BYTES = 64 * 2**20
# A line of an error travels as a header, in which a letter may take twelve bytes.
_LINE, _HEADER_BYTES = 10_000, 2**18
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_metadata_size", _HEADER_BYTES),
    ("grpc.absolute_max_metadata_size", _HEADER_BYTES),
]
# Without SO_REUSEPORT a port that is in use is refused, not shared.
_SERVER_OPTIONS = [*_OPTIONS, ("grpc.so_reuseport", 0)]
# A proxy is for the world outside, the other side of a search is not there. A pool of its own keeps
# a call from waiting because another one found nobody.
_CLIENT_OPTIONS = [
    *_OPTIONS,
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_CODES = grpc.StatusCode
_NOBODY = (_CODES.UNAVAILABLE, _CODES.DEADLINE_EXCEEDED, _CODES.CANCELLED)
_REFUSALS = (
    _CODES.FAILED_PRECONDITION,
    _CODES.INVALID_ARGUMENT,
    _CODES.PERMISSION_DENIED,
    _CODES.RESOURCE_EXHAUSTED,
)


class Server:
    """Answers the calls of clients until it is stopped, several at a time.

    Args:
        address: "HOST:PORT" to listen at, where port 0 is any that is free.
        handlers: Dict from the name of a method to a function that takes the message as keyword
            arguments and returns a dict. A `UserError` that it raises reaches the caller.
        token: Secret that callers must know; None: whoever reaches the address may call.
        open_methods: Names of methods that need no token.
        threads: Number of calls that are answered at a time.

    Attributes:
        address: "HOST:PORT" with the port that was found.

    Raises:
        UserError: The address is malformed, in use or none of this machine.

    Example:

    >>> with Server("localhost:0", {"double": lambda x: {"result": 2 * x}}) as server:
    ...     Client(server.address).call("double", x=21)
    {'result': 42}
    """

    def __init__(
        self,
        address: str,
        handlers: Mapping[str, Callable[..., dict[str, Any]]],
        *,
        token: str | None = None,
        open_methods: Collection[str] = (),
        threads: int = 16,
    ) -> None:
        host, port = check_address(address)
        self._token, self._open = token, frozenset(open_methods)
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "wire")
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                functools.partial(self._answer, name, handler, inspect.signature(handler))
            )
            for name, handler in handlers.items()
        }
        generic = [grpc.method_handlers_generic_handler(_SERVICE, methods)]
        self._server = grpc.server(self._threads, generic, options=_SERVER_OPTIONS)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError:
            raise ArgumentError("address", "free to listen at", address) from None
        self.address = f"{host}:{port}"
        self._server.start()

    def stop(self, grace: float = 1.0) -> None:
        """Listens no more; calls that are being answered get `grace` seconds to end."""
        self._server.stop(grace).wait()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _answer(
        self,
        name: str,
        handler: Callable[..., dict[str, Any]],
        signature: inspect.Signature,
        data: bytes,
        context: grpc.ServicerContext,
    ) -> bytes:
        """The reply to a call as bytes; empty beside a code and a line."""
        try:
            self._admit(name, context)
            call = _bound(name, signature, data)
            return _encoded(handler(*call.args, **call.kwargs))
        except _Refusal as refusal:
            code, line = refusal.args
        except UserError as error:
            code, line = _CODES.FAILED_PRECONDITION, " ".join(str(error).splitlines())
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            code, line = _CODES.INTERNAL, f"{type(error).__name__}: {first_line(error)}"
        context.set_code(code)
        context.set_details(line[:_LINE])
        return b""

    def _admit(self, name: str, context: grpc.ServicerContext) -> None:
        """Refuses a caller that does not know the token."""
        if self._token is None or name in self._open:
            return
        given: Any = dict(context.invocation_metadata()).get(_TOKEN, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            line = "`token` must be that of the search; one that was replaced has a new one."
            raise _Refusal(_CODES.PERMISSION_DENIED, line)


class _Refusal(Exception):
    """A call that does not get as far as its handler: code and line."""


def _bound(name: str, signature: inspect.Signature, data: bytes) -> inspect.BoundArguments:
    """The arguments of a handler that a message holds."""
    try:
        return signature.bind(**_decoded(data))
    except (ValueError, TypeError, RecursionError) as error:
        line = f"The message to `{name}` cannot be read: {first_line(error)}."
        raise _Refusal(_CODES.INVALID_ARGUMENT, line) from None


class Client:
    """Calls a server. Each call connects anew, so it never waits for what became of an earlier one.

    Args:
        address: "HOST:PORT" of the server.
        token: The server's secret; it may also be set later.

    Raises:
        UserError: The address is malformed.
    """

    def __init__(self, address: str, *, token: str | None = None) -> None:
        host, port = parse_address(address, lowest=1)
        self.address, self.token = f"{host}:{port}", token

    def call(self, method: str, /, *, timeout: float = 30.0, **message: Any) -> dict[str, Any]:
        """The server's reply.

        Args:
            method: Name of the method.
            timeout: Seconds to wait for the reply.
            message: Its arguments: what JSON can hold, without NaN.

        Returns:
            A dict.

        Raises:
            Unreachable: Nobody listens there, or there was no reply in time.
            UserError: The server refuses the call, with its reason.
            ServerError: The server has failed in the call.
        """
        data = _encoded(message)
        metadata = () if self.token is None else ((_TOKEN, self.token),)
        # The scheme keeps a host named `unix` or `ipv4` from being taken for one.
        with grpc.insecure_channel(f"dns:///{self.address}", _CLIENT_OPTIONS) as channel:
            remote = channel.unary_unary(f"/{_SERVICE}/{method}")
            try:
                reply = remote(data, timeout=timeout, metadata=metadata)
            except grpc.RpcError as error:
                raise self._error(method, timeout, error.code(), error.details()) from None
        try:
            return _decoded(reply)
        except (ValueError, TypeError, RecursionError) as error:
            raise ServerError(f"{self.address} does not speak as a chief: {error}.") from None

    def _error(
        self, method: str, timeout: float, code: grpc.StatusCode, details: str | None
    ) -> Exception:
        line = " ".join((details or code.name).split())
        if code is _CODES.DEADLINE_EXCEEDED:
            line = f"no reply within {timeout:g} seconds"
        if code in _NOBODY:
            return Unreachable(f"Nobody answers at {self.address}: {line}.")
        if code in _REFUSALS:
            return UserError(details)
        if code is _CODES.UNIMPLEMENTED:
            return UserError(f"{self.address} knows no {method!r}: is it of another version?")
        return ServerError(f"{self.address} has failed in {method!r}: {line}; its log tells more.")


def _encoded(message: dict[str, Any]) -> bytes:
    """The bytes of a dict."""
    if not isinstance(message, dict):
        raise TypeError(f"a message must be a dict, got {type(message).__name__}")
    return json.dumps(message, allow_nan=False).encode("ascii")


def _decoded(data: bytes) -> dict[str, Any]:
    """The dict that bytes hold."""
    message = json.loads(data.decode("utf-8"), parse_float=_finite, parse_constant=_finite)
    if not isinstance(message, dict):
        raise TypeError(f"a message must be a dict, got {type(message).__name__}")
    return message


def _finite(text: str) -> float:
    """A number of a message; JSON has no NaN, and 1e999 would become an infinity."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number must be finite, got {text}")
    return number

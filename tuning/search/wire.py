"""JSON messages between the chief of a search and its workers, over gRPC.

Messages and the token are not encrypted: listen on a loopback address or in a trusted network.
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
# An error line is sent as a header, in which a character may take 12 bytes.
_LINE, _HEADER_BYTES = 10_000, 2**18
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_metadata_size", _HEADER_BYTES),
    ("grpc.absolute_max_metadata_size", _HEADER_BYTES),
]
# Without SO_REUSEPORT a port in use is refused, not shared.
_SERVER_OPTIONS = [*_OPTIONS, ("grpc.so_reuseport", 0)]
# No proxy: chief and workers are in one network. With its own subchannel pool a call does not wait
# for the reconnection backoff of an earlier one.
_CLIENT_OPTIONS = [
    *_OPTIONS,
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_CODES = grpc.StatusCode
_UNREACHABLE = (_CODES.UNAVAILABLE, _CODES.DEADLINE_EXCEEDED, _CODES.CANCELLED)
_REFUSALS = (
    _CODES.FAILED_PRECONDITION,
    _CODES.INVALID_ARGUMENT,
    _CODES.PERMISSION_DENIED,
    _CODES.RESOURCE_EXHAUSTED,
)


class Server:
    """Answers calls of clients, several at a time, until it is stopped.

    Args:
        address: "HOST:PORT" to listen at; port 0 is any free port.
        handlers: Dict from the name of a method to a function that takes the message as keyword
            arguments and returns a dict. A `UserError` is passed on to the caller.
        token: Secret that callers must send; None: no authentication.
        open_methods: Names of methods without authentication.
        threads: Number of concurrent calls.

    Attributes:
        address: "HOST:PORT" with the actual port.

    Raises:
        ArgumentError: The address is malformed, in use or not of this machine.

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
        """Stops listening; running calls have `grace` seconds to end."""
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
        """The encoded reply to a call; empty if the status of `context` is an error."""
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
        """Checks the token of a caller."""
        if self._token is None or name in self._open:
            return
        given: Any = dict(context.invocation_metadata()).get(_TOKEN, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            line = "`token` must be that of the search; an overwritten search has a new one."
            raise _Refusal(_CODES.PERMISSION_DENIED, line)


class _Refusal(Exception):
    """Status code and line of a call that does not reach its handler."""


def _bound(name: str, signature: inspect.Signature, data: bytes) -> inspect.BoundArguments:
    """Binds a message to the parameters of a handler."""
    try:
        return signature.bind(**_decoded(data))
    except (ValueError, TypeError, RecursionError) as error:
        line = f"The message to `{name}` cannot be read: {first_line(error)}."
        raise _Refusal(_CODES.INVALID_ARGUMENT, line) from None


class Client:
    """Calls a server, with a new connection for each call.

    Args:
        address: "HOST:PORT" of the server.
        token: Secret of the server; may be set later.

    Raises:
        UserError: The address is malformed.
    """

    def __init__(self, address: str, *, token: str | None = None) -> None:
        host, port = parse_address(address, lowest=1)
        self.address, self.token = f"{host}:{port}", token

    def call(self, method: str, /, *, timeout: float = 30.0, **message: Any) -> dict[str, Any]:
        """Calls a method of the server.

        Args:
            method: Name of the method.
            timeout: Timeout in seconds.
            message: Its arguments, for JSON without NaN.

        Returns:
            The reply, a dict.

        Raises:
            Unreachable: There is no server at the address, or no reply in time.
            UserError: The server refuses the call.
            ServerError: The call has failed in the server.
        """
        data = _encoded(message)
        metadata = () if self.token is None else ((_TOKEN, self.token),)
        # With the scheme gRPC takes no host name, such as `unix`, for another scheme.
        with grpc.insecure_channel(f"dns:///{self.address}", _CLIENT_OPTIONS) as channel:
            remote = channel.unary_unary(f"/{_SERVICE}/{method}")
            try:
                reply = remote(data, timeout=timeout, metadata=metadata)
            except grpc.RpcError as error:
                raise self._error(method, timeout, error.code(), error.details()) from None
        try:
            return _decoded(reply)
        except (ValueError, TypeError, RecursionError) as error:
            raise ServerError(f"{self.address} is not a chief: {error}.") from None

    def _error(
        self, method: str, timeout: float, code: grpc.StatusCode, details: str | None
    ) -> Exception:
        line = " ".join((details or code.name).split())
        if code is _CODES.DEADLINE_EXCEEDED:
            line = f"no reply within {timeout:g} seconds"
        if code in _UNREACHABLE:
            return Unreachable(f"No answer from {self.address}: {line}.")
        if code in _REFUSALS:
            return UserError(details)
        if code is _CODES.UNIMPLEMENTED:
            return UserError(f"{self.address} has no method {method!r}: is it of another version?")
        return ServerError(f"{method!r} has failed at {self.address}: {line}; see its log.")


def _encoded(message: dict[str, Any]) -> bytes:
    """Encodes a message."""
    if not isinstance(message, dict):
        raise TypeError(f"a message must be a dict, got {type(message).__name__}")
    return json.dumps(message, allow_nan=False).encode("ascii")


def _decoded(data: bytes) -> dict[str, Any]:
    """Decodes a message."""
    message = json.loads(data.decode("utf-8"), parse_float=_finite, parse_constant=_finite)
    if not isinstance(message, dict):
        raise TypeError(f"a message must be a dict, got {type(message).__name__}")
    return message


def _finite(text: str) -> float:
    """Parses a number of a message; NaN, and 1e999, which would be infinite, are refused."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number must be finite, got {text}")
    return number

"""TF Serving's REST API of one model, as an application of aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict

from ..client import rest_format
from ..client.status import Failure, one_line
from .grpc_service import SIGNATURES, Run, signature_map, status_of
from .host_check import check_host

if TYPE_CHECKING:
    from .served_model import ServedModel

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d{1,30})|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>:predict|/metadata)?",
    re.ASCII,
)
_METHODS = {":predict": "POST", "/metadata": "GET", None: "GET"}


def application(
    model: ServedModel,
    run: Run,
    *,
    host: str,
    max_message_bytes: int,
    timeout: float,
) -> web.Application:
    """The application, whose work is done by `run`.

    Args:
        model: The served model.
        run: As for `grpc_service.handlers`.
        host: Where the server listens.
        max_message_bytes: Size limit of the body of a request and of its answer.
        timeout: Time limit for a body to arrive, and for an answer to leave, in seconds.
    """
    max_values = max_message_bytes // rest_format.BYTES_PER_VALUE

    async def answer(request: web.Request) -> web.Response:
        check_host(request.headers.get("Host"), host)
        what, found = _parsed(request)
        version = None if found["version"] is None else int(found["version"])
        model.check(found["name"], version, found["label"])
        if what == ":predict":
            body = await _body(request, timeout)
            return _json(await run(lambda left: predict(model, body, left, max_values), None))
        return _json(json.dumps(metadata(model) if what else status(model), indent=1).encode())

    async def respond(request: web.Request) -> web.StreamResponse:
        response = await _answered(request, answer)
        await _send(request, response, timeout)
        return response

    app = web.Application(client_max_size=max_message_bytes)
    app.router.add_route("*", "/{path:.*}", respond)
    return app


def predict(
    model: ServedModel, body: bytes, seconds: float | None, max_values: int | None = None
) -> bytes:
    """Answers the body of a predict request."""
    name, value, form = rest_format.parse(body, max_values)
    name, _ = model.signature(name)
    inputs = rest_format.arrays(value, form, model.dtypes(name))
    return rest_format.answer(model.run(name, inputs, seconds=seconds, max_values=max_values), form)


def metadata(model: ServedModel) -> dict[str, Any]:
    """The model's signatures, as a dict."""
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": str(model.version)},
        "metadata": {SIGNATURES: _as_dict(signature_map(model))},
    }


def status(model: ServedModel) -> dict[str, Any]:
    """The status of the version, as a dict."""
    return _as_dict(status_of(model))


def _as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _parsed(request: web.Request) -> tuple[str | None, re.Match[str]]:
    """The kind of the request, and the match of its path."""
    found = _PATH.fullmatch(request.path)
    if not found or _METHODS[found["what"]] != request.method:
        line = f"Malformed request: {request.method} {request.path}"
        raise Failure("INVALID_ARGUMENT", line)
    return found["what"], found


async def _body(request: web.Request, timeout: float) -> bytes:
    try:
        async with asyncio.timeout(timeout):
            return await request.read()
    except TimeoutError:
        raise Failure("DEADLINE_EXCEEDED", "the body has not arrived in time") from None


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


async def _answered(
    request: web.Request, answer: Callable[[web.Request], Awaitable[web.Response]]
) -> web.Response:
    """Writes errors as TF Serving does, {"error": reason}."""
    try:
        return await answer(request)
    except Failure as failure:
        number, reason = failure.http, one_line(failure.reason)
    except web.HTTPException as error:  # a body that is too large
        number, reason = error.status, error.reason
    except (web.RequestPayloadError, ConnectionError) as error:
        number, reason = 400, f"The body cannot be read: {error}"
    return _json(json.dumps({"error": reason}).encode(), number)


async def _send(request: web.Request, response: web.Response, timeout: float) -> None:
    """Sends a response, and breaks the connection to a client that does not take it in time."""
    transport = request.transport
    if transport is None:  # the client has gone
        return
    transport.set_write_buffer_limits(0)  # so that all is sent when nothing waits any more
    try:
        async with asyncio.timeout(timeout):
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
    except TimeoutError:
        transport.abort()

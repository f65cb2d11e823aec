"""Handlers of TF Serving's PredictionService and ModelService over gRPC.

They take bytes, so that an unreadable message gets a clear error, and parse them in the thread of
the model instead of on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from ..client.status import Failure, one_line
from ..client.tensors import to_arrays, to_proto

if TYPE_CHECKING:
    from .served_model import ServedModel

# Length to which TF Serving cuts its messages; a longer one does not fit into the headers.
LINE = 1024
SIGNATURES = "signature_def"
# Calls a function of the remaining seconds off the event loop, given the deadline of the caller.
Run = Callable[[Callable[[float], bytes], float | None], Awaitable[bytes]]
# protobuf makes the classes of these modules when they are imported, unseen by type checkers.
_predict: Any = predict_pb2
_metadata: Any = get_model_metadata_pb2
_status: Any = get_model_status_pb2


def handlers(model: ServedModel, run: Run, timeout: float) -> list[grpc.GenericRpcHandler]:
    """The generic handlers of both services.

    Args:
        model: The served model.
        run: What their work is done by.
        timeout: Time limit for the message of a request to arrive, in seconds.
    """
    services = {
        "PredictionService": {"Predict": predict, "GetModelMetadata": metadata},
        "ModelService": {"GetModelStatus": status},
    }
    return [
        grpc.method_handlers_generic_handler(
            f"tensorflow.serving.{service}",
            {
                # On the wire the same as unary; but a stream is read here, with a time limit.
                name: grpc.stream_unary_rpc_method_handler(_method(work, model, run, timeout))
                for name, work in methods.items()
            },
        )
        for service, methods in services.items()
    ]


def _method(
    work: Callable[[ServedModel, bytes, float], bytes], model: ServedModel, run: Run, timeout: float
) -> Callable[[Any, Any], Awaitable[bytes]]:
    async def answer(_: Any, context: grpc.aio.ServicerContext) -> bytes:
        try:
            data = await _message(context, timeout)
            return await run(lambda left: work(model, data, left), context.time_remaining())
        except Failure as failure:
            code = grpc.StatusCode[failure.code]
            line = one_line(failure.reason)[:LINE]
        await context.abort(code, line)

    return answer


async def _message(context: Any, timeout: float) -> bytes:
    try:
        async with asyncio.timeout(timeout):
            data = await context.read()
    except TimeoutError:
        raise Failure("DEADLINE_EXCEEDED", "the message has not arrived in time") from None
    if not isinstance(data, bytes):  # the end of the stream
        raise Failure("INVALID_ARGUMENT", "there is no message")
    return data


def predict(model: ServedModel, data: bytes, seconds: float | None) -> bytes:
    """Answers a serialized `PredictRequest` with a `PredictResponse`."""
    request = _read(_predict.PredictRequest, data)
    _check(model, request)
    inputs = to_arrays(request.inputs)
    name, _ = model.signature(request.model_spec.signature_name)
    outputs = model.run(name, inputs, tuple(request.output_filter), seconds)
    response = _predict.PredictResponse()
    _write_spec(model, response)
    response.model_spec.signature_name = name
    for key, array in outputs.items():
        to_proto(array, response.outputs[key])
    return response.SerializeToString()


def metadata(model: ServedModel, data: bytes, seconds: float | None = None) -> bytes:
    """Answers a serialized `GetModelMetadataRequest` with the signatures."""
    request = _read(_metadata.GetModelMetadataRequest, data)
    _check(model, request)
    fields = list(request.metadata_field)
    if not fields or set(fields) != {SIGNATURES}:
        raise Failure("INVALID_ARGUMENT", f"metadata_field must be [{SIGNATURES!r}], got {fields}")
    return metadata_of(model).SerializeToString()


def metadata_of(model: ServedModel) -> Any:
    """The `GetModelMetadataResponse` of a model."""
    response = _metadata.GetModelMetadataResponse()
    _write_spec(model, response)
    response.metadata[SIGNATURES].Pack(signature_map(model))
    return response


def signature_map(model: ServedModel) -> Any:
    """The `SignatureDefMap` of a model."""
    signatures = _metadata.SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures


def status(model: ServedModel, data: bytes, seconds: float | None = None) -> bytes:
    """Answers a serialized `GetModelStatusRequest`: the one version is available."""
    _check(model, _read(_status.GetModelStatusRequest, data))
    return status_of(model).SerializeToString()


def status_of(model: ServedModel) -> Any:
    """The `GetModelStatusResponse` of a model."""
    response = _status.GetModelStatusResponse()
    state = _status.ModelVersionStatus.AVAILABLE
    entry = response.model_version_status.add(version=model.version, state=state)
    entry.status.error_message = ""
    return response


def _read(kind: Any, data: bytes) -> Any:
    try:
        request = kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise Failure("INVALID_ARGUMENT", f"the message is no {name}") from None
    if not request.HasField("model_spec"):
        raise Failure("INVALID_ARGUMENT", "Missing ModelSpec")
    return request


def _check(model: ServedModel, request: Any) -> None:
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    model.check(spec.name, version, spec.version_label)


def _write_spec(model: ServedModel, response: Any) -> None:
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version

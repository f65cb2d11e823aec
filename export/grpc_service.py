"""TF Serving's PredictionService and ModelService over gRPC, as handlers of bytes.

Bytes, so that a message that cannot be read gets a line of ours, and so that reading happens where
the model runs and not on the event loop.
"""

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from .status import Failure, one_line
from .tensors import to_array, to_proto

# What TF Serving cuts its messages to; a longer one does not fit the headers that carry it.
LINE = 1024
SIGNATURES = "signature_def"


def handlers(model, run):
    """The generic handlers of both services.

    Args:
        model: A `ServedModel`.
        run: Coroutine function that calls `work(seconds left)` off the event loop, given `work`
            and the seconds that the caller waits at most, and returns what `work` does.

    Returns:
        List of `grpc.GenericRpcHandler`.
    """
    services = {
        "PredictionService": {"Predict": predict, "GetModelMetadata": metadata},
        "ModelService": {"GetModelStatus": status},
    }
    return [
        grpc.method_handlers_generic_handler(
            f"tensorflow.serving.{service}",
            {
                name: grpc.unary_unary_rpc_method_handler(_method(work, model, run))
                for name, work in methods.items()
            },
        )
        for service, methods in services.items()
    ]


def _method(work, model, run):
    async def answer(data, context):
        try:
            return await run(lambda left: work(model, data, left), context.time_remaining())
        except Failure as failure:
            code = grpc.StatusCode[failure.code]
            line = one_line(failure.reason)[:LINE]
        await context.abort(code, line)

    return answer


def predict(model, data, seconds):
    """The bytes of a `PredictResponse` to those of a `PredictRequest`."""
    request = _read(predict_pb2.PredictRequest, data)
    _check(model, request)
    inputs = {key: to_array(proto) for key, proto in request.inputs.items()}
    name, _ = model.signature(request.model_spec.signature_name)
    outputs = model.run(name, inputs, tuple(request.output_filter), seconds)
    response = predict_pb2.PredictResponse()
    _write_spec(model, response)
    response.model_spec.signature_name = name
    for key, array in outputs.items():
        to_proto(array, response.outputs[key])
    return response.SerializeToString()


def metadata(model, data, seconds=None):
    """The bytes of a `GetModelMetadataResponse`: the signatures."""
    request = _read(get_model_metadata_pb2.GetModelMetadataRequest, data)
    _check(model, request)
    fields = list(request.metadata_field)
    if not fields or set(fields) != {SIGNATURES}:
        raise Failure("INVALID_ARGUMENT", f"metadata_field must be [{SIGNATURES!r}], got {fields}")
    return metadata_of(model).SerializeToString()


def metadata_of(model):
    """The `GetModelMetadataResponse` of a model."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    _write_spec(model, response)
    response.metadata[SIGNATURES].Pack(signature_map(model))
    return response


def signature_map(model):
    """The `SignatureDefMap` of a model."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures


def status(model, data, seconds=None):
    """The bytes of a `GetModelStatusResponse`: the one version is there."""
    _check(model, _read(get_model_status_pb2.GetModelStatusRequest, data))
    return status_of(model).SerializeToString()


def status_of(model):
    """The `GetModelStatusResponse` of a model."""
    response = get_model_status_pb2.GetModelStatusResponse()
    state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    entry = response.model_version_status.add(version=model.version, state=state)
    entry.status.error_message = ""
    return response


def _read(kind, data):
    try:
        request = kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise Failure("INVALID_ARGUMENT", f"the message is no {name}") from None
    if not request.HasField("model_spec"):
        raise Failure("INVALID_ARGUMENT", "Missing ModelSpec")
    return request


def _check(model, request):
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    model.check(spec.name, version, spec.version_label)


def _write_spec(model, response):
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version

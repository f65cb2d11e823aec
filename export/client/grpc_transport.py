"""A client's calls over gRPC."""

from collections.abc import Callable
from typing import Any

from ...utils.errors import missing_extra
from ..model.signature_specs import Arrays, Specs, specs
from .status import Failure

try:
    import grpc
except ImportError:
    raise missing_extra("grpcio", "serving") from None
try:
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError as error:
    if error.name == "tensorflow":
        raise missing_extra("tensorflow", "export") from None
    raise missing_extra("tensorflow-serving-api", "serving") from None
from google.protobuf.json_format import MessageToDict

from .tensors import to_arrays, to_proto

# protobuf makes the classes of these modules when they are imported, unseen by type checkers.
_predict: Any = predict_pb2
_metadata: Any = get_model_metadata_pb2
_status: Any = get_model_status_pb2
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Reconnects soon after a restart of the server.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # No proxy, and no connection shared with other clients, whose failures are not ours.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcTransport:
    """Calls of one model at a server.

    Args:
        address: "HOST:PORT".
        model: Name of the model.
    """

    def __init__(self, address: str, model: str) -> None:
        self._model = model
        # The scheme keeps a host named `unix` or `ipv4` from being taken for one.
        self._channel = grpc.insecure_channel(f"dns:///{address}", _OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._status = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, signature: str, inputs: Arrays, version: int | None, timeout: float
    ) -> Arrays:
        """Calls a signature: outputs by name, or `Failure`."""
        request = self._request(_predict.PredictRequest, version)
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            to_proto(array, request.inputs[name])
        response = self._call(self._prediction.Predict, request, timeout)
        return to_arrays(response.outputs)

    def metadata(self, version: int | None, timeout: float) -> tuple[int, Specs]:
        """The number of the version that is served, and its signatures."""
        request = self._request(_metadata.GetModelMetadataRequest, version)
        request.metadata_field.append("signature_def")
        response = self._call(self._prediction.GetModelMetadata, request, timeout)
        signatures = _metadata.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        found = MessageToDict(signatures, preserving_proto_field_name=True)
        return response.model_spec.version.value, specs(found)

    def status(self, version: int | None, timeout: float) -> dict[int, str]:
        """The state of each version, by number."""
        request = self._request(_status.GetModelStatusRequest, version)
        response = self._call(self._status.GetModelStatus, request, timeout)
        name = _status.ModelVersionStatus.State.Name
        return {entry.version: name(entry.state) for entry in response.model_version_status}

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _request(self, kind: Callable[[], Any], version: int | None) -> Any:
        request = kind()
        request.model_spec.name = self._model
        if version is not None:
            request.model_spec.version.value = version
        return request

    def _call(self, method: Callable[..., Any], request: Any, timeout: float) -> Any:
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or error.code().name) from None

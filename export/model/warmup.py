"""Warm-up requests, which TF Serving replays before it serves a model.

TF Serving replays assets.extra/tf_serving_warmup_requests, a TFRecord file of PredictionLog, so
that the first user does not wait for one-time work.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

from ...utils.errors import missing_extra
from .signature_specs import Arrays

WARMUP = "assets.extra/tf_serving_warmup_requests"


def write_warmup(
    folder: str | os.PathLike[str], name: str, cases: Iterable[tuple[str, Arrays]]
) -> None:
    """Writes the warm-up file of a version: a request of model `name` for each case."""
    prediction_log = _protos()
    path = Path(folder, WARMUP)
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in cases:
            log = prediction_log.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for tensor, value in inputs.items():
                request.inputs[tensor].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


def read_warmup(folder: str | os.PathLike[str]) -> list[tuple[str, str, Arrays]]:
    """The requests in the warm-up file: a list of (model, signature, {input: array}).

    Raises:
        ValueError: The file is not what TF Serving reads.
    """
    prediction_log = _protos()
    requests = []
    try:
        for record in tf.data.TFRecordDataset(str(Path(folder, WARMUP))):
            log = prediction_log.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            requests.append((request.model_spec.name, request.model_spec.signature_name, inputs))
    except Exception as error:  # protobuf and TensorFlow have many
        raise ValueError(f"{WARMUP} cannot be read: {error}") from error
    return requests


def _protos() -> Any:
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ModuleNotFoundError:
        raise missing_extra("tensorflow_serving", "export") from None
    return prediction_log_pb2

"""The stand-in for TF Serving, asked with gRPC and HTTP themselves, not with the client."""

import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest

from benchmarks.served_process import ServedProcess
from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.utils.errors import UserError

if keras.backend.backend() != "tensorflow" or not importlib.util.find_spec("tensorflow_serving"):
    pytest.skip("needs TensorFlow and the extra `serving`", allow_module_level=True)

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_deep_rnn.export.client.status import Failure
from keras_deep_rnn.export.testing_server.server import Server

COMMAND = pathlib.Path(sys.executable).with_name("deep-rnn")
X = np.array([[1, 2, 3], [4, 0, 0]], "int32")


@pytest.fixture(scope="module")
def server(exports):
    with Server(exports["text"], max_message_bytes=2**20, timeout=20) as server:
        yield server


@pytest.fixture(scope="module")
def signatures(exports):
    return tf.saved_model.load(str(exports["text"] / "1")).signatures


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def predict(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict


def request(signature="serving_default", name="text", **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return message


def http_call(server, method, path, body=None):
    """Status and message of JSON."""
    host, port = server.rest_address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.getheader("Content-Type").startswith("application/json"), content
    return answer.status, json.loads(content)


def post(server, body, path="/v1/models/text:predict"):
    return http_call(server, "POST", path, body)


def refused(call, message):
    with pytest.raises(grpc.RpcError) as error:
        call(message, timeout=60)
    return error.value.code().name, error.value.details()


@pytest.mark.slow
def test_predict_over_grpc(predict, signatures):
    answer = predict(request("padded", x=X, lengths=np.array([3, 1], "int32")))
    assert answer.model_spec.name == "text"
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "padded"
    expected = signatures["padded"](x=tf.constant(X), lengths=tf.constant([3, 1]))
    assert set(answer.outputs) == {"y", "probabilities"} == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_allclose(tf.make_ndarray(answer.outputs[name]), tensor, atol=1e-6)


def test_values_in_any_field(predict):
    """A tensor may come as bytes, as a list of values, or as one value for all."""
    lengths = np.array([3, 3], "int32")
    first = predict(request("padded", x=X, lengths=lengths))
    for x in (tf.make_tensor_proto(X.ravel().tolist(), tf.int32, X.shape),):
        message = request("padded", lengths=lengths)
        message.inputs["x"].CopyFrom(x)
        message.inputs["lengths"].CopyFrom(tf.make_tensor_proto([3], tf.int32))
        message.inputs["lengths"].tensor_shape.dim[0].size = 2
        assert predict(message).outputs == first.outputs


def test_output_filter(predict):
    message = request(x=X)
    message.output_filter.append("y")
    assert set(predict(message).outputs) == {"y"}
    message.output_filter.append("y")
    assert refused(predict, message)[0] == "INVALID_ARGUMENT"
    message.output_filter[1] = "h"
    code, line = refused(predict, message)
    assert code == "INVALID_ARGUMENT"
    assert "output tensor alias not found in signature: h" in line


def test_status_and_metadata_over_grpc(channel, server):
    status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
    message = get_model_status_pb2.GetModelStatusRequest()
    assert refused(status, message) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    message.model_spec.name = "text"
    (entry,) = status(message).model_version_status
    assert (entry.version, entry.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)

    metadata = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata
    message = get_model_metadata_pb2.GetModelMetadataRequest()
    message.model_spec.name = "text"
    assert refused(metadata, message)[0] == "INVALID_ARGUMENT"
    message.metadata_field.append("signature_def")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer = metadata(message)
    assert answer.model_spec.version.value == 1
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {
        "serving_default", "padded", "prefill", "step", "initial_state", "generate",
    }  # fmt: skip


def test_rows_and_columns_over_rest(server, signatures):
    expected = signatures["padded"](x=tf.constant(X), lengths=tf.constant([3, 1]))
    inputs = {"x": X.tolist(), "lengths": [3, 1]}
    status, columns = post(server, {"signature_name": "padded", "inputs": inputs})
    assert status == 200
    rows = [{"x": X[0].tolist(), "lengths": 3}, {"x": X[1].tolist(), "lengths": 1}]
    status, by_row = post(server, {"signature_name": "padded", "instances": rows})
    assert status == 200
    for name, tensor in expected.items():
        np.testing.assert_allclose(columns["outputs"][name], tensor, atol=1e-6)
        np.testing.assert_allclose([r[name] for r in by_row["predictions"]], tensor, atol=1e-6)


def test_whole_sequences_need_neither_names_nor_lengths(server, predict, signatures):
    """As `curl` sends them, or any client that knows the model's input alone."""
    expected = signatures["serving_default"](x=tf.constant(X))
    status, answer = post(server, {"instances": X.tolist()})
    assert status == 200
    over_grpc = predict(request(x=X)).outputs
    for name, tensor in expected.items():
        np.testing.assert_allclose([row[name] for row in answer["predictions"]], tensor, atol=1e-6)
        np.testing.assert_allclose(tf.make_ndarray(over_grpc[name]), tensor, atol=1e-6)


def test_one_input_and_one_output_need_no_names(server):
    for body, key in (({"inputs": [0, 0]}, "outputs"), ({"instances": [0, 0]}, "predictions")):
        status, answer = post(server, {"signature_name": "initial_state", **body})
        assert (status, np.shape(answer[key])) == (200, (2, 7))


def test_status_and_metadata_over_rest(server):
    for place in ("", "/versions/1"):
        status, answer = http_call(server, "GET", f"/v1/models/text{place}")
        assert status == 200
        assert answer == {
            "model_version_status": [
                {
                    "version": "1",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        }
    status, answer = http_call(server, "GET", "/v1/models/text/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "text", "signature_name": "", "version": "1"}
    step = answer["metadata"]["signature_def"]["signature_def"]["step"]
    assert step["inputs"]["x_t"]["dtype"] == "DT_INT32"
    assert [dim["size"] for dim in step["inputs"]["state"]["tensor_shape"]["dim"]] == ["-1", "7"]


STATE = np.zeros((2, 7), "float32")
BAD = {
    "no such model": ({"name": "other"}, "NOT_FOUND", "Servable not found"),
    "no name": ({"name": ""}, "INVALID_ARGUMENT", "no name"),
    "no such signature": ({"signature": "walk"}, "FAILED_PRECONDITION", '"walk" not found'),
    "missing": ({"state": None}, "INVALID_ARGUMENT", "missing but required: {state}"),
    "extra": ({"z": X}, "INVALID_ARGUMENT", "sent extra: {z}"),
    "dtype": ({"x_t": np.ones(2, "float32")}, "INVALID_ARGUMENT", "must be int32, got float32"),
    "texts": ({"x_t": np.array(["a", "b"])}, "INVALID_ARGUMENT", "must be int32, got object"),
    "rank": ({"x_t": X}, "INVALID_ARGUMENT", r"shape \[-1\], -1 for any size, got \[2, 3\]"),
    "width": ({"state": STATE[:, :3]}, "INVALID_ARGUMENT", "shape"),
    "batch": ({"state": STATE[:1]}, "INVALID_ARGUMENT", "one row for each"),
    "NaN": ({"state": STATE + np.nan}, "INVALID_ARGUMENT", "must be finite"),
    "large token": ({"x_t": np.array([1, 5], "int32")}, "INVALID_ARGUMENT", "."),
    "negative token": ({"x_t": np.array([-1, 1], "int32")}, "INVALID_ARGUMENT", "."),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(predict, server, case):
    changed, code, reason = BAD[case]
    given = {"signature": "step", "name": "text", "x_t": X[:, 0], "state": STATE, **changed}
    given = {name: value for name, value in given.items() if value is not None}
    got, line = refused(predict, request(**given))
    assert (got, "\n" in line) == (code, False)
    assert re.search(reason, line), line
    name, signature = given.pop("name"), given.pop("signature")
    if name and case != "texts":
        inputs = {key: value.tolist() for key, value in given.items()}
        body = {"signature_name": signature, "inputs": inputs}
        status, answer = post(server, body, f"/v1/models/{name}:predict")
        assert status == Failure(code, "").http
        assert answer["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"3", b"\xff", b"[" * 10**5, b'{"inputs": [1], "instances": [1]}',
        {"signature_name": 3, "inputs": [0]}, {"instances": []}, {"instances": {"rows": 1}},
        {"inputs": [[0], [0, 1]]}, {"inputs": [True]}, {"inputs": [0.5]}, {"inputs": [None]},
        {"inputs": [2**31]}, {"inputs": ["0"]}, {"inputs": {"b64": "AA=="}}, {"inputs": 0},
        {"instances": [{"rows": 0}, {"lines": 0}]}, {"instances": [{"rows": 0}, 0]},
        {"instances": [0, [0]]}, {"inputs": {}}, {},
    ],
)  # fmt: skip
def test_bad_bodies(server, body):
    body = body if isinstance(body, bytes) else {"signature_name": "initial_state", **body}
    status, answer = post(server, body)
    assert status == 400
    assert isinstance(answer["error"], str)
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 400), ("GET", "/v1/models", 400), ("GET", "/v1/models/text:predict", 400),
        ("POST", "/v1/models/text", 400), ("POST", "/v1/models/text:classify", 400),
        ("GET", "/v1/models/other", 404), ("GET", "/v1/models/text/versions/2", 404),
        ("GET", "/v1/models/text/versions/" + "9" * 40, 400),
        ("GET", "/v1/models/text/labels/stable", 400), ("DELETE", "/v1/models/text", 400),
        ("POST", "/v1/models/text/versions/2:predict", 404),
    ],
)  # fmt: skip
def test_other_addresses(server, method, path, status):
    body = {"signature_name": "initial_state", "inputs": [0]} if method == "POST" else None
    got, answer = http_call(server, method, path, body)
    assert (got, list(answer)) == (status, ["error"])


def test_a_message_that_is_no_request(channel):
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(predict, b"\xff\xff") == (
        "INVALID_ARGUMENT", "the message is no PredictRequest",
    )  # fmt: skip
    assert refused(predict, b"") == ("INVALID_ARGUMENT", "Missing ModelSpec")
    classify = channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
    assert refused(classify, b"")[0] == "UNIMPLEMENTED"


def test_a_shape_larger_than_memory(predict):
    message = request("initial_state", rows=np.zeros(1, "int32"))
    message.inputs["rows"].tensor_shape.dim[0].size = 2**62
    assert refused(predict, message)[0] == "INVALID_ARGUMENT"
    message.inputs["rows"].tensor_shape.dim[0].size = 2**40
    message.inputs["rows"].tensor_content = b""
    message.inputs["rows"].int_val.append(0)
    assert refused(predict, message)[0] == "INVALID_ARGUMENT"


def test_steps_beyond_the_cap_allocate_nothing(predict):
    inputs = {"x_t": X[:, 0], "state": STATE, "steps": np.array([1, 2**31 - 2], "int32")}
    inputs |= {"temperature": np.ones(2, "float32"), "seed": np.zeros(2, "int32")}
    start = time.monotonic()
    code, line = refused(predict, request("generate", **inputs))
    assert (code, "`steps` must lie between 0 and 10000" in line) == ("INVALID_ARGUMENT", True)
    assert time.monotonic() - start < 2


def test_messages_that_are_too_large(predict, server):
    rows = np.zeros(2**19, "int32")
    assert refused(predict, request("initial_state", rows=rows))[0] == "RESOURCE_EXHAUSTED"
    status, answer = post(server, {"signature_name": "initial_state", "inputs": rows.tolist()})
    assert (status, list(answer)) == (413, ["error"])
    assert len(predict(request("initial_state", rows=rows[:3])).outputs) == 1


@pytest.mark.slow
def test_time_is_limited(exports):
    """TensorFlow itself is stopped, and the next request need not wait for it."""
    steps = request(
        "generate",
        x_t=X[:, 0],
        state=STATE,
        steps=np.array([10_000, 10_000], "int32"),
        temperature=np.ones(2, "float32"),
        seed=np.zeros(2, "int32"),
    )
    with Server(exports["text"], timeout=0.1, threads=1) as server:
        with grpc.insecure_channel(server.address) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            start = time.monotonic()
            assert refused(predict, steps)[0] == "DEADLINE_EXCEEDED"
            assert time.monotonic() - start < 2
            start = time.monotonic()
            assert len(predict(request("initial_state", rows=X[0])).outputs) == 1
            assert time.monotonic() - start < 1


@pytest.mark.slow
def test_too_many_requests(exports):
    """More than may wait are told to come again, and those that wait get their answers."""
    model = {"x_t": X[:, 0], "state": STATE, "steps": np.full(2, 1000, "int32")}
    model |= {"temperature": np.ones(2, "float32"), "seed": np.zeros(2, "int32")}
    with Server(exports["text"], threads=1, waiting=1) as server:
        with grpc.insecure_channel(server.address) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            calls = [predict.future(request("generate", **model)) for _ in range(8)]
            codes = [call.code().name for call in calls]
            assert {"OK", "UNAVAILABLE"} == set(codes)
            assert codes.count("OK") >= 2
            status, _ = http_call(server, "GET", "/v1/models/text")
            assert status == 200


@pytest.mark.slow
def test_the_event_loop_is_free_while_the_model_runs(exports):
    model = {"x_t": X[:, 0], "state": STATE, "steps": np.full(2, 10_000, "int32")}
    model |= {"temperature": np.ones(2, "float32"), "seed": np.zeros(2, "int32")}
    with Server(exports["text"], threads=1) as server:
        with grpc.insecure_channel(server.address) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            call = predict.future(request("generate", **model))
            time.sleep(0.1)
            answers = 0
            while not call.done():
                assert http_call(server, "GET", "/v1/models/text")[0] == 200
                answers += 1
            assert call.code().name == "OK"
            assert answers > 3


def test_callers_that_do_not_speak_http(server, caplog):
    host, port = server.rest_address.split(":")
    for sent in (b"\x00\x01\x02\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
    assert http_call(server, "GET", "/v1/models/text")[0] == 200
    assert not caplog.records


def test_the_highest_version_and_a_version_itself(exports, tmp_path):
    name = tmp_path / "mine"
    name.mkdir()
    for version in ("2", "10"):
        os.symlink(exports["text"] / "1", name / version)
    os.mkdir(name / "11")  # not an export
    from keras_deep_rnn.export.testing_server.served_model import version_folder

    assert version_folder(name).name == "10"
    with Server(exports["text"] / "1", name="other") as server:
        assert (server.model.name, server.model.version) == ("other", 1)
        assert http_call(server, "GET", "/v1/models/other")[0] == 200


def test_what_cannot_be_served(exports, tmp_path):
    with pytest.raises(UserError, match=r"has no saved_model.pb in a numbered folder"):
        Server(tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="check 'operations' failed: cannot read") as error:
        Server(tmp_path)
    assert "\n" not in str(error.value)
    shutil.copytree(exports["text"] / "1", tmp_path / "2")
    for file in (tmp_path / "2" / "variables").iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match="`path` must be a model that loads, got .*: ") as error:
        Server(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="`timeout` must be above 0"):
        Server(exports["text"], timeout=0)
    for name, line in ((None, "Cannot read .*export.json': `model` must"), ("a/b", "`name` must")):
        shutil.copytree(exports["text"] / "1", tmp_path / "3", dirs_exist_ok=True)
        record = json.loads((tmp_path / "3" / "export.json").read_text())
        del record["checksum"]
        model = "text" if name else "\x1b[31m/tmp/elsewhere"
        (tmp_path / "3" / "export.json").write_text(json.dumps({**record, "model": model}))
        with pytest.raises(UserError, match=f"{line} be a name of letters") as error:
            Server(tmp_path, name=name)
        assert str(error.value).isprintable()


def test_a_graph_that_reads_files_is_not_loaded(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], "int32", "rows")])
        def read(self, rows):
            return {"state": tf.io.read_file("/etc/hostname")}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"read": module.read})
    with pytest.raises(UserError, match="check 'operations' failed: the graph has ReadFile"):
        Server(tmp_path)


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile(server, exports, monkeypatch):
    place = "keras_deep_rnn.export.testing_server.server.check_address"
    monkeypatch.setattr(place, lambda address: None)
    port, rest_port = (int(a.split(":")[1]) for a in (server.address, server.rest_address))
    for ports in ({"port": port}, {"rest_port": rest_port}):
        with pytest.raises(UserError, match="`port` must be free to listen at"):
            Server(exports["text"], **ports).__enter__()
    assert http_call(server, "GET", "/v1/models/text")[0] == 200


def deep_rnn(capsys, *arguments):
    """The command in this process, which has TensorFlow already: exit code, output, error line."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return end.value.code, *capsys.readouterr()


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_with_what_it_has_begun(exports, number):
    with ServedProcess(exports["text"]) as server:
        with grpc.insecure_channel(server.address) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            model = {"x_t": X[:, 0], "state": STATE, "steps": np.full(2, 5000, "int32")}
            model |= {"temperature": np.ones(2, "float32"), "seed": np.zeros(2, "int32")}
            call = predict.future(request("generate", **model))
            time.sleep(0.1)
            server.process.send_signal(number)
            assert len(call.result(timeout=30).outputs) == 2
        said = server.ended()
    assert server.process.returncode == 0
    assert said.endswith("Stopped.\n")


def test_the_command_and_a_port_in_use(exports, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, output, error = deep_rnn(
            capsys, "serve", exports["text"], "--port", port, "--rest-port", "0"
        )
    assert (code, output) == (2, "")
    assert error == (
        f"Error: --host must be free to listen at, got '127.0.0.1:{port}': "
        "Address already in use.\n"
    )


@pytest.mark.process
def test_the_command_warns_beyond_loopback(exports):
    process = subprocess.Popen(
        [COMMAND, "serve", exports["text"], "--host", "0.0.0.0", "--port", "0", "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(60, process.kill)
    timer.start()
    line = process.stdout.readline()
    process.terminate()
    process.communicate()
    timer.cancel()
    assert re.match(r"Warning: whoever reaches 0\.0\.0\.0:\d+ may call", line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "PATH must be the folder of an export"),
        (["nowhere", "--port", "70000"], "--port must be from 0 to 65535"),
        (["nowhere", "--threads", "0"], "--threads must be a positive integer"),
        (["nowhere", "--host", "no host"], "--host must be HOST:PORT"),
    ],
)
def test_mistakes_of_the_command(arguments, line, capsys):
    code, output, error = deep_rnn(capsys, "serve", *arguments)
    assert (code, output) == (2, "")
    assert error.startswith(f"Error: {line}")
    assert error.count("\n") == 1

"""What slow, greedy and hostile clients can do to the testing server, on loopback."""

import contextlib
import importlib.util
import json
import re
import resource
import socket
import struct
import threading
import time

import keras
import numpy as np
import psutil
import pytest

from benchmarks.served_process import ServedProcess
from keras_deep_rnn.utils.errors import UserError

if keras.backend.backend() != "tensorflow" or not importlib.util.find_spec("tensorflow_serving"):
    pytest.skip("needs TensorFlow and the extra `serving`", allow_module_level=True)

import grpc
from tensorflow_serving.apis import predict_pb2

from keras_deep_rnn.export import Client
from keras_deep_rnn.export.client.status import Failure
from keras_deep_rnn.export.testing_server.host_check import check_host
from keras_deep_rnn.export.testing_server.reply_size import reply_values, state_values
from keras_deep_rnn.export.testing_server.server import GRACE, Server

pytestmark = pytest.mark.process

PREDICT = "/tensorflow.serving.PredictionService/Predict"
POST = "POST /v1/models/text:predict HTTP/1.1\r\nHost: localhost\r\n"
STATE = np.zeros((2, 7), "float32")
LONG = {
    "x_t": np.zeros(2, "int32"), "state": STATE, "steps": np.full(2, 10_000, "int32"),
    "temperature": np.ones(2, "float32"), "seed": np.zeros(2, "int32"),
}  # fmt: skip


@pytest.fixture(scope="module")
def hasty(exports):
    """A server that waits for nobody."""
    with Server(exports["text"], timeout=0.5, header_timeout=0.3) as server:
        yield server


def connected(address, timeout=10):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def received(connection):
    """Everything until the other side ends the connection; TimeoutError if it does not."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            content += part
    return content


def rest(server, host="localhost", method="GET", path="/v1/models/text", body=b""):
    """Status and JSON of a request whose header names a host."""
    with connected(server.rest_address, 60) as connection:
        head = f"{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        head += "" if host is None else f"Host: {host}\r\n"
        connection.sendall(f"{head}\r\n".encode() + body)
        answer = received(connection)
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


@pytest.mark.parametrize("sent", ["", "POST /v1", POST, POST + "X-Name: va"])
def test_half_a_header_holds_no_connection(sent, hasty):
    with connected(hasty.rest_address) as connection:
        connection.sendall(sent.encode())
        start = time.monotonic()
        assert received(connection) == b""
        assert time.monotonic() - start < 5


def test_a_header_that_comes_in_drops_holds_no_connection(hasty):
    start = time.monotonic()
    with connected(hasty.rest_address) as connection, contextlib.suppress(ConnectionError):
        while time.monotonic() - start < 5:
            connection.sendall(b"X")
            time.sleep(0.05)
    assert time.monotonic() - start < 5


def test_half_a_body_holds_no_connection(hasty):
    with connected(hasty.rest_address) as connection:
        connection.sendall(f'{POST}Content-Length: 100\r\n\r\n{{"inputs'.encode())
        start = time.monotonic()
        answer = received(connection)
        assert time.monotonic() - start < 5
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"the body has not arrived in time" in answer


def frame(kind, flags, stream, payload):
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def half_a_call(length=1000):
    """The bytes of a call over gRPC that says a length and sends less."""
    fields = {
        ":method": "POST", ":scheme": "http", ":path": PREDICT, ":authority": "localhost",
        "te": "trailers", "content-type": "application/grpc",
    }  # fmt: skip
    names = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, names)
    return start + frame(0, 0, 1, b"\0" + struct.pack(">I", length) + b"half")


def test_half_a_message_over_grpc_is_answered(hasty):
    with connected(hasty.address) as connection:
        connection.sendall(half_a_call())
        answer = b""
        while b"the message has not arrived in time" not in answer:
            part = connection.recv(2**16)
            assert part
            answer += part


def test_a_connection_over_grpc_that_says_nothing_is_closed(hasty):
    with connected(hasty.address) as connection:
        received(connection)


def test_a_client_that_does_not_take_its_answer_is_cut_off(exports):
    """The answer, of 8 MB, is larger than what the system keeps for a connection."""
    x = np.zeros((50, 800), int).tolist()
    body = json.dumps({"signature_name": "serving_default", "inputs": x}).encode()
    with Server(exports["text"], timeout=3) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", int(server.rest_address.split(":")[1])))
        client.sendall(f"{POST}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert client.recv(12) == b"HTTP/1.1 200"
        time.sleep(4)
        head, _, content = received(client).partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert length > 6_000_000
    assert len(content) < length


@contextlib.contextmanager
def many(address, count):
    """Connections that send nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connected(address)) for _ in range(count)]


def test_one_connection_too_many_is_sent_away(exports):
    with Server(exports["text"], connections=3, header_timeout=2) as server:
        with many(server.rest_address, 3) as held:
            with connected(server.rest_address) as connection:
                assert received(connection).startswith(b"HTTP/1.1 503 ")
            # Whoever comes again gets in when the idle ones are closed.
            with Client(server.rest_address, "text", transport="rest", timeout=30) as client:
                assert client.status() == {1: "AVAILABLE"}
            assert [received(connection) for connection in held] == [b""] * 3


def is_closed(connection):
    connection.settimeout(2)
    try:
        return not received(connection)
    except TimeoutError:
        return False


def test_connections_over_grpc_are_bounded(exports):
    with Server(exports["text"], connections=3, header_timeout=60) as server:
        with many(server.address, 8) as held:
            assert sum(map(is_closed, held)) == 5
        with Client(server.address, "text", timeout=30) as client:
            assert client.status() == {1: "AVAILABLE"}


def test_more_connections_than_files(exports):
    """Some are sent away; the server runs out of nothing, and who comes again gets in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, hard))
    try:
        server = ServedProcess(exports["text"], "--header-timeout", "2")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server:
        with many(server.rest_address, 150), many(server.address, 150):
            for transport in ("grpc", "rest"):
                address = server.address if transport == "grpc" else server.rest_address
                with Client(address, "text", transport=transport, timeout=30) as client:
                    assert client.status() == {1: "AVAILABLE"}
        assert server.stop().splitlines()[1:] == ["Stopped."]


HOSTS = {
    "127.0.0.1": ("127.0.0.1", "localhost", "LocalHost:8501", "[::1]:1", None),
    "192.0.2.7": ("192.0.2.7:8501", "localhost"),
    "node7": ("node7", "NODE7:80", "127.0.0.1"),
    "0.0.0.0": ("192.0.2.7", "[2001:db8::1]:8501", socket.gethostname(), "localhost"),
}
OTHERS = {
    "127.0.0.1": ("evil.example", "localhost.evil.example", "192.0.2.7", "", "127.0.0.1.evil:80"),
    "192.0.2.7": ("evil.example", "192.0.2.8"),
    "0.0.0.0": ("evil.example", "1.evil.example:8501", ""),
}


@pytest.mark.parametrize(("host", "name"), [(h, n) for h, names in HOSTS.items() for n in names])
def test_hosts_that_are_the_server(host, name):
    check_host(name, host)


@pytest.mark.parametrize(("host", "name"), [(h, n) for h, names in OTHERS.items() for n in names])
def test_hosts_that_are_not_the_server(host, name):
    with pytest.raises(Failure, match="PERMISSION_DENIED: host .* is none of"):
        check_host(name, host)


def test_a_page_whose_name_points_here_is_refused(hasty):
    assert rest(hasty)[0] == 200
    assert rest(hasty, f"localhost:{hasty.rest_address.split(':')[1]}")[0] == 200
    status, answer = rest(hasty, "evil.example")
    assert (status, "host 'evil.example' is none of" in answer["error"]) == (403, True)


@pytest.mark.parametrize("depth", [2, 31, 32, 33, 40, 64, 65, 200, 900, 2000, 100_000])
def test_lists_of_any_depth_are_a_bad_request(depth, hasty, capfd):
    for form in ("inputs", "instances"):
        nested = "[" * depth + "1" + "]" * depth
        body = f'{{"signature_name": "initial_state", "{form}": {nested}}}'.encode()
        status, answer = rest(hasty, method="POST", path="/v1/models/text:predict", body=body)
        assert status == 400
        assert "\n" not in answer["error"]
    assert "Traceback" not in capfd.readouterr().err


SPECS = {
    "serving_default": {
        "inputs": {"x": {"shape": [-1, -1]}},
        "outputs": {"y": {"shape": [-1, -1, 5]}, "probabilities": {"shape": [-1, -1, 5]}},
    },
    "last": {"inputs": {"x": {"shape": [-1, 12]}}, "outputs": {"y": {"shape": [-1, 5]}}},
    "step": {
        "inputs": {"x_t": {"shape": [-1]}, "state": {"shape": [-1, 7]}},
        "outputs": {"y_t": {"shape": [-1, 5]}, "next_state": {"shape": [-1, 7]}},
    },
    "generate": {
        "inputs": {"x_t": {"shape": [-1]}, "steps": {"shape": [-1]}},
        "outputs": {"samples": {"shape": [-1, -1]}, "next_state": {"shape": [-1, 7]}},
    },
    "unknown": {"inputs": {"x": {"shape": None}}, "outputs": {"y": {"shape": None}}},
}


@pytest.mark.parametrize(
    ("name", "inputs", "reply", "states"),
    [
        ("serving_default", {"x": np.zeros((3, 11))}, 3 * 11 * 10, 3 * 11 * 7),
        ("serving_default", {"x": np.zeros((0, 11))}, 0, 0),
        ("last", {"x": np.zeros((3, 12))}, 3 * 5, 0),
        ("step", {"x_t": np.zeros(4), "state": np.zeros((4, 7))}, 4 * 12, 0),
        ("generate", {"x_t": np.zeros(2), "steps": np.array([9, 4])}, 2 * 9 + 2 * 7, 0),
        ("generate", {"x_t": np.zeros(2), "steps": np.array([99, 4])}, 2 * 50 + 2 * 7, 0),
        ("generate", {"x_t": np.zeros(1), "steps": np.array([-3])}, 7, 0),
        ("unknown", {"x": np.zeros((3, 11))}, 3 * 11, 3 * 11 * 7),
    ],
)  # fmt: skip
def test_what_a_request_makes_is_known_before(name, inputs, reply, states):
    assert reply_values(SPECS[name], inputs, max_steps=50) == reply
    assert state_values(SPECS, name, inputs) == states


def implied(signature, **inputs):
    """A small message whose tensors are large: each is (shape, one value)."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "text", signature
    for name, (shape, value) in inputs.items():
        tensor = message.inputs[name]
        tensor.dtype = 3 if isinstance(value, int) else 1
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        (tensor.int_val if isinstance(value, int) else tensor.float_val).append(value)
    return message.SerializeToString()


N = 2**23
GREEDY = {
    "sequences": implied("serving_default", x=((N, 1), 1)),
    "long sequences": implied("padded", x=((1, N), 1), lengths=((1,), N)),
    "states": implied("initial_state", rows=((2 * N,), 0)),
    "samples": implied(
        "generate", x_t=((10_000,), 1), state=((10_000, 7), 0.0), steps=((10_000,), 10_000),
        temperature=((10_000,), 1.0), seed=((10_000,), 1),
    ),
    "many tensors": implied("step", **{f"x{i}": ((2**24,), 1) for i in range(200)}),
}  # fmt: skip


@pytest.fixture(scope="module")
def process(exports):
    with ServedProcess(exports["text"]) as server:
        yield server


@contextlib.contextmanager
def little_memory(server):
    """The block must not let the server take 500 MB more than it has."""
    watched, peak, over = psutil.Process(server.process.pid), [0], threading.Event()
    before = watched.memory_info().rss

    def watch():
        while not over.wait(0.01):
            peak[0] = max(peak[0], watched.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert 0 < peak[0] < before + 500 * 2**20


@pytest.mark.parametrize("name", GREEDY)
def test_a_small_message_makes_no_gigabytes(name, process):
    with little_memory(process), grpc.insecure_channel(process.address) as channel:
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(PREDICT)(GREEDY[name], timeout=60)
        time.sleep(0.1)
    code, line = error.value.code().name, error.value.details()
    if name == "many tensors":
        assert (code, "ask for more than" in line) == ("INVALID_ARGUMENT", True)
    else:
        assert code == "RESOURCE_EXHAUSTED"
        assert re.search(r"would make \d+ values of at most \d+: send fewer", line)


def test_an_answer_over_rest_is_as_large_as_a_request(exports):
    x = np.zeros((8, 700), int)
    body = json.dumps({"inputs": x.tolist()}).encode()
    with Server(exports["text"], max_message_bytes=2**20) as server:
        path = "/v1/models/text:predict"
        status, answer = rest(server, method="POST", path=path, body=body)
        assert status == 429
        assert "would make 56000 values of at most 52428" in answer["error"]
        with Client(server.address, "text") as client:  # where a number takes 4 bytes
            assert client.call("serving_default", x=x)["y"].shape == (8, 700, 5)


def test_many_values_of_json_are_not_parsed(process):
    body = b'{"inputs": [' + b"[]," * 20_000_000 + b"[]]}"
    with little_memory(process):
        path = "/v1/models/text:predict"
        status, answer = rest(process, method="POST", path=path, body=body)
    assert (status, "values of JSON: send fewer" in answer["error"]) == (400, True)


def reset(connection):
    """Ends a connection as a client does that has crashed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_nothing_in_the_log_for_what_clients_do(exports):
    body = json.dumps({"inputs": {"x": np.zeros((20, 4000), int).tolist()}})
    whole = f"{POST}Content-Length: {len(body)}\r\n\r\n{body}"
    bad = "Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nno gzip.."
    sent = ["GET", POST, whole[:300], whole, f"{POST}Content-Length: x\r\n\r\n", POST + bad]
    with ServedProcess(exports["text"]) as server:
        for content in sent * 3:
            for wait in (0, 0.02, 0.2):
                connection = connected(server.rest_address)
                connection.sendall(content.encode())
                time.sleep(wait)
                reset(connection)
        for _ in range(5):
            connection = connected(server.address)
            connection.sendall(half_a_call())
            reset(connection)
        with Client(server.rest_address, "text", transport="rest") as client:
            assert client.status() == {1: "AVAILABLE"}
        said = server.stop()
    assert server.process.returncode == 0
    lines = [line for line in said.splitlines() if "Serving " not in line]
    assert lines[-1:] == ["Stopped."]
    assert not re.search("Traceback|Error|exception", said), said


def test_sigterm_answers_all_that_is_in_flight_within_its_promise(exports):
    """Computed or, where that would take too long, with UNAVAILABLE; on both protocols."""
    results, begin = {"grpc": [], "rest": []}, threading.Barrier(41)

    def call(transport, address):
        with Client(address, "text", transport=transport, timeout=60) as client:
            client.signatures()
            begin.wait()
            try:  # once: a client would come again
                outputs = client._transport.predict("generate", LONG, None, 60)
                results[transport].append(outputs["samples"].shape)
            except Failure as failure:
                results[transport].append(str(failure))

    with ServedProcess(exports["text"], "--threads", "1", "--timeout", "60") as server:
        addresses = {"grpc": server.address, "rest": server.rest_address}
        threads = [threading.Thread(target=call, args=a) for a in 20 * list(addresses.items())]
        for thread in threads:
            thread.start()
        begin.wait()
        time.sleep(1.5)
        start = time.monotonic()
        said = server.stop()
        took = time.monotonic() - start
        for thread in threads:
            thread.join()
    assert server.process.returncode == 0
    assert said.endswith("Stopped.\n")
    assert took < GRACE + 1
    for found in results.values():
        assert len(found) == 20
        assert set(found) <= {(2, 10_000), "UNAVAILABLE: the server is stopping"}
        assert "UNAVAILABLE: the server is stopping" in found


@pytest.mark.parametrize("value", [0, 1e12, float("inf"), float("nan")])
@pytest.mark.parametrize(
    "argument", ["timeout", "header_timeout", "connections", "max_message_bytes"]
)
def test_limits_are_above_0_and_fit_into_what_takes_them(argument, value, exports):
    with pytest.raises(UserError, match=f"`{argument}` must be above 0 and at most .*, got "):
        Server(exports["text"], **{argument: value})

import http.server
import importlib.util
import math
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import keras
import numpy as np
import pytest

from benchmarks.served_process import ServedProcess
from keras_deep_rnn.utils.errors import ServerError, Unreachable, UserError

if keras.backend.backend() != "tensorflow" or not importlib.util.find_spec("tensorflow_serving"):
    pytest.skip("needs TensorFlow and the extra `serving`", allow_module_level=True)

import grpc
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from keras_deep_rnn.export import export_saved_model
from keras_deep_rnn.export.client.client import Client
from keras_deep_rnn.export.client.rest_transport import RestTransport
from keras_deep_rnn.export.client.status import Failure
from keras_deep_rnn.export.client.tensors import to_arrays, to_proto
from keras_deep_rnn.export.testing_server.server import Server

TRANSPORTS = ("grpc", "rest")
TEXT = np.array([[1, 2, 3, 0], [4, 0, 0, 2]])


@pytest.fixture(scope="module")
def servers(exports):
    with Server(exports["text"]) as text, Server(exports["music"]) as music:
        yield {"text": text, "music": music}


@pytest.fixture(scope="module")
def clients(servers):
    """Clients by (model, transport)."""
    made = {(name, kind): _client(servers[name], kind) for name in servers for kind in TRANSPORTS}
    yield made
    for client in made.values():
        client.close()


def _client(server, kind, **options):
    address = server.address if kind == "grpc" else server.rest_address
    return Client(address, server.model.name, transport=kind, **options)


def signatures(exports, name):
    return tf.saved_model.load(str(exports[name] / "1")).signatures


def inputs(name):
    if name == "text":
        return TEXT
    return np.random.default_rng(0).random((2, 4, 88))  # of float64, as users have them


def same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        np.testing.assert_array_equal(array, second[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text", "music"])
def test_both_transports_give_what_the_model_gives(clients, exports, name):
    x = inputs(name)
    dtype = "int32" if name == "text" else "float32"
    padded = signatures(exports, name)["padded"]
    expected = padded(x=tf.constant(x, dtype), lengths=tf.constant([4, 2]))
    for kind in TRANSPORTS:
        found = clients[name, kind].predict(x, [4, 2])
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            np.testing.assert_allclose(found[key], tensor, atol=1e-6)
        assert not found["y"][1, 2:].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text", "music"])
def test_both_transports_give_the_same(clients, name):
    x = inputs(name)
    over_grpc, over_rest = (clients[name, kind] for kind in TRANSPORTS)
    state = over_grpc.initial_state(2)
    np.testing.assert_array_equal(state, over_rest.initial_state(2))
    same(over_grpc.predict(x), over_rest.predict(x))
    same(over_grpc.prefill(x), over_rest.prefill(x))
    same(over_grpc.prefill(x, state + 0.25, [3, 1]), over_rest.prefill(x, state + 0.25, [3, 1]))
    same(over_grpc.step(x[:, 0], state), over_rest.step(x[:, 0], state))
    for steps, options in ((3, {}), ([2, 5], {"temperature": 0.5, "seed": [1, 2]}), (0, {})):
        first, second = (
            c.generate(x[:, 0], state, steps, **options) for c in (over_grpc, over_rest)
        )
        same(first, second)
        assert first["samples"].shape[:2] == (2, np.max(steps))
    assert over_grpc.signatures() == over_rest.signatures()
    assert over_grpc.status() == over_rest.status() == {1: "AVAILABLE"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSPORTS)
def test_an_export_without_lengths(tmp_path, kind):
    model = keras.Sequential([keras.Input((9, 3)), keras.layers.GRU(4)])
    export_saved_model(model, tmp_path / "fixed", check=False)
    x = np.random.default_rng(0).random((2, 9, 3))
    with Server(tmp_path / "fixed") as server, _client(server, kind) as client:
        np.testing.assert_allclose(client.predict(x)["y"], model(x), atol=1e-6)
        with pytest.raises(
            UserError, match="`lengths` must be None for an export without `padded`"
        ):
            client.predict(x, [9, 4])


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_exports_whose_default_takes_lengths(tmp_path, kind):
    """As this package wrote them before there was `padded`."""

    class Old(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec((None, None), "int32", "x"),
                tf.TensorSpec((None,), "int32", "lengths"),
            ]
        )
        def serve(self, x, lengths):
            return {"y": x + lengths[:, None]}

    module = Old()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.serve})
    with Server(tmp_path, name="old") as server, _client(server, kind) as client:
        np.testing.assert_array_equal(client.predict(TEXT)["y"], TEXT + 4)
        np.testing.assert_array_equal(
            client.predict(TEXT, [1, 2])["y"], TEXT + np.array([[1], [2]])
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("name", ["text", "music"])
def test_a_stream_goes_on_from_call_to_call(clients, name, kind):
    client, x = clients[name, kind], inputs(name)
    whole = client.predict(x)["y"]
    stream = client.stream(2)
    for t in range(2):
        np.testing.assert_allclose(stream.step(x[:, t])["y_t"], whole[:, t], atol=1e-6)
    np.testing.assert_allclose(stream.prefill(x[:, 2:])["y"], whole[:, 2:], atol=1e-6)
    kept, version = stream.state.copy(), stream.version
    samples = stream.generate(x[:, -1], 4, seed=[3, 4])
    assert samples.shape[:2] == (2, 4)
    assert not np.array_equal(stream.state, kept)
    again = client.stream(state=kept, version=version)
    np.testing.assert_array_equal(again.generate(x[:, -1], 4, seed=[3, 4]), samples)
    np.testing.assert_array_equal(again.state, stream.state)


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_what_the_server_refuses(clients, kind):
    client = clients["text", kind]
    state = client.initial_state(2)
    for call, reason in (
        (lambda: client.predict(TEXT, [5, 1]), "refuses 'padded': `lengths` must lie"),
        (lambda: client.predict(TEXT[:, :0]), "refuses 'padded'"),
        (lambda: client.step(TEXT[:, 0], state + np.nan), "`state` must be finite"),
        (lambda: client.step(TEXT[:1, 0], state), "one row for each of `x_t`"),
        (lambda: client.step(TEXT[:, 0] - 9, state), "refuses 'step'"),
        (lambda: client.generate(TEXT[:, 0], state, 10**6), "`steps` must lie between"),
        (lambda: client.generate(TEXT[:, 0], state, 1, temperature=-1), "`temperature` must"),
    ):
        start = time.monotonic()
        with pytest.raises(UserError, match=reason) as error:
            call()
        assert type(error.value) is UserError
        assert str(error.value).count("\n") == 0
        assert time.monotonic() - start < 5  # not asked again
    other = Client(client.address, "bach", transport=kind)
    with pytest.raises(UserError, match="'bach' at .* refuses 'metadata': Servable not found"):
        other.predict(TEXT)
    later = Client(client.address, "text", transport=kind, version=2)
    with pytest.raises(UserError, match=r"Specific\(text, 2\)"):
        later.predict(TEXT)
    assert Client(client.address, "text", transport=kind, version=1).predict(TEXT)["y"].any()


def test_what_is_refused_here(clients):
    client = clients["text", "grpc"]
    with pytest.raises(UserError, match="has no signature 'stp': .*did you mean 'step'"):
        client.call("stp", x_t=[1])
    with pytest.raises(UserError, match=r"`x` must be an array \(B, T\) or .* of shape \(4,\)"):
        client.predict(TEXT[0])
    with pytest.raises(UserError, match="`x` must be an array of int32, got one of float64"):
        client.predict(TEXT + 0.5)
    with pytest.raises(UserError, match="`x` must fit into int32, got values up to 4294967297"):
        client.predict(TEXT + 2**32 - 3)
    with pytest.raises(UserError, match="`x` must fit into float32, got values up to 16777217"):
        clients["music", "grpc"].predict(np.full((1, 2, 3), 2**24 + 1))
    with pytest.raises(UserError, match="`x` must be an array of float32, got one of <U1"):
        clients["music", "grpc"].predict(np.array([["a"]]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("localhost", "text"), "`address` must be HOST:PORT"),
        (("localhost:0", "text"), "`address` must be HOST:PORT"),
        (("localhost:1", ""), "`model` must be the name of a model, got ''"),
        (
            ("localhost:1", "text", {"transport": "http"}),
            "`transport` must be one of 'grpc', 'rest'",
        ),
        (
            ("localhost:1", "text", {"timeout": 0}),
            "`timeout` must be above 0 and at most 1,000,000",
        ),
        (("localhost:1", "text", {"timeout": math.inf}), "at most 1,000,000 seconds, got inf"),
    ],
)
def test_mistakes(arguments, reason):
    *arguments, options = arguments if len(arguments) == 3 else (*arguments, {})
    with pytest.raises(UserError, match=reason):
        Client(*arguments, **options)


def test_an_address_that_no_url_takes():
    with pytest.raises(UserError, match="`address` must be HOST:PORT of a server, got "):
        Client("a..b:1", "text", transport="rest").status()


class Other(http.server.BaseHTTPRequestHandler):
    """A server of something else, at which a client's address may point."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"hello": "world"}')

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("call", ["status", "signatures"])
def test_a_server_of_something_else(call):
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(f"127.0.0.1:{server.server_port}", "text", transport="rest")
        with pytest.raises(ServerError, match="the answer is no JSON with '"):
            getattr(client, call)()
        server.shutdown()


def test_an_answer_may_be_of_any_size():
    """TF Serving writes one number after the other; a number for all of them is refused."""
    proto = to_proto(np.zeros((0,), "float32"))
    proto.tensor_shape.dim[0].size = 2**24 + 5
    proto.float_val.extend(np.arange(2**24 + 5, dtype="float32"))
    assert to_arrays({"y": proto})["y"][-1] == 2**24 + 4
    del proto.float_val[1:]
    with pytest.raises(Failure, match="the shapes ask for more than"):
        to_arrays({"y": proto})


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSPORTS)
def test_nobody_there(kind):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(
            Unreachable, match=r"No answer to 'metadata' of 'text' at .* within 0.5"
        ):
            Client(f"127.0.0.1:{port}", "text", transport=kind, timeout=0.5).predict(TEXT)
        assert 0.4 < time.monotonic() - start < 3
    start = time.monotonic()
    with pytest.raises(Unreachable, match="within 0.5 seconds: .*Connection refused"):
        Client(f"127.0.0.1:{port}", "text", transport=kind, timeout=0.5).predict(TEXT)
    assert 0.2 < time.monotonic() - start < 3


class Failing:
    """A transport that fails some times before it answers."""

    def __init__(self, *codes):
        self.codes, self.calls = list(codes), 0

    def status(self, version, timeout):
        assert timeout > 0
        self.calls += 1
        if self.codes:
            raise Failure(self.codes.pop(0), "so it is")
        return {1: "AVAILABLE"}


@pytest.mark.parametrize(
    ("codes", "calls", "error"),
    [
        (["UNAVAILABLE"] * 3, 4, None),
        (["INVALID_ARGUMENT"], 1, UserError),
        (["UNAVAILABLE", "NOT_FOUND"], 2, UserError),
        (["RESOURCE_EXHAUSTED"], 1, UserError),
        (["DEADLINE_EXCEEDED"], 1, Unreachable),
        (["INTERNAL"], 1, ServerError),
        (["UNKNOWN"], 1, ServerError),
    ],
)
def test_what_is_asked_again(codes, calls, error):
    client = Client("localhost:1", "text", transport="rest")
    client._transport = Failing(*codes)
    if error is None:
        assert client.status() == {1: "AVAILABLE"}
    else:
        with pytest.raises(error, match="so it is") as raised:
            client.status()
        assert type(raised.value) is error
    assert client._transport.calls == calls


def test_the_deadline_ends_the_attempts():
    client = Client("localhost:1", "text", transport="rest", timeout=0.5)
    client._transport = Failing(*["UNAVAILABLE"] * 100)
    start = time.monotonic()
    with pytest.raises(Unreachable, match="within 0.5 seconds: so it is"):
        client.status()
    assert time.monotonic() - start < 1
    assert 3 <= client._transport.calls <= 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_server_with_too_much_to_do_is_asked_again(exports, kind):
    """Each of many clients gets its answer, though the server lets only one wait."""
    with Server(exports["text"], threads=1, waiting=1) as server:
        client = _client(server, kind)
        state = client.initial_state(2)
        with futures.ThreadPoolExecutor(12) as pool:
            calls = [
                pool.submit(client.generate, TEXT[:, 0], state, 200, seed=i) for i in range(12)
            ]
            found = [call.result()["samples"] for call in calls]
        for i, samples in enumerate(found):
            expected = client.generate(TEXT[:, 0], state, 200, seed=i)["samples"]
            np.testing.assert_array_equal(samples, expected)


class Broken(prediction_service_pb2_grpc.PredictionServiceServicer):
    def GetModelMetadata(self, request, context):
        context.abort(grpc.StatusCode.INTERNAL, "out of order")


def test_a_server_that_fails():
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Broken(), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        model_service_pb2_grpc.ModelServiceServicer(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    client = Client(f"127.0.0.1:{port}", "text")
    with pytest.raises(ServerError, match="has failed in 'metadata': out of order; see its log"):
        client.predict(TEXT)
    with pytest.raises(UserError, match="refuses 'status': Method not implemented!"):
        client.status()
    server.stop(0)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"", b"SSH\r\n"]
)
def test_a_server_that_speaks_otherwise(answer):
    """Text instead of JSON, a connection that is closed, another protocol."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(10_000)
                    connection.sendall(answer)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises((ServerError, Unreachable)) as error:
            Client(address, "text", transport="rest", timeout=0.3).status()
        assert str(error.value).count("\n") == 0
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_answers_of_many_megabytes(exports):
    """Beyond the 4 MB that gRPC takes unless told otherwise."""
    with Server(exports["music"]) as server:
        x = np.zeros((2, 7000, 88), "float32")
        for kind in TRANSPORTS:
            assert _client(server, kind).predict(x)["y"].nbytes == 4 * 2 * 7000 * 88


@pytest.mark.process
def test_streams_outlive_a_killed_server(exports):
    """SIGKILL in the midst of many streams: each goes on with its state, no number is wrong."""
    streams, steps = 20, 60
    tokens = np.random.default_rng(5).integers(0, 5, (streams, steps))
    predict = signatures(exports, "text")["serving_default"]
    expected = predict(x=tf.constant(tokens, "int32"))["y"]
    seen = []
    with ServedProcess(exports["text"]) as server:
        over_grpc = Client(server.address, "text", timeout=120)
        over_rest = Client(server.rest_address, "text", timeout=120, transport="rest")

        def follow(i):
            stream, found = (over_grpc if i % 2 else over_rest).stream(), []
            for token in tokens[i]:
                found.append(stream.step([token])["y_t"][0])
                seen.append(i)
                time.sleep(0.005)
            return found

        with futures.ThreadPoolExecutor(streams) as pool:
            calls = [pool.submit(follow, i) for i in range(streams)]
            while len(seen) < streams * steps / 3:
                time.sleep(0.01)
            server.kill()
            killed_at = len(seen)
            server.start()
            found = np.array([call.result() for call in calls])
    assert streams * steps / 3 <= killed_at < streams * steps * 0.8
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_a_stream_stays_with_its_version(exports, tmp_path):
    """A state means nothing to other weights: a server that has moved on is told, not trusted."""
    folder = tmp_path / "text"
    folder.mkdir()
    os.symlink(exports["text"] / "1", folder / "1")
    with Server(folder) as server:
        ports = [int(a.rpartition(":")[2]) for a in (server.address, server.rest_address)]
        clients = [_client(server, kind) for kind in TRANSPORTS]
        streams = [client.stream() for client in clients]
        before = [stream.step([1])["y_t"] for stream in streams]
    os.symlink(exports["text"] / "1", folder / "2")
    with Server(folder, port=ports[0], rest_port=ports[1]):
        for client, stream, y in zip(clients, streams, before):
            state = stream.state.copy()
            with pytest.raises(UserError, match=r"Servable not found for request: Specific"):
                stream.step([1])
            np.testing.assert_array_equal(stream.state, state)
            np.testing.assert_array_equal(client.stream().step([1])["y_t"], y)


def test_a_stream_that_raises_keeps_its_state(clients):
    stream = clients["text", "grpc"].stream(2)
    stream.step([1, 2])
    state = stream.state.copy()
    with pytest.raises(UserError):
        stream.step([1, 99])
    np.testing.assert_array_equal(stream.state, state)
    stream.step([1, 2])


@pytest.mark.process
def test_rest_without_tensorflow(servers):
    """Neither it nor gRPC need be there, as in a browser's backend."""
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'grpc', 'tensorflow_serving'): sys.modules[name] = None\n"
        "from keras_deep_rnn.export.client.client import Client\n"
        f"client = Client({servers['text'].rest_address!r}, 'text', transport='rest')\n"
        "print(client.predict([[1, 2, 3]])['y'].shape, client.stream().step([1])['y_t'].shape)\n"
        "try: Client('localhost:1', 'text')\n"
        "except ValueError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert result.stdout.splitlines() == [
        "(1, 3, 5) (1, 5)",
        "`grpcio` is not installed: pip install 'keras-deep-rnn[serving]'",
    ], result.stderr


def test_one_session_for_each_thread(servers):
    transport = RestTransport(servers["text"].rest_address, "text")
    with futures.ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2)

        def session():
            barrier.wait()
            return transport._session()

        first, second = (call.result() for call in [pool.submit(session) for _ in range(2)])
    assert first is not second

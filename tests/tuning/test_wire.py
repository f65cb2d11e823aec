import errno
import os
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import psutil
import pytest

from keras_deep_rnn.tuning.search.wire import (
    _CLIENT_OPTIONS,
    Client,
    Server,
    ServerError,
    Unreachable,
)
from keras_deep_rnn.utils.errors import UserError

TOKEN = "3f" * 32


def echo(**message):
    return message


def add(a, b=1):
    return {"sum": a + b}


def refuse(line="`units` must be above 0, got -1."):
    raise UserError(line)


def fail():
    raise KeyError("no such trial\nand more")


def wait(seconds):
    time.sleep(seconds)
    return {}


HANDLERS = {f.__name__: f for f in (echo, add, refuse, fail, wait)}
HANDLERS |= {"nan": lambda: {"score": float("nan")}, "number": lambda: 3, "set": lambda: {"x": {1}}}


@pytest.fixture(scope="module")
def server():
    with Server("localhost:0", HANDLERS, token=TOKEN, open_methods=["add"]) as server:
        yield server


@pytest.fixture
def client(server):
    return Client(server.address, token=TOKEN)


def test_messages(client):
    message = {"text": "é\ud800\n\0", "n": 2**70, "x": 0.1 + 0.2, "list": [None, True, {"": -0.0}]}
    assert client.call("echo", **message) == message
    assert client.call("echo", method=1, self=2, data=3) == {"method": 1, "self": 2, "data": 3}
    assert client.call("echo") == {}
    assert client.call("add", a=1) == {"sum": 2}
    assert client.call("add", a=1, b=0.5) == {"sum": 1.5}


def test_a_message_of_ten_megabytes(client):
    text = "x" * 10_000_000
    assert client.call("echo", text=text) == {"text": text}


def test_a_message_that_is_too_large(client):
    with pytest.raises(UserError, match="larger than max"):
        client.call("add", a="x" * (65 * 2**20))
    assert client.call("add", a=1) == {"sum": 2}


@pytest.mark.parametrize(
    "line", ["`units` must be above 0, got -1.", "é" * 9_999 + ".", "交" * 10_000, "%41 % %zz 'a'"]
)
def test_a_refusal_reaches_the_caller(client, line, capfd):
    with pytest.raises(UserError) as error:
        client.call("refuse", line=line)
    assert str(error.value) == line
    assert type(error.value) is UserError
    assert capfd.readouterr().err == ""


def test_refusals_are_one_line_of_a_bounded_length(client):
    for line, told in (("a\nb", "a b"), ("x" * 100_000, "x" * 10_000)):
        with pytest.raises(UserError) as error:
            client.call("refuse", line=line)
        assert str(error.value) == told


def test_a_failure_is_told_here_and_there(client, server, capfd):
    with pytest.raises(ServerError) as error:
        client.call("fail")
    line = "'no such trial\\nand more'"
    assert str(error.value) == (
        f"'fail' has failed at {server.address}: KeyError: {line}; see its log."
    )
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert "in fail" in err
    for method in ("nan", "number", "set"):
        with pytest.raises(ServerError, match=r"TypeError|ValueError"):
            client.call(method)
        assert "Traceback" in capfd.readouterr().err
    assert client.call("add", a=1) == {"sum": 2}


def test_what_json_cannot_hold_is_the_callers_mistake(client):
    for value, kind in ((float("nan"), ValueError), (float("inf"), ValueError), ({1}, TypeError)):
        with pytest.raises(kind):
            client.call("echo", value=value)


def test_wrong_arguments(client, capfd):
    for message, reason in (
        ({}, "missing a required argument: 'a'"),
        ({"a": 1, "c": 2}, "unexpected keyword argument 'c'"),
    ):
        with pytest.raises(UserError, match=f"The message to `add` cannot be read: .*{reason}"):
            client.call("add", **message)
    with pytest.raises(UserError, match="has no method 'divide': is it of another version"):
        client.call("divide", a=1)
    assert capfd.readouterr().err == ""


def test_tokens(server):
    for token in (None, "", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "0" * 64):
        client = Client(server.address, token=token)
        for method in ("echo", "fail", "refuse"):
            with pytest.raises(UserError, match="`token` must be that of the search"):
                client.call(method)
        assert client.call("add", a=1) == {"sum": 2}
    client.token = TOKEN
    assert client.call("echo", x=1) == {"x": 1}


def test_a_call_takes_too_long(client):
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no reply within 0.2 seconds"):
        client.call("wait", timeout=0.2, seconds=2)
    assert time.monotonic() - began < 1.5
    assert client.call("add", a=1) == {"sum": 2}


def test_calls_at_a_time(client):
    began, threads = time.monotonic(), []
    for _ in range(8):
        threads.append(threading.Thread(target=client.call, args=("wait",), kwargs={"seconds": 1}))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("address", ["localhost:0", "127.0.0.1:0"])
def test_the_same_client_after_the_server_came_back(address):
    server = Server(address, HANDLERS)
    client = Client(server.address)
    for _ in range(3):
        assert client.call("add", a=1) == {"sum": 2}
        server.stop()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(Unreachable, match="No answer from .*Connection refused"):
                client.call("add", a=1)
            assert time.monotonic() - began < 1
        server = Server(server.address, HANDLERS)
        began = time.monotonic()
        assert client.call("add", a=1) == {"sum": 2}
        assert time.monotonic() - began < 1
    server.stop()


def test_no_call_waits_for_what_became_of_another():
    """gRPC shares connections, and how long they wait before they are tried again."""
    with Server("localhost:0", HANDLERS) as server:
        client = Client(server.address)
    with grpc.insecure_channel(f"dns:///{client.address}", _CLIENT_OPTIONS) as other:
        call, end = other.unary_unary("/keras_deep_rnn.Search/add"), time.monotonic() + 1.5
        while time.monotonic() < end:
            with pytest.raises(grpc.RpcError):
                call(b'{"a": 1}', timeout=1)
            time.sleep(0.05)
        with Server(client.address, HANDLERS):
            assert client.call("add", a=1) == {"sum": 2}


def test_a_host_named_unix(tmp_path, monkeypatch):
    """It is no socket of this machine."""
    monkeypatch.chdir(tmp_path)
    local = grpc.server(futures.ThreadPoolExecutor(1))
    local.add_insecure_port("unix:5000")
    local.start()
    with pytest.raises(Unreachable):
        Client("unix:5000").call("add", a=1)
    local.stop(None).wait()


def test_a_server_that_is_stopped_in_a_call():
    server, errors = Server("localhost:0", HANDLERS), []

    def call():
        try:
            Client(server.address).call("wait", seconds=3, timeout=10)
        except Unreachable as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    server.stop(grace=0.2)
    assert time.monotonic() - began < 2
    thread.join()
    assert len(errors) == 1


def test_a_call_in_its_last_second_is_answered():
    server, replies = Server("localhost:0", HANDLERS), []
    client = Client(server.address)
    thread = threading.Thread(target=lambda: replies.append(client.call("wait", seconds=0.5)))
    thread.start()
    time.sleep(0.2)
    server.stop()
    thread.join()
    assert replies == [{}]


def test_nobody_is_there():
    with pytest.raises(Unreachable, match="No answer from no-such-host.invalid:5000: "):
        Client("no-such-host.invalid:5000").call("add", a=1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = Client(f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no reply within 0.5 seconds"):
            client.call("add", a=1, timeout=0.5)
        assert time.monotonic() - began < 2


def test_no_proxy_comes_between(server, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Client(server.address).call("add", a=1) == {"sum": 2}


@pytest.mark.parametrize("address", ["localhost:0", "127.0.0.1:0", "[::1]:0", "0.0.0.0:0"])
def test_addresses(address):
    if "::" in address:
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError:
                pytest.skip("needs IPv6")
    with Server(address, HANDLERS) as server:
        host, port = server.address.rsplit(":", 1)
        assert host == address.rsplit(":", 1)[0]
        assert int(port) > 0
        assert Client(server.address).call("add", a=1) == {"sum": 2}


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "localhost:", ":5000", "5000", "::1:5000", "localhost:70000", "a b:1",
     "localhost:-1", "localhost:x", "unix:/tmp/x", "http://localhost:1", "localhost:1\n", "a/b:1",
     "é:1", "localhost:٣", None, 5000, ("localhost", 5000)],
)  # fmt: skip
def test_malformed_addresses(address, capfd):
    for made in (lambda: Server(address, HANDLERS), lambda: Client(address)):
        with pytest.raises(UserError, match="`address` must be HOST:PORT, such as") as error:
            made()
        assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_addresses_that_cannot_be_listened_at(server, capfd):
    port = server.address.rsplit(":", 1)[1]
    for address, reason in (
        (server.address, os.strerror(errno.EADDRINUSE)),
        (f"127.0.0.1:{port}", os.strerror(errno.EADDRINUSE)),
        (f"0.0.0.0:{port}", os.strerror(errno.EADDRINUSE)),
        ("192.0.2.1:0", os.strerror(errno.EADDRNOTAVAIL)),
        ("no-such-host.invalid:0", "unknown host"),
        ("unix:0", "unknown host"),
    ):
        with pytest.raises(UserError, match=f"got '.*': {reason}") as error:
            Server(address, HANDLERS)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
    with pytest.raises(UserError, match="with a port from 1 to 65535, got 'localhost:0'"):
        Client("localhost:0")


def test_a_port_that_was_taken_meanwhile(server, monkeypatch):
    monkeypatch.setattr("keras_deep_rnn.utils.network._check_free", lambda *arguments: None)
    with pytest.raises(UserError, match="`address` must be free to listen at, got"):
        Server(server.address, HANDLERS)


def test_bad_bytes(server, client):
    """Nothing that is sent brings the server down, or reaches a handler."""
    draw = random.Random(0)
    bad = [b"", b"3", b"null", b"[]", b'"a"', b"{", b"\xff\xfe", b"\0", b'{"a": NaN}', b"[" * 10**6]
    bad += [b'{"a": 1e999}', b'{"a": -Infinity}', b'{"a":' * 10**5, b'{"a": ' + b"9" * 10**5 + b"}"]
    bad += [draw.randbytes(draw.randrange(1, 200)) for _ in range(200)]
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/keras_deep_rnn.Search/echo")
        for data in bad:
            with pytest.raises(grpc.RpcError) as error:
                call(data, metadata=[("token", TOKEN)], timeout=10)
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "\n" not in error.value.details()
        for method in ("/", "/x", "/keras_deep_rnn.Search/", "/keras_deep_rnn.Search/__init__"):
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(method)(b"{}", timeout=10)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        stream = channel.stream_stream("/keras_deep_rnn.Search/echo")
        with pytest.raises(grpc.RpcError):
            list(stream(iter([b"{}"] * 9), timeout=10))
        with pytest.raises(grpc.RpcError) as error:
            call(b"{}", metadata=[("token", "0"), ("token", "1"), ("token-bin", b"\xff")])
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    host, port = server.address.rsplit(":", 1)
    begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for data in (b"GET / HTTP/1.1\r\n\r\n", draw.randbytes(1000), begin + draw.randbytes(1000)):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(data)
    assert client.call("add", a=1) == {"sum": 2}


def test_a_server_of_something_else():
    """Garbage instead of a reply is nobody, and never an error of gRPC's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Unreachable):
            Client(f"127.0.0.1:{listener.getsockname()[1]}").call("add", a=1, timeout=2)
        thread.join()


@pytest.mark.parametrize("reply", [b"[1]", b"", b"\xff", b'{"x": NaN}'])
def test_a_reply_of_another_program(reply):
    methods = {"add": grpc.unary_unary_rpc_method_handler(lambda data, context: reply)}
    other = grpc.server(futures.ThreadPoolExecutor(1))
    other.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("keras_deep_rnn.Search", methods)]
    )
    address = f"localhost:{other.add_insecure_port('localhost:0')}"
    other.start()
    with pytest.raises(ServerError, match=f"{address} is not a chief: "):
        Client(address).call("add", a=1)
    other.stop(None).wait()


def test_calls_leave_nothing_behind(client):
    client.call("add", a=1)
    before = psutil.Process().num_fds(), threading.active_count()
    for _ in range(200):
        client.call("add", a=1)
    after = psutil.Process().num_fds(), threading.active_count()
    assert after[0] <= before[0] + 10
    assert after[1] <= before[1]


def test_without_grpc():
    code = (
        "import sys; sys.modules['grpc'] = None\n"
        "from keras_deep_rnn.utils.errors import UserError\n"
        "try: import keras_deep_rnn.tuning.search.wire\n"
        "except UserError as error: print(error)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "`grpcio` is not installed: pip install 'keras-deep-rnn[tuning]'\n"

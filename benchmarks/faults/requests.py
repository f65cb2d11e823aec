"""Broken requests, many streams and slow clients at `deep-rnn serve`, on loopback."""

import contextlib
import json
import resource
import selectors
import socket
import time
from pathlib import Path

import numpy as np

from .forked import Died, in_processes
from .inputs import MORE_MEMORY
from .judged import CRASH, LINE, LOST, MEMORY, RIGHT, TRACEBACK, WRONG, Tally

BROKEN = 10_000  # over each protocol
STREAMS, STREAM_SECONDS, STEPS = 300, 30, 400
SLOW_SECONDS = 20
SLOW, FILES = 200, 1024  # files: those that a server may have open
TOO_MANY, FEW_FILES = 300, 256
DEAF = 30
PAUSE = 0.1  # between two requests of the good client
IN_TIME = 5.0  # seconds in which each is answered
TOLERANCE = 1e-5


def run(place, plan):
    """Yields a `Tally` for each protocol, for the streams and for the slow clients."""
    place.prepare_for_all("export")
    for attack in (_broken, _streams, _slow, _too_many):
        # One after the other: each is about what comes at a time. In a process of its own, as the
        # judges compute with TensorFlow.
        for _, result in in_processes(lambda attack: attack(place, plan), [attack], 1):
            if isinstance(result, Died):
                tally = Tally("requests", attack.__doc__.rstrip("."))
                tally.add(CRASH, f"the client: {result}")
                result = tally
            yield result


def _broken(place, plan):
    """Broken requests."""
    from .. import serving_fuzz as fuzzing

    kinds = {fuzzing.RIGHT: RIGHT, fuzzing.WRONG: WRONG, fuzzing.NO_ANSWER: LOST}
    with _served(place.export) as server:
        places = server.address, server.rest_address
        version = place.export / "1"
        fuzz = fuzzing.Fuzz(version, place.export.name, *places, seed=plan.seed)
        fuzz.run(2 * plan.times(BROKEN, 30))
        log = server.stop()
    sides = {"grpc": "broken request over gRPC", "rest": "broken request over REST"}
    for side, done in {**sides, fuzzing.GOOD: "good requests between them"}.items():
        tally = Tally("requests", done)
        for (where, answer), times in fuzz.outcomes.items():
            if where == side:
                unclear = TRACEBACK if answer.endswith(fuzzing.UNCLEAR) else LINE
                tally.counts[kinds.get(answer, unclear)] += times
        start = f"{side}: " if side in sides else "a good request"
        tally.bad += [line[:300] for line in fuzz.failures if line.startswith(start)][:20]
        yield tally
    yield _server_itself("broken requests", server, log)


def _streams(place, plan):
    """Streams at a time, each compared with what Keras computes for it."""
    from .. import serving_load

    words = "--streams", plan.times(STREAMS, 10), "--seconds", plan.times(STREAM_SECONDS, 2)
    options = serving_load.arguments([*map(str, words), "--steps", str(STEPS)])
    found, log = serving_load.run(options)
    done = f"step of {found['streams']} streams in {found['seconds']} s, compared with Keras"
    tally = Tally("requests", done)
    for outcome, names in {RIGHT: ["right"], WRONG: ["wrong", "crossed"], LOST: ["lost"]}.items():
        tally.counts[outcome] += sum(found[name] for name in names)
    tally.bad += found["errors"]
    if "Traceback" in log:
        tally.add(TRACEBACK, "in the server's log")
    yield tally


def _slow(place, plan):
    """Slow clients, as many as the server can have."""
    yield from _beside_slow(place, plan, plan.times(SLOW, 30), FILES, ("grpc", "rest"))


def _too_many(place, plan):
    """More slow clients at REST than the server can have files: gRPC goes on."""
    yield from _beside_slow(place, plan, plan.times(TOO_MANY, 100), FEW_FILES, ("grpc",))


def _beside_slow(place, plan, count, files, transports):
    """A good client asks while slow ones are there, and over all transports when they are gone."""
    beside = f"{count} slow clients at {files} files"
    tally = Tally("requests", f"request beside {beside}, over {' and '.join(transports)}")
    with _served(place.export, files) as server:
        good, before = _GoodClient(place.export, server), _peak(server)
        with _SlowClients(place.export.name, server, count) as slow:
            end = time.monotonic() + plan.times(SLOW_SECONDS, 5)
            while time.monotonic() < end:
                slow.drip()
                for transport in transports:
                    tally.add(*good.ask(transport))
                time.sleep(PAUSE)
        after = Tally("requests", f"request after {beside}")
        for transport in ("grpc", "rest"):
            after.add(*good.ask(transport))
        more = _peak(server) - before
        if more > MORE_MEMORY:
            tally.add(MEMORY, f"the server: {more / 2**20:.0f} MB")
        log = server.stop()
    yield tally
    yield after
    yield _server_itself(beside, server, log)


class _GoodClient:
    """Asks for what is known, over a new connection each time.

    Args:
        export: Folder of the export.
        server: The `ServedProcess`.
    """

    def __init__(self, export, server):
        from keras_deep_rnn.export.checks.check_suite import decoded

        record = json.loads((export / "1" / "export.json").read_text(encoding="utf-8"))
        case = next(c for c in record["golden"] if c["signature"] == "serving_default")
        self._name = export.name
        self._x, self._expected = decoded(case["inputs"])["x"], decoded(case["outputs"])
        self._places = {"grpc": server.address, "rest": server.rest_address}

    def ask(self, transport):
        """The outcome of a request, and a line."""
        from keras_deep_rnn.export.client.client import Client

        start = time.monotonic()
        options = {"transport": transport, "timeout": IN_TIME}
        try:
            with Client(self._places[transport], self._name, **options) as client:
                found = client.predict(self._x)
        except Exception as error:
            after = time.monotonic() - start
            return LOST, f"{transport}, after {after:.1f} s: {type(error).__name__}: {error}"
        for name, value in self._expected.items():
            if not np.allclose(found[name], value, atol=TOLERANCE):
                return WRONG, f"{transport}: {name}"
        return RIGHT, ""


class _SlowClients:
    """Connections to REST that say little, and are opened again when the server closes them.

    By turns they send half a head and half a body; one of `DEAF` asks for much and reads nothing.

    Args:
        name: Name of the model.
        server: The `ServedProcess`.
        count: Number of connections.
    """

    def __init__(self, name, server, count):
        host, port = server.rest_address.split(":")
        self._place = host, int(port)
        post = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: {host}\r\n"
        body = json.dumps({"instances": np.zeros((4, 500, 88)).tolist()})
        whole = f"{post}Content-Length: {len(body)}\r\n\r\n{body}"
        self._beginnings = [text.encode() for text in (post, whole[: len(whole) // 2], whole)]
        self._sockets = dict.fromkeys(range(count))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for connection in self._sockets.values():
            if connection is not None:
                connection.close()

    def drip(self):
        """Opens what is closed, and sends a byte over each connection that takes one."""
        for i, connection in self._sockets.items():
            kind = i % 2 if i % DEAF else 2
            try:
                if connection is None:
                    connection = socket.create_connection(self._place, timeout=0.2)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                    self._sockets[i] = connection
                    connection.sendall(self._beginnings[kind])
                    connection.setblocking(False)
                elif kind < 2 and _closed(connection):
                    raise ConnectionResetError
                elif kind == 0:
                    connection.send(b"x")
            except BlockingIOError:
                continue
            except OSError:
                if connection is not None:
                    connection.close()
                self._sockets[i] = None


def _closed(connection):
    """Whether the server has ended a connection."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0)) and not connection.recv(65536)


@contextlib.contextmanager
def _served(export, files=FILES):
    """A server in a process that may have so many files open."""
    from ..served_process import ServedProcess

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        server = ServedProcess(export)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server:
        yield server


def _server_itself(done, server, log):
    """A `Tally` of how a server has ended and what it has logged."""
    tally = Tally("requests", f"end and log of the server of {done}")
    code = server.process.returncode
    if code:
        tally.add(CRASH, f"exit code {code}")
    elif "Traceback" in log:
        lines = log.splitlines()
        first = next(i for i, line in enumerate(lines) if "Traceback" in line)
        tally.add(TRACEBACK, f"{log.count('Traceback')} in its log, {' '.join(lines[first:][-1:])}")
    else:
        tally.add(RIGHT)
    return tally


def _peak(server):
    """The peak of a server's memory in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

"""Many streams at the stand-in server on loopback: python -m benchmarks.serving_load --help.

Each stream has inputs of its own and compares every answer with what the Keras model gives for
them, computed beforehand. An answer that belongs to another stream counts as crossed.
"""

import argparse
import json
import os
import resource
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from .served_process import ServedProcess

KEYS = 88
TOLERANCE = 1e-5


def network(units):
    """A stack of levels on piano-rolls."""
    import keras

    from keras_deep_rnn import StackedRNN

    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((None, KEYS)),
            StackedRNN(units=units, return_sequences=True),
            keras.layers.Dense(KEYS),
        ]
    )


class Load:
    """What the streams have seen.

    Args:
        inputs: Array (streams, steps, keys).
        expected: What the model gives for them, (streams, steps, keys).
        seconds: Time after which no more steps are begun; None for all steps.
    """

    def __init__(self, inputs, expected, seconds=None):
        self.inputs, self.expected, self.limit = inputs, expected, seconds
        self.counts = {"right": 0, "wrong": 0, "crossed": 0, "lost": 0}
        self.seconds, self.errors = [], []
        self.answers, self.over = 0, False
        self._lock = threading.Lock()

    def run(self, client):
        """All streams at a time, one thread for each; the seconds that they took together."""
        streams = [client.stream() for _ in self.inputs]
        self._end = time.perf_counter() + (float("inf") if self.limit is None else self.limit)
        threads = [
            threading.Thread(target=self._follow, args=(i, stream))
            for i, stream in enumerate(streams)
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.over = True
        return time.perf_counter() - start

    def _follow(self, i, stream):
        verdicts, seconds, steps = [], [], len(self.inputs[i])
        for t, x_t in enumerate(self.inputs[i]):
            start = time.perf_counter()
            if start > self._end:
                steps = t
                break
            try:
                y_t = stream.step(x_t[None])["y_t"][0]
            except Exception as error:
                with self._lock:
                    self.errors.append(f"{type(error).__name__}: {error}")
                break
            seconds.append(time.perf_counter() - start)
            self.answers += 1  # nearly: threads may count at the same moment
            verdicts.append(self._verdict(i, t, y_t))
        with self._lock:
            self.seconds += seconds
            for verdict in verdicts:
                self.counts[verdict] += 1
            self.counts["lost"] += steps - len(verdicts)

    def _verdict(self, i, t, y_t):
        distances = np.abs(self.expected[:, t] - y_t).max(-1) if y_t.shape == (KEYS,) else [np.inf]
        if distances[i if len(distances) > 1 else 0] <= TOLERANCE:
            return "right"
        return "crossed" if min(distances) <= TOLERANCE else "wrong"


def kill_and_restart(server, load, kills):
    """Kills the server and starts it again, at equal shares of the answers."""
    for i in range(kills):
        while load.answers < load.inputs.shape[0] * load.inputs.shape[1] * (i + 1) / (kills + 1):
            if load.over:
                return
            time.sleep(0.01)
        server.kill()
        server.start()


def arguments(words=None):
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_load", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seconds", type=float, help="end after these, before all steps")
    parser.add_argument("--units", type=int, nargs="+", default=[128, 128], help="of each level")
    parser.add_argument("--transport", choices=["grpc", "rest"], default="grpc")
    parser.add_argument("--kills", type=int, default=0, help="times to SIGKILL and restart")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds of a client's call")
    return parser.parse_args(words)


def run(options):
    """Exports a network, serves it and runs the streams: {what: number}, and the server's log."""
    from keras_deep_rnn.export import export_saved_model
    from keras_deep_rnn.export.client.client import Client

    model = network(tuple(options.units))
    shape = (options.streams, options.steps, KEYS)
    inputs = (np.random.default_rng(0).random(shape) < 0.05).astype("float32")
    # Beginnings differ, so that no two streams have the same answer at any step.
    inputs[:, 0] = np.random.default_rng(1).normal(size=(options.streams, KEYS))
    expected = np.concatenate([model(part).numpy() for part in np.array_split(inputs, 10)])
    load = Load(inputs, expected, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "load")
        export_saved_model(model, path, probabilities="sigmoid")
        before = children_seconds()
        with ServedProcess(path) as server:
            address = server.address if options.transport == "grpc" else server.rest_address
            found = measured(load, server, address, options, Client)
            log = server.stop()
        served = children_seconds() - before
    found["CPU ms an answer, server with its start"] = round(1000 * served / len(load.seconds), 2)
    return found, log


def main():
    """Writes what came of the streams as JSON."""
    print(json.dumps(run(arguments())[0], indent=1))


def children_seconds():
    """Processor time of the processes that have been started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(load, server, address, options, Client):
    """The result of one run."""
    busy, start = os.getloadavg()[0], time.process_time()
    killer = threading.Thread(target=kill_and_restart, args=(server, load, options.kills))
    with Client(address, "load", transport=options.transport, timeout=options.timeout) as client:
        killer.start()
        seconds = load.run(client)
        killer.join()
    answers = len(load.seconds)
    milliseconds = 1000 * np.array(load.seconds or [np.nan])
    return {
        "transport": options.transport,
        "streams": options.streams,
        "steps": options.steps,
        "kills": options.kills,
        **load.counts,
        "errors": sorted(set(load.errors))[:5],
        "seconds": round(seconds, 1),
        "answers a second": round(answers / seconds),
        "p50 ms": round(float(np.percentile(milliseconds, 50)), 1),
        "p99 ms": round(float(np.percentile(milliseconds, 99)), 1),
        "slowest ms": round(float(milliseconds.max()), 1),
        "CPU ms an answer, clients": round(1000 * (time.process_time() - start) / answers, 2),
        "processors": os.cpu_count(),
        "load of the machine before": round(busy, 1),
    }


if __name__ == "__main__":
    main()

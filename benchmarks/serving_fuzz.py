"""Broken requests to the stand-in server on loopback: python -m benchmarks.serving_fuzz --help.

Valid requests are changed at random, as bytes and as what they hold. Each must get a right answer
or a clear error. What is right comes from TensorFlow's own loader of the SavedModel and, for what
the bytes of a request mean, from the libraries that read protobuf and JSON, not from the server.
"""

import argparse
import collections
import copy
import json
import random

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from .faults.draws import INTEGERS, WRONG_NUMBERS, broken_bytes, broken_json
from .served_process import ServedProcess

METHOD = "/tensorflow.serving.PredictionService/Predict"
# With these a server says what was wrong with a request; all others would be a failure of its own.
CLEAR = {
    "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "RESOURCE_EXHAUSTED",
}  # fmt: skip
CLEAR_HTTP = {400, 404, 429}
RIGHT, WRONG = "right answer", "wrong answer"
NO_ANSWER, UNCLEAR = "no answer that can be read", " without a clear line"
GOOD = "good requests between"
TOLERANCE = 1e-5
# Between two looks at whether the server still answers a good request.
ROUND = 50


class Fuzz:
    """Sends broken requests of one model and judges the answers.

    Args:
        folder: Folder of the served version.
        name: Name under which it is served.
        address: "HOST:PORT" of gRPC.
        rest_address: That of REST.
        seed: What the changes are drawn with.

    Attributes:
        outcomes: Counter of (side, outcome).
        failures: Lines about what should not have been.
    """

    def __init__(self, folder, name, address, rest_address, seed=0):
        self._random, self._name = random.Random(seed), name
        self._signatures = tf.saved_model.load(str(folder)).signatures
        self._good = [self._request(signature) for signature in sorted(self._signatures)]
        self._call = grpc.insecure_channel(address).unary_unary(METHOD)
        self._url = f"http://{rest_address}/v1/models/{name}:predict"
        self._session = requests.Session()
        self._session.trust_env = False
        self.outcomes, self.failures = collections.Counter(), []

    def run(self, count):
        """Sends `count` broken requests, by turns over gRPC and REST."""
        for i in range(count):
            signature, inputs = copy.deepcopy(self._random.choice(self._good))
            side, send = ("grpc", self._over_grpc) if i % 2 == 0 else ("rest", self._over_rest)
            try:
                send(signature, inputs)
            except Exception as error:  # an answer to what cannot even be read here, or none
                self.outcomes[side, NO_ANSWER] += 1
                self.failures.append(f"{side}: request {i}: {type(error).__name__}: {error}")
            if (i + 1) % ROUND == 0 or i + 1 == count:
                self._check_good()

    def _request(self, signature):
        """A good request: name of the signature, arrays by name."""
        numbers = np.random.default_rng(1)
        inputs = {}
        for name, spec in self._signatures[signature].structured_input_signature[1].items():
            shape = [2 if i == 0 else size or 3 for i, size in enumerate(spec.shape)]
            small = (
                numbers.integers(0, 4, shape) if spec.dtype.is_integer else numbers.random(shape)
            )
            inputs[name] = small.astype(spec.dtype.as_numpy_dtype)
        return signature, inputs

    def _over_grpc(self, signature, inputs):
        request = proto_of(self._name, signature, inputs)
        if self._random.random() < 0.5:
            good = request.SerializeToString(deterministic=True)
            data = broken_bytes(self._random, good)
        else:
            data = broken_proto(self._random, request).SerializeToString()
        self._judge_grpc(data)

    def _judge_grpc(self, data):
        try:
            answer = predict_pb2.PredictResponse.FromString(self._call(data, timeout=60))
        except grpc.RpcError as error:
            code, line = error.code().name, error.details()
            self._refused("grpc", code, code in CLEAR and bool(line), f"{line} for {data[:300]!r}")
            return
        request = predict_pb2.PredictRequest.FromString(data)
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        outputs = {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}
        wanted = set(request.output_filter) or None
        self._answered("grpc", request.model_spec.signature_name, inputs, outputs, wanted)

    def _over_rest(self, signature, inputs):
        body = {"inputs": {name: array.tolist() for name, array in inputs.items()}}
        if self._random.random() < 0.3:
            rows = zip(*body["inputs"].values())
            body = {"instances": [dict(zip(body["inputs"], row)) for row in rows]}
        body["signature_name"] = signature
        if self._random.random() < 0.5:
            data = broken_bytes(self._random, json.dumps(body).encode())
        else:
            data = json.dumps(broken_json(self._random, body)).encode()
        self._judge_rest(data)

    def _judge_rest(self, data):
        response = self._session.post(self._url, data, timeout=60)
        if response.status_code != 200:
            line = response.json().get("error")
            clear = response.status_code in CLEAR_HTTP and bool(line)
            self._refused("rest", response.status_code, clear, f"{line} for {data[:300]!r}")
            return
        body = json.loads(data)
        signature = body.get("signature_name") or "serving_default"
        specs = self._signatures[signature].structured_input_signature[1]
        given, found = self._columns(body, specs), response.json()
        inputs = {n: np.asarray(given[n], specs[n].dtype.as_numpy_dtype) for n in specs}
        names = sorted(self._signatures[signature].structured_outputs)
        found = found["outputs"] if "inputs" in body else found["predictions"]
        if len(names) == 1:
            found = {names[0]: found}
        elif isinstance(found, list):
            found = {name: [row[name] for row in found] for name in names}
        outputs = {name: np.asarray(value) for name, value in found.items()}
        self._answered("rest", signature, inputs, outputs, None)

    def _columns(self, body, specs):
        given = body["inputs"] if "inputs" in body else body["instances"]
        if isinstance(given, list) and given and isinstance(given[0], dict):
            return {name: [row[name] for row in given] for name in specs}
        return given if isinstance(given, dict) else dict.fromkeys(specs, given)

    def _answered(self, side, signature, inputs, outputs, wanted):
        """An answer must be the one that TensorFlow gives for what was asked."""
        signature = signature or "serving_default"
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        expected = {k: v.numpy() for k, v in self._signatures[signature](**tensors).items()}
        if side == "rest":  # lists do not say what would be in an empty one
            expected = {name: np.asarray(array.tolist()) for name, array in expected.items()}
        names = wanted or set(expected)
        right = set(outputs) == names and all(
            outputs[name].shape == expected[name].shape
            and np.allclose(outputs[name], expected[name], TOLERANCE, TOLERANCE)
            for name in names
        )
        self.outcomes[side, RIGHT if right else WRONG] += 1
        if not right:
            self.failures.append(f"{side}: a wrong answer to {signature} {inputs}")

    def _refused(self, side, code, clear, line):
        self.outcomes[side, f"{code}" if clear else f"{code}{UNCLEAR}"] += 1
        if not clear:
            self.failures.append(f"{side}: {code}: {line}")

    def _check_good(self):
        """What is sent unbroken gets a right answer, else the failure is noted."""
        before = self.outcomes.copy()
        for signature, inputs in self._good:
            self._judge_grpc(proto_of(self._name, signature, inputs).SerializeToString())
            body = {"inputs": {name: array.tolist() for name, array in inputs.items()}}
            self._judge_rest(json.dumps({"signature_name": signature, **body}).encode())
        news = self.outcomes - before
        good = news["grpc", RIGHT] + news["rest", RIGHT]
        self.outcomes = before
        self.outcomes[GOOD, RIGHT] += good
        if good != 2 * len(self._good):
            self.outcomes[GOOD, NO_ANSWER] += 2 * len(self._good) - good
            self.failures.append(f"a good request was not answered: {dict(news)}")


def proto_of(name, signature, inputs):
    """A `PredictRequest`."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, array in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    return request


def broken_proto(draw, request):
    """A `PredictRequest` in which some fields are not what they should be."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        name = draw.choice(sorted(request.inputs) or ["x"])
        tensor = request.inputs[name]
        kind = draw.randrange(11)
        if kind == 0:
            tensor.dtype = draw.choice((0, 1, 2, 3, 7, 8, 9, 14, 19, 20, 21, 23, 101, 99))
        elif kind == 1 and tensor.tensor_shape.dim:
            draw.choice(tensor.tensor_shape.dim).size = draw.choice((-1, 0, 1, 2, 5, 2**40, 2**62))
        elif kind == 2:
            tensor.tensor_shape.dim.add(size=draw.choice((0, 1, 2)))
        elif kind == 3:
            tensor.tensor_shape.unknown_rank = True
        elif kind == 4:
            request.inputs[draw.choice(("", "y", name + "\0", "é" * 2000))].CopyFrom(tensor)
        elif kind == 5:
            del request.inputs[name]
        elif kind == 6:
            request.output_filter.append(draw.choice(("", "y", "y_t", "next_state", "z" * 5000)))
        elif kind == 7:
            request.model_spec.name = draw.choice(("", "other", "\n", request.model_spec.name))
        elif kind == 8:
            request.model_spec.version.value = draw.choice((-1, 0, 1, 2, 2**62))
        elif kind == 9:
            request.model_spec.signature_name = draw.choice(("", "step", "prefill", "none"))
        else:
            _set_a_number(draw, tensor)
    return request


def _set_a_number(draw, tensor):
    """Puts a number into a tensor that is still whole, if its type can hold it."""
    try:
        array = tf.make_ndarray(tensor).copy()
    except (KeyError, TypeError, ValueError):
        return
    number = draw.choice(WRONG_NUMBERS)
    if array.size and (array.dtype.kind == "f" or (array.dtype.kind == "i" and number in INTEGERS)):
        array.flat[draw.randrange(array.size)] = number
        tensor.CopyFrom(tf.make_tensor_proto(array))


def main():
    """Serves an export and sends broken requests to it; exit code 1 if one was not met well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_fuzz", description=__doc__)
    parser.add_argument("folder", help="folder of the export")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from keras_deep_rnn.export.testing_server.served_model import version_folder

    with ServedProcess(options.folder, "--name", "fuzzed") as server:
        places = server.address, server.rest_address
        folder = version_folder(options.folder)
        fuzz = Fuzz(folder, "fuzzed", *places, seed=options.seed)
        fuzz.run(options.count)
        said = server.stop()
    for (side, outcome), count in sorted(fuzz.outcomes.items()):
        print(f"{count:6} {side}: {outcome}")
    print(f"{len(fuzz.failures)} failures", *fuzz.failures[:20], sep="\n")
    print(f"The server ended with {server.process.returncode} and has said: {said[-2000:]}")
    raise SystemExit(bool(fuzz.failures) or server.process.returncode)


if __name__ == "__main__":
    main()

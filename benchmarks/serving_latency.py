"""Latency of one step of an exported network: python -m benchmarks.serving_latency --help.

A stack of two levels of 128 units, one row, with probabilities; 88 keys of a piano-roll, or 50
characters. All contestants compute the same numbers, which is checked first, and run in turn in one
process. Their inputs are ready: what is timed is the call of the runtime alone.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_deep_rnn import build_network
from keras_deep_rnn.export import export_saved_model
from keras_deep_rnn.export.checks import c_api, check_graph
from keras_deep_rnn.export.formats.litert import export_litert, interpreter
from keras_deep_rnn.export.formats.onnx import export_onnx

from .__main__ import machine, write

UNITS = 128
KINDS = {"music": ("piano_roll", 88, "sigmoid"), "text": ("characters", 50, "softmax")}
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "onnxruntime", "numpy")
HAND = "tf.function by hand, C API"
STEP = "`step`, C API"
# Calls in a round, after a fifth of them that are not timed.
CALLS, SLOW_CALLS = 100, 5
AGREE = 1e-5


class ByHand(tf.Module):
    """The step as one would write it for this network alone, without checks of its inputs."""

    def __init__(self, model, kind):
        super().__init__()
        self.kept = [tf.Variable(weight) for weight in model.get_weights()]
        _, features, probabilities = KINDS[kind]
        x = tf.TensorSpec((None, features) if kind == "music" else (None,), name="x_t")
        x = x if kind == "music" else tf.TensorSpec((None,), "int32", name="x_t")
        state = tf.TensorSpec((None, 2 * UNITS), name="state")

        @tf.function(input_signature=[x, state], autograph=False)
        def step(x_t, state):
            U_1, W_1, b_1, U_2, W_2, b_2, V, c = self.kept
            x_t = x_t if kind == "music" else tf.one_hot(x_t, features)
            h_1 = tf.tanh(x_t @ U_1 + state[:, :UNITS] @ W_1 + b_1)
            h_2 = tf.tanh(h_1 @ U_2 + state[:, UNITS:] @ W_2 + b_2)
            y = h_2 @ V + c
            return {
                "y_t": y,
                "probabilities_t": getattr(tf.nn, probabilities)(y),
                "next_state": tf.concat([h_1, h_2], axis=-1),
            }

        self.step = step


def contestants(kind, folder):
    """{name: (calls, time one call, its outputs or None)} of every way to run the step."""
    keras.utils.set_random_seed(0)
    data, features, probabilities = KINDS[kind]
    model = build_network("srnn", kind=data, features=features, units=UNITS, levels=2)
    random = np.random.default_rng(0)
    x = random.integers(0, features, 1) if kind == "text" else random.random((1, features)) < 0.05
    x = x.astype(model.inputs[0].dtype)
    inputs = {"x_t": x, "state": random.uniform(-1, 1, (1, 2 * UNITS)).astype("float32")}
    asked = {"probabilities": probabilities}

    by_hand = ByHand(model, kind)
    tf.saved_model.save(by_hand, str(folder / "hand"), signatures={"step": by_hand.step})
    ours = export_saved_model(model, folder / "ours", **asked)
    lite, int8 = (
        export_litert(model, folder / f"litert {q}", name="litert", quantize=q, **asked)
        for q in (None, "int8")
    )
    onnx = export_onnx(model, folder / "onnx", **asked)

    served = tf.saved_model.load(str(ours)).signatures["step"]
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {
        HAND: _by_c_api(folder / "hand", inputs),
        STEP: _by_c_api(ours, inputs),
        "LiteRT float32": _by_litert(lite, inputs),
        "LiteRT int8": _by_litert(int8, inputs),
        "ONNX Runtime": _by_onnxruntime(onnx, inputs),
        "SavedModel in Python": _called(lambda: served(**tensors)),
        "tf.function by hand, Python": _called(lambda: by_hand.step(*tensors.values())),
        "model.predict": _predict(model, x),
    }


def _by_c_api(folder, inputs):
    graph = check_graph.read_graph(folder)
    wheel = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    session = c_api.Session(c_api.load_library(wheel), str(folder), check_graph.tensors_of(graph))
    tensors = session.allocate("step", inputs)

    def once():
        start = time.perf_counter()
        results = session.run("step", tensors)
        seconds = time.perf_counter() - start
        session.delete(results)
        return seconds

    return CALLS, once, session("step", inputs)


def _by_litert(folder, inputs):
    runtime = interpreter()(model_path=str(folder / "step.tflite"))
    # The names of a signature are those of its tensors: "step_x_t:0".
    for details in runtime.get_input_details():
        name = details["name"].removeprefix("step_").removesuffix(":0")
        runtime.resize_tensor_input(details["index"], inputs[name].shape)
    runtime.allocate_tensors()
    for details in runtime.get_input_details():
        name = details["name"].removeprefix("step_").removesuffix(":0")
        runtime.set_tensor(details["index"], inputs[name])
    outputs = runtime.get_signature_runner("step")(**inputs)
    return CALLS, _timed(runtime.invoke), outputs


def _by_onnxruntime(folder, inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # others only wait for it in such small products
    session = onnxruntime.InferenceSession(
        str(folder / "step.onnx"), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs)))
    return CALLS, _timed(lambda: session.run(names, inputs)), outputs


def _called(call):
    outputs = {name: value.numpy() for name, value in call().items()}
    return CALLS, _timed(lambda: call()["y_t"].numpy()), outputs


def _predict(model, x):
    # The model without a state: what `predict` costs, whatever it computes.
    x = x[:, None]
    model.predict({"x": x}, verbose=0)
    return SLOW_CALLS, _timed(lambda: model.predict({"x": x}, verbose=0)), None


def _timed(call):
    def once():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return once


def check(outputs, expected, tolerance):
    """Raises where a contestant computes other numbers than the first."""
    for name, value in expected.items():
        difference = float(np.max(np.abs(outputs[name] - value)))
        if not difference <= tolerance:
            raise SystemExit(f"another {name}: it differs by {difference:.3g}")


def measure(kind, rounds):
    """{contestant: seconds of every call}."""
    with tempfile.TemporaryDirectory() as folder:
        made = contestants(kind, Path(folder))
        for name, (_, _, outputs) in made.items():
            if outputs is not None:
                check(outputs, made[HAND][2], 0.1 if "int8" in name else AGREE)
        seconds = {name: [] for name in made}
        for _ in range(rounds):
            for name, (calls, once, _) in made.items():
                samples = [once() for _ in range(calls + calls // 5)]
                seconds[name] += samples[calls // 5 :]
    return seconds


def table(measured):
    """The medians and ratios as Markdown."""
    kinds = list(measured)
    heads = [head for kind in kinds for head in (f"{kind}, us", "of the one by hand")]
    lines = [f"| one step, B = 1 | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in measured[kinds[0]]:
        cells = []
        for kind in kinds:
            median, base = (statistics.median(measured[kind][n]) for n in (name, HAND))
            cells += [f"{1e6 * median:,.1f}", f"{median / base:,.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.serving_latency", description=__doc__.split(":")[0]
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", choices=KINDS, help="one of the two networks")
    parser.add_argument("--out", type=Path, help="JSON of every sample, the machine, the versions")
    given = parser.parse_args()
    measured = {kind: measure(kind, given.rounds) for kind in KINDS if given.only in (None, kind)}
    print(table(measured))
    if given.out:
        command = " ".join(["python -m benchmarks.serving_latency", *sys.argv[1:]])
        facts = {**machine(), "command": command, "load": os.getloadavg()[0]}
        write(given.out, {"run": facts, "versions": _versions(), "seconds": measured})


def _versions():
    installed = {d.metadata["Name"].replace("_", "-"): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


if __name__ == "__main__":
    main()

"""Time of one training step: the layers' own loop against the ways Keras has to run the same cell.

    python -m benchmarks.recurrence --out benchmarks/results.json

The rivals are the same network with the same weights: `keras.layers.RNN(cell)`, and the same
compiled whole by XLA. All take turns in each round, so that a change of the machine's speed meets
all of them; medians and their ratios are reported, and every sample is written.
"""

import argparse
import json
import os
import platform
import statistics
import time

import keras
import numpy as np

from keras_deep_rnn import DeepTransitionRNN, DeepTransitionRNNCell

# (B, T, D, H) of the input and the transition, and its depth L.
CONFIGURATIONS = [
    (1, 200, 50, 200, 2),
    (16, 200, 88, 200, 2),
    (32, 100, 88, 400, 2),
    (64, 50, 200, 200, 2),
    (1, 200, 50, 200, 4),
    (16, 200, 88, 200, 4),
]


def contestants(features, units, depth):
    """Models by name; each has its own way of running the same network."""
    sizes = {"units": units, "transition_units": (units,) * (depth - 1), "shortcut": True}
    own = DeepTransitionRNN(**sizes, return_sequences=True)
    layers = {
        "this package": (own, False),
        "keras.layers.RNN(cell)": (_in_keras(sizes), False),
        "keras.layers.RNN(cell), XLA": (_in_keras(sizes), True),
    }
    models, weights = {}, None
    for name, (layer, jit_compile) in layers.items():
        inputs = keras.Input((None, features))
        model = keras.Model(inputs, layer(inputs))
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
        models[name] = model
    return models


def _in_keras(sizes):
    return keras.layers.RNN(DeepTransitionRNNCell(**sizes), return_sequences=True)


def measure(configuration, rounds):
    """Seconds of every round for each contestant; the first call, which compiles, is apart."""
    batch, steps, features, units, depth = configuration
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, steps, features)).astype("float32")
    y = rng.normal(size=(batch, steps, units)).astype("float32")
    models = contestants(features, units, depth)
    seconds = {name: [] for name in models}
    first, losses = {}, {}
    for name, model in models.items():
        first[name], losses[name] = _timed(model, x, y)
    np.testing.assert_allclose(list(losses.values()), losses["this package"], rtol=1e-4)
    for _ in range(rounds):
        for name, model in models.items():
            seconds[name].append(_timed(model, x, y)[0])
    return {"first": first, "seconds": seconds}


def _timed(model, x, y):
    start = time.perf_counter()
    loss = float(model.train_on_batch(x, y))
    return time.perf_counter() - start, loss


def main():
    """Runs all configurations, prints a table and writes every sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="benchmarks/results.json", help="JSON to write")
    parser.add_argument("--rounds", type=int, default=15, help="measured steps of each")
    arguments = parser.parse_args()
    results = []
    print("Training step, milliseconds (median), and how many times as fast as the best rival")
    for configuration in CONFIGURATIONS:
        found = measure(configuration, arguments.rounds)
        medians = {n: 1e3 * statistics.median(s) for n, s in found["seconds"].items()}
        best = min(value for name, value in medians.items() if name != "this package")
        ratio = best / medians["this package"]
        names = dict(zip(("B", "T", "D", "H", "L"), configuration))
        results.append({**names, "median_ms": medians, "ratio": ratio, **found})
        shown = "  ".join(f"{name} {value:.1f}" for name, value in medians.items())
        print(f"{names}  {shown}  ratio {ratio:.2f}", flush=True)
    facts = {
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "rounds": arguments.rounds,
    }
    with open(f"{arguments.out}.partial", "w", encoding="utf-8") as file:
        json.dump({"facts": facts, "results": results}, file, indent=1)
    os.replace(f"{arguments.out}.partial", arguments.out)


if __name__ == "__main__":
    main()

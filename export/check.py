"""Checks a SavedModel against the model that it was made from, in a process of its own."""

import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

from ..errors import UserError
from .contract import exportable, half_precision, logits_of

BATCHES = (1, 3)
LENGTHS = (2, 7)
# Relative to the largest logit; sums may be ordered differently in a graph.
TOLERANCE = 1e-5
HALF_TOLERANCE = 1e-2  # where a layer computes in float16 or bfloat16


def check_export(path, model):
    """Compares a SavedModel, loaded without Keras and this package, with its model.

    A new process, in which `keras` and `keras_deep_rnn` cannot be imported, loads the folder and
    runs its `serving_default` at two batch sizes and two lengths, each twice. Its logits must be
    those of `model` and the same both times.

    Args:
        path: Folder of one version, the one with `saved_model.pb`.
        model: The `keras.Model` that was exported.

    Returns:
        The largest difference of a logit, a float (0.0 when all are equal bit for bit).

    Raises:
        UserError: The folder does not load or does not run there, or its numbers differ.

    Example:

    >>> import keras, tempfile
    >>> from keras_deep_rnn.export import export_saved_model
    >>> model = keras.Sequential(
    ...     [keras.Input((None, 3)), keras.layers.SimpleRNN(4, return_sequences=True)]
    ... )
    >>> folder = export_saved_model(model, tempfile.mkdtemp())
    >>> check_export(folder, model) < 1e-6
    True
    """
    exportable(model)
    inputs = _inputs(model)
    served = _run(path, inputs)
    tolerance = HALF_TOLERANCE if half_precision(model) else TOLERANCE
    worst = 0.0
    for name, x in inputs.items():
        expected = _logits(model, x)
        first, second = (served[f"{name}/{run}/logits"] for run in range(2))
        if not np.array_equal(first, second):
            raise UserError("the export gives other numbers when it is asked again.")
        if first.shape != expected.shape:
            raise UserError(
                f"the export returns {first.shape} for inputs of {x.shape}, the model "
                f"{expected.shape}."
            )
        difference = float(np.max(np.abs(first - expected)))
        if not difference <= tolerance * max(1.0, float(np.max(np.abs(expected)))):
            raise UserError(
                f"the export differs from the model by {difference:.3g} for inputs of {x.shape}."
            )
        worst = max(worst, difference)
    return worst


def _inputs(model):
    """Inputs by name for every batch size and length."""
    rng = np.random.default_rng(0)
    tensor = model.inputs[0]
    inputs = {}
    for batch in BATCHES:
        for length in LENGTHS:
            shape = (batch, length, *tensor.shape[2:])
            if "int" in tensor.dtype:
                x = rng.integers(0, 2, shape)  # 0 and 1 are tokens of every vocabulary
            else:
                x = rng.normal(size=shape)
            inputs[f"{batch}x{length}"] = x.astype(tensor.dtype)
    return inputs


def _logits(model, x):
    import tensorflow as tf

    # On the processor that the other process computes on.
    with tf.device("CPU:0"):
        logits = logits_of(model, tf.constant(x))
    return keras.ops.convert_to_numpy(logits).astype("float32")


def _run(path, inputs):
    """What the new process computes: arrays named `<input>/<run>/<output>`."""
    script = pathlib.Path(__file__).with_name("check_process.py")
    with tempfile.TemporaryDirectory() as folder:
        given, returned = os.path.join(folder, "inputs.npz"), os.path.join(folder, "outputs.npz")
        np.savez(given, **inputs)
        result = subprocess.run(
            [sys.executable, "-I", str(script), str(path), given, returned],
            # This process may hold all the memory of an accelerator.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
        )
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
            raise UserError(f"the export does not run without Keras: {reason}")
        with np.load(returned) as outputs:
            return dict(outputs)

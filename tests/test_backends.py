"""The tests of parts that use a backend's own random numbers, scopes and training loop,
run again on the backends that this process does not use."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

FILES = [
    "test_activations.py",
    "test_dropout.py",
    "test_equations.py",
    "test_gated.py",
    "test_gated_options.py",
    "test_gradients.py",
    "test_initializers.py",
    "test_keras_contract.py",
    "test_metrics.py",
    "test_networks.py",
    "test_noise.py",
    "test_operators.py",
    "test_persistent.py",
    "test_recurrence.py",
    "test_schedules.py",
    "test_step.py",
    "test_tokens.py",
    "test_weights.py",
]


PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
# Of thousands of programs each runs a few times: JAX takes longer to improve them than to run them.
QUICKLY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "KERAS_DEEP_RNN_TESTED": keras.backend.backend()}
# What a backend has no part in, or what others of these tests reach as well.
LEFT_OUT = (
    "test_size_of_table_1",
    "(test_trains and characters and not dots)",
    "(test_networks and test_mixed_precision and not dots and not lstm)",
)


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_on_backend(backend):
    if backend == keras.backend.backend():
        pytest.skip("is the backend of this process")
    result = subprocess.run(
        [*PYTEST, "-k", f"not ({' or '.join(LEFT_OUT)})", *FILES],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, **QUICKLY, "KERAS_BACKEND": backend, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout

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


# Of thousands of programs each runs a few times: JAX takes longer to improve them than to run them.
QUICKLY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_on_backend(backend):
    if backend == keras.backend.backend():
        pytest.skip("is the backend of this process")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *FILES],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, **QUICKLY, "KERAS_BACKEND": backend, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout

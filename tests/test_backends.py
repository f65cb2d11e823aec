"""The tests of parts that use a backend's own random numbers, scopes and training loop,
run again on the backends that this process does not use."""

import importlib.util
import mmap
import os
import pathlib
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.process

FILES = [
    "layers/test_activations.py",
    "layers/test_dropout.py",
    "layers/test_equations.py",
    "layers/test_gated.py",
    "layers/test_gated_options.py",
    "layers/test_initializers.py",
    "layers/test_keras_contract.py",
    "layers/test_learned_activation.py",
    "layers/test_nade.py",
    "layers/test_operators.py",
    "layers/test_optimizers.py",
    "layers/test_schedules.py",
    "layers/test_step.py",
    "layers/test_tied_embedding.py",
    "layers/test_tokens.py",
    "layers/test_weight_noise.py",
    "layers/test_weights.py",
    "recurrence/test_gradients.py",
    "recurrence/test_persistent.py",
    "recurrence/test_recurrence.py",
    "training/test_callbacks.py",
    "training/inspection/test_through_time.py",
    "training/test_joint_output.py",
    "training/test_metrics.py",
    "training/test_models.py",
]


# Processes of about equal length, so that two workers of pytest-xdist have as much to do.
PARTS = [
    ["recurrence/test_recurrence.py"],
    [file for file in FILES if not file.startswith(("layers/", "recurrence/test_recurrence"))],
    [file for file in FILES if file.startswith("layers/")],
]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
# Of thousands of programs each runs a few times: JAX takes longer to improve them than to run them.
QUICKLY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "KERAS_DEEP_RNN_TESTED": keras.backend.backend()}
# Without these emitters it compiles three times as fast.
EMITTERS = "xla_cpu_use_fusion_emitters"
# What a backend has no part in, or what others of these tests reach as well.
LEFT_OUT = (
    "test_size_of_table_1",
    "(test_trains and characters and not dots)",
    "(test_models and test_mixed_precision and not dots and not lstm)",
)


def xla_flags():
    """The flag, where JAX knows it: it ends with an error at one that it does not know."""
    library = pathlib.Path(importlib.util.find_spec("jaxlib").origin).with_name("libjax_common.so")
    if not library.is_file():
        return {}
    with (
        library.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return {"XLA_FLAGS": f"--{EMITTERS}=false"} if content.find(EMITTERS.encode()) > 0 else {}


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Variables with which JAX finds what it has compiled before.

    A new function of Python is a new program for JAX, also where it compiles to the same.
    """
    # Not shared by the workers of pytest-xdist: JAX writes its files where others read them.
    folder = tmp_path_factory.mktemp("programs")
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.mark.parametrize("files", PARTS, ids=lambda files: files[0])
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_on_backend(backend, files, programs):
    if backend == keras.backend.backend():
        pytest.skip("is the backend of this process")
    environment = {**os.environ, **QUICKLY, **programs}
    if backend == "jax":
        environment |= xla_flags()
    result = subprocess.run(
        [*PYTEST, "-k", f"not ({' or '.join(LEFT_OUT)})", *files],
        cwd=pathlib.Path(__file__).parent,
        env={**environment, "KERAS_BACKEND": backend, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout

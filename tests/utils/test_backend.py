"""The start of the backend: nothing of its log on stderr, and all that Python says."""

import os
import subprocess
import sys

import pytest

from keras_deep_rnn.utils import backend
from keras_deep_rnn.utils.backend import without_log

LOG = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795731064.677353   17691 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1795731064.677353   17691 cuda_dnn.cc:8310] Unable to register cuDNN factory
2026-01-02 03:04:05.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
"""
OTHERS = """\
deep.py:3: UserWarning: the data is short
F0000 00:00:1795731064.677353   17691 tensor.cc:1] Check failed: dtype() == expected
Illegal instruction
"""


def test_only_lines_of_the_log_are_taken_out(capfd):
    with without_log():
        os.write(2, (LOG + OTHERS).encode())
    assert capfd.readouterr().err == OTHERS


def test_what_was_said_before_an_error_is_not_lost(capfd):
    def fail():
        os.write(2, OTHERS.encode())
        raise ImportError

    with pytest.raises(ImportError), without_log():
        fail()
    assert capfd.readouterr().err == OTHERS


@pytest.mark.parametrize("level", [None, "2", "0"])
def test_the_log_is_there_for_who_wants_it(level, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if level is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    silenced = []
    monkeypatch.setattr(backend, "_silence_tensorflow", lambda: silenced.append(level))
    backend.start_backend()
    assert silenced == ([] if level == "0" else [level])
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level or level is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorflow", "jax", "torch"])
def test_tensorflow_is_loaded_without_its_log_whenever_it_is(name):
    """Beside another backend it comes later, when Keras asks for it."""
    pytest.importorskip("tensorflow")
    pytest.importorskip(name)
    code = (
        "from keras_deep_rnn.utils.backend import start_backend; start_backend()\n"
        "import tensorflow, warnings; warnings.warn('mind the gap')"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**environment, "KERAS_BACKEND": name},
    )
    assert (result.returncode, result.stderr) == (0, "<string>:2: UserWarning: mind the gap\n")

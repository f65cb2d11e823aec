"""The C++ client: built against the TensorFlow that is installed, run against an export."""

import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import served_models

from keras_deep_rnn.export import export_saved_model

SOURCE = pathlib.Path(__file__).parents[2] / "examples" / "cpp"
MISSING = [tool for tool in ("make", "g++", "ld.gold") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpp")
    for name in ("Makefile", "stream.cc"):
        shutil.copy(SOURCE / name, folder)
    subprocess.run(["make", "-C", folder, f"PYTHON={sys.executable}"], check=True)
    return folder / "stream"


def stream(program, folder, lines):
    return subprocess.run(
        [program, folder],
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )


def test_steps_in_cpp_are_those_of_the_model(program, quick_checks, tmp_path):
    model = served_models.lstm_and_gru()
    folder = export_saved_model(model, tmp_path / "music")
    x = served_models.inputs(model, batch=1)
    result = stream(program, folder, [" ".join(f"{value:.9g}" for value in x_t) for x_t in x[0]])
    assert result.returncode == 0, result.stderr
    y = np.array([line.split() for line in result.stdout.splitlines()], "float32")
    np.testing.assert_allclose(y, model.predict(x, verbose=0)[0], rtol=1e-5, atol=1e-6)


def test_tokens_in_cpp(program, quick_checks, tmp_path):
    model = served_models.text()
    folder = export_saved_model(model, tmp_path / "text", probabilities="softmax")
    x = served_models.inputs(model, batch=1)
    result = stream(program, folder, x[0])
    assert result.returncode == 0, result.stderr
    y = np.array([line.split() for line in result.stdout.splitlines()], "float32")
    expected = model.predict({"tokens": x}, verbose=0)["y"][0]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)

    result = stream(program, folder, [2, 5])
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1
    assert "`x_t` must lie between" in result.stderr
    assert stream(program, folder, ["two"]).stderr.endswith("a line must have 1 numbers\n")

"""The notebooks run, with small sizes."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def test_there_are_five():
    assert [notebook.stem for notebook in NOTEBOOKS] == [
        "classification", "encoder_decoder", "forecasting", "search", "serving",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="they use tf.data and export")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(notebook, tmp_path):
    jupytext = pytest.importorskip("jupytext")
    script = jupytext.writes(jupytext.read(notebook), fmt="py:percent")
    assert "QUICK" in script
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "QUICK": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    if notebook.stem != "serving":
        assert "The best: " in result.stdout

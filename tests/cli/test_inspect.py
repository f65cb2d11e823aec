"""The command `deep-rnn inspect`."""

import contextlib
import io

import numpy as np
import pytest

from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.config import Settings
from keras_deep_rnn.training.packed_run import pack
from keras_deep_rnn.training.run_folder import Run


def inspect(*arguments):
    """Exit code, output and error line."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        with pytest.raises(SystemExit) as end:
            cli.main(["inspect", *map(str, arguments)])
    return end.value.code, output.getvalue(), errors.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    random = np.random.default_rng(0)
    rolls = {
        f"{split}_{i}": (random.random((14, 88)) < 0.05).astype("uint8")
        for split in ("train", "valid", "test")
        for i in range(2)
    }
    np.savez(folder / "pieces.npz", **rolls)
    sizes = {"units": 4, "transition_units": (3,), "output_units": (3,)}
    settings = Settings(str(folder / "pieces.npz"), "dots_rnn", **sizes, epochs=1, batch_size=2)
    training.train(settings, folder / "tiny", log=lambda line: None)
    return folder / "tiny"


@pytest.mark.slow
def test_run_packed_run_and_keras_file(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, output, errors = inspect(run, "--steps", 12)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    wide = [line for line in lines if len(line) > 80 and not line.startswith("Wrote")]
    assert wide == [line for line in wide if line.startswith("recurrent: ")]  # advice
    assert any(line.split()[:2] == ["recurrent", "4"] for line in lines)
    assert (run / "inspection" / "inspect.html").stat().st_size > 10_000

    pack(Run(run), tmp_path / "tiny.npz")
    data = ["--data", run.parent / "pieces.npz"]
    code, _, error = inspect(tmp_path / "tiny.npz", *data)
    assert (code, "--out must be given for a file" in error) == (2, True)
    code, packed, _ = inspect(tmp_path / "tiny.npz", *data, "--steps", 12, "--out", tmp_path / "a")
    assert code == 0
    assert (tmp_path / "a" / "network.png").is_file()
    # Its weights are rounded to half precision.
    assert packed.splitlines()[0] == lines[0]

    code, _, error = inspect(run / "model.keras", "--out", tmp_path / "b")
    assert (code, "--data must be given for a .keras file" in error) == (2, True)
    code, _, error = inspect(run / "model.keras", *data, "--out", tmp_path / "b")
    assert (code, error) == (0, "")
    assert (tmp_path / "b" / "inspect.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "MODEL must be a run folder with config.json, got 'nowhere'."),
        (["nowhere", "--split", "tset"], "did you mean 'test'?"),
    ],
)
def test_mistakes(arguments, line):
    code, _, errors = inspect(*arguments)
    assert code == 2
    assert line in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "line"),
    [("--rows", "--rows must be a positive integer"), ("--steps", "--steps must be a positive")],
)
def test_sizes_of_the_batch(run, option, line):
    code, _, errors = inspect(run, option, 0)
    assert (code, line in errors) == (2, True)

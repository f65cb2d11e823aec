"""The examples, run on small networks."""

import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.config import Settings
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow

PATH = pathlib.Path(__file__).parents[1] / "examples" / "sample.py"


def example():
    spec = importlib.util.spec_from_file_location("sample", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders as `deep-rnn reproduce` makes them: two seeds of music, one text."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "pieces.npz",
        **{
            f"{split}_{i}": (rng.random((8, 88)) < 0.05).astype("uint8")
            for split in ("train", "valid", "test")
            for i in range(2)
        },
    )
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    tiny = {"network": "rnn", "units": 3, "epochs": 1, "batch_size": 2}
    for seed in (1, 2):
        music = Settings(str(folder / "pieces.npz"), seed=seed, **tiny)
        training.train(music, folder / "jsb_chorales" / "rnn-modern" / f"seed-{seed}")
    text = Settings(str(folder / "text.txt"), bptt_steps=10, **tiny)
    training.train(text, folder / "ptb_char" / "rnn-paper" / "seed-1")
    return folder


def test_samples_of_the_best_run_of_each_experiment(runs, tmp_path):
    module, lines = example(), []
    best = module.finished(runs)
    assert set(best) == {"jsb_chorales/rnn-modern", "ptb_char/rnn-paper"}
    both = [
        training.Run(runs / "jsb_chorales" / "rnn-modern" / f"seed-{seed}").metrics
        for seed in (1, 2)
    ]
    lower = min(both, key=lambda metrics: metrics["splits"]["validation"]["frame_nll"])
    assert best["jsb_chorales/rnn-modern"].metrics["seed"] == lower["seed"]
    written = module.sample(
        runs, tmp_path, lengths={"piano_roll": 6, "characters": 30}, log=lines.append
    )
    names = [path.relative_to(tmp_path).as_posix() for path in written]
    assert names == [
        "jsb_chorales/rnn-modern.mid",
        "jsb_chorales/rnn-modern.png",
        "ptb_char/rnn-paper.txt",
    ]
    assert written[0].read_bytes().startswith(b"MThd")
    assert written[1].read_bytes().startswith(b"\x89PNG")
    assert len(written[2].read_text()) == 30
    assert len(lines) == 2


def test_without_runs(tmp_path):
    with pytest.raises(UserError, match="`runs` must hold finished runs"):
        example().sample(tmp_path, tmp_path / "out")
    result = subprocess.run(
        [sys.executable, PATH, "--runs", tmp_path], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: `runs` must hold")

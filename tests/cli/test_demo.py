"""The whole job, small: data, training, new music and a SavedModel."""

import keras
import numpy as np
import pytest

from keras_deep_rnn.cli import demo
from keras_deep_rnn.training.config import Settings
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="export needs TensorFlow")
def test_demo_makes_everything_that_it_names(quick_checks, tmp_path, capsys):
    random = np.random.default_rng(0)
    pieces = {
        f"{split}_{i}": (random.random((6, 88)) < 0.05).astype("uint8")
        for split in ("train", "valid", "test")
        for i in range(2)
    }
    np.savez(tmp_path / "pieces.npz", **pieces)
    tiny = Settings(str(tmp_path / "pieces.npz"), network="rnn", units=3, epochs=1, batch_size=2)
    out, lines = tmp_path / "demo", []
    metrics, music, written = demo.run(out, settings=tiny, log=lines.append)
    assert set(metrics["splits"]) == {"validation", "test"}
    assert written == {
        "learning curve": out / "run" / "learning_curve.png",
        "SavedModel": out / "served" / "1",
        "piano-roll": out / "chorale.png",
        "chorale": out / "chorale.mid",
        "to play it": out / "chorale.html",
    }
    assert list(written)[-2:] == ["chorale", "to play it"]
    assert (out / "chorale.mid").read_bytes().startswith(b"MThd")
    for picture in ("piano-roll", "learning curve"):
        assert written[picture].read_bytes().startswith(b"\x89PNG")
    assert (written["SavedModel"] / "saved_model.pb").is_file()
    assert b"<canvas" in written["to play it"].read_bytes()
    assert any("SavedModel" in line for line in lines)
    corpus = np.concatenate(list(pieces.values()))
    mean, deviation = music["data set"]["voices sounding"]
    assert (mean, deviation) == pytest.approx((corpus.sum(1).mean(), corpus.sum(1).std()))
    demo.show_statistics(music)
    table = capsys.readouterr().out
    assert f"{mean:.2f} ± {deviation:.2f}" in table
    assert all(name in table for name in ("new chorale", "data set", "dissonances"))
    with pytest.raises(UserError, match="holds a run"):
        demo.run(out, settings=tiny, log=lines.append)

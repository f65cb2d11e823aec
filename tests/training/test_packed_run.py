"""A packed run is a run: it is evaluated and sampled, with weights in half precision."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from made_up_runs import dataset, settings

from keras_deep_rnn import data
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.packed_run import pack, unpacked
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def load(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, **options: dataset(name))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, trained with a path of this machine."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(data, "load", lambda name, **options: dataset(name))
        chosen = settings(epochs=1, units=5, manual_dir=str(out.parent))
        training.train(chosen, out, command=f"deep-rnn train {out}", log=lambda line: None)
    return Run(out)


def test_its_numbers_are_those_of_the_run_but_for_rounding(run, tmp_path):
    pack(run, tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as arrays:
        assert {arrays[name].dtype.name for name in arrays.files if name != "run"} == {"float16"}
        assert str(run.path.parent) not in str(arrays["run"])
    with unpacked(tmp_path / "small.npz") as folder:
        metrics = training.evaluate_run(folder, "test")
        assert Run(folder).settings().units == 5
    expected = run.metrics["splits"]["test"]
    assert metrics["splits"]["test"] == pytest.approx(expected, rel=1e-3)
    assert not folder.exists()


def test_ones_own_data_has_its_name_alone(run, tmp_path, monkeypatch):
    """And the options that make its frames: without them they would be others."""
    own = functools.partial(dataclasses.replace, dataset("piano_roll"))
    monkeypatch.setattr(data, "load", lambda name, **options: own(name=name))
    (tmp_path / "own").mkdir()
    chosen = settings(str(tmp_path / "own"), epochs=1, sustain_pedal=True, skip_unreadable=True)
    training.train(chosen, tmp_path / "run", log=lambda line: None)
    pack(Run(tmp_path / "run"), tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as arrays:
        assert str(tmp_path) not in str(arrays["run"])
    with unpacked(tmp_path / "small.npz") as folder:
        found, of_run = Run(folder), Run(folder).settings()
        assert (of_run.sustain_pedal, of_run.skip_unreadable) == (True, True)
        assert of_run.data == found.config["data"]["name"] == found.metrics["data"]["name"] == "own"


def test_a_folder_is_itself(run):
    with unpacked(run.path) as folder:
        assert folder == run.path
    assert folder.exists()


def arrays_without(name):
    def content(arrays):
        del arrays[name]
        return arrays

    return content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda arrays: {"a": np.zeros(3)}, "run"),
        (lambda arrays: {**arrays, "run": np.array("{}")}, "config.json"),
        (arrays_without("1"), "1"),
        (lambda arrays: {**arrays, "0": arrays["0"][:1]}, "shape"),
    ],
)
def test_other_files_are_one_line(run, change, reason, tmp_path):
    pack(run, tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as arrays:
        content = dict(arrays)
    np.savez(tmp_path / "other.npz", **change(content))
    with pytest.raises(UserError, match=r"Cannot read .*other.npz' as a packed run: .*" + reason):
        with unpacked(tmp_path / "other.npz"):
            pass
    (tmp_path / "text.npz").write_text(json.dumps({}))
    with pytest.raises(UserError, match="Cannot read .*text.npz' as a packed run: "):
        with unpacked(tmp_path / "text.npz"):
            pass

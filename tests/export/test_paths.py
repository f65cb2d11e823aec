"""Paths that TensorFlow takes for a pattern are refused before any work."""

import pathlib
import shutil

import pytest

from keras_deep_rnn.export import check_export, export_run, export_saved_model
from keras_deep_rnn.export.testing_server.served_model import ServedModel
from keras_deep_rnn.utils.errors import UserError

tf = pytest.importorskip("tensorflow")

RUN = pathlib.Path(__file__).parents[1] / "fixtures" / "earlier_run"


@pytest.mark.parametrize("name", ["my [x]", "a*b", "a?b", "a\\b"])
def test_a_pattern_is_refused(name, tmp_path, monkeypatch):
    path = tmp_path / name
    calls = {
        "export": lambda: export_saved_model(None, path),
        "run": lambda: export_run(RUN, path, name="a"),
        "check": lambda: check_export(path / "1"),
        "server": lambda: ServedModel(path / "1"),
    }
    monkeypatch.setattr("keras_deep_rnn.training.run_folder.Run.model", None)  # is not called
    for call in calls.values():
        with pytest.raises(UserError) as error:
            call()
        line = "`path` must be a path without * ? [ \\, which TensorFlow cannot load from, got "
        assert str(error.value).startswith(line + repr(str(path))[:-1])
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    path.mkdir()
    monkeypatch.chdir(path)  # the folder above counts, too
    with pytest.raises(UserError, match="`path` must be a path without"):
        export_saved_model(None, "served")


@pytest.mark.parametrize("name", ["a b", "♫ é", "a]b{c}", "$x^$ #%20", "a:b"])
def test_any_other_path_loads(name, exports, tmp_path):
    shutil.copytree(exports["text"], tmp_path / name)
    assert ServedModel(tmp_path / name / "1").version == 1


def test_why_a_pattern_is_refused(exports, tmp_path):
    """TensorFlow itself: when it takes such a path, the check has to go."""
    shutil.copytree(exports["text"], tmp_path / "[x]")
    with pytest.raises(FileNotFoundError, match="matching files"):
        tf.saved_model.load(str(tmp_path / "[x]" / "1"))

"""Models in folders of any name."""

import shutil

import pytest

from keras_deep_rnn.export import check_export
from keras_deep_rnn.export.testing_server.served_model import ServedModel

tf = pytest.importorskip("tensorflow")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a b", "♫ é", "a]b{c}", "$x^$ #%20", "a:b", "my [x]", "a*b", "a?b", "a\\b"]
)
def test_any_path_loads(name, exports, tmp_path):
    shutil.copytree(exports["text"], tmp_path / name)
    assert ServedModel(tmp_path / name / "1").version == 1


@pytest.mark.slow
@pytest.mark.usefixtures("quick_checks")
def test_any_path_is_checked(exports, tmp_path):
    shutil.copytree(exports["text"], tmp_path / "a [*?\\]")
    check_export(tmp_path / "a [*?\\]" / "1")


def test_why_there_is_a_link(exports, tmp_path):
    """TensorFlow itself: when it takes such a path, the link has to go."""
    shutil.copytree(exports["text"], tmp_path / "[x]")
    with pytest.raises(FileNotFoundError, match="matching files"):
        tf.saved_model.load(str(tmp_path / "[x]" / "1"))

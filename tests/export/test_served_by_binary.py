"""The check against `tensorflow_model_server`, which the stand-in plays where it is not there."""

import os
import stat
import sys

import keras
import pytest

from keras_deep_rnn.utils.errors import UserError

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

from keras_deep_rnn.export import check_export

STAND_IN = """\
#!{python}
import sys

from keras_deep_rnn.cli.main import main

given = dict(argument.lstrip("-").split("=") for argument in sys.argv[1:])
main(["serve", given["model_base_path"], "--name", given["model_name"],
      "--port", given["port"], "--rest-port", "0"])
"""
BROKEN = """\
#!{python}
print("no model can be served today")
"""


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Puts a program `tensorflow_model_server` on PATH."""

    def put(content):
        program = tmp_path / "bin" / "tensorflow_model_server"
        program.parent.mkdir()
        program.write_text(content.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return put


@pytest.mark.process
def test_every_check_runs_against_the_server(on_path, quick_checks, exports):
    on_path(STAND_IN)
    found = check_export(exports["music"] / "1").found
    for check in ("golden", "padding", "step by step", "generate", "bad inputs"):
        assert found[f"tensorflow_model_server, {check}"] == found[f"without Keras, {check}"]


@pytest.mark.slow
def test_a_server_that_does_not_serve_is_a_failure(on_path, quick_checks, exports):
    on_path(BROKEN)
    with pytest.raises(UserError, match="check 'tensorflow_model_server' failed: .* served today"):
        check_export(exports["text"] / "1")

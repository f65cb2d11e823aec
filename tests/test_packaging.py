import importlib.metadata
import subprocess
import sys

import pytest

import keras_deep_rnn
from keras_deep_rnn.__main__ import main


def test_version_is_that_of_the_distribution():
    assert importlib.metadata.version("keras-deep-rnn") == keras_deep_rnn.__version__


def test_only_keras_and_numpy_are_required():
    required = importlib.metadata.requires("keras-deep-rnn")
    core = {line for line in required if "extra ==" not in line}
    assert {line.split(">")[0].split("<")[0] for line in core} == {"keras", "numpy"}


def test_import_leaves_optional_packages_alone():
    code = (
        "import sys, keras_deep_rnn\n"
        "optional = {'keras_tuner', 'tensorflow_datasets', 'music21', 'typer'}\n"
        "print(sorted(optional & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_command_line_without_its_extra(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "keras_deep_rnn.cli", raising=False)
    monkeypatch.delattr(keras_deep_rnn, "cli", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "`typer` is not installed: pip install 'keras-deep-rnn[cli]'\n"
    )

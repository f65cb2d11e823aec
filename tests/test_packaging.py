import importlib.metadata
import subprocess
import sys
import zipfile

import pytest

import keras_deep_rnn
from keras_deep_rnn.__main__ import main

pytestmark = pytest.mark.process

ENDS = ("py", "pyi", "toml", "typed")


def test_version_is_that_of_the_distribution():
    assert importlib.metadata.version("keras-deep-rnn") == keras_deep_rnn.__version__


def test_only_keras_and_numpy_are_required():
    required = importlib.metadata.requires("keras-deep-rnn")
    core = {line for line in required if "extra ==" not in line}
    assert {line.split(">")[0].split("<")[0] for line in core} == {"keras", "numpy"}


def test_wheel_holds_the_package_and_nothing_else(source, wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    version = keras_deep_rnn.__version__
    assert {file.split("/")[0] for file in files} == {
        "keras_deep_rnn", f"keras_deep_rnn-{version}.dist-info",
    }  # fmt: skip
    for folder in ("keras_deep_rnn", "export", "tuning"):
        name = folder if folder == "keras_deep_rnn" else f"keras_deep_rnn/{folder}"
        modules = [path for end in ENDS for path in (source / folder).rglob(f"*.{end}")]
        assert {f"{name}/{p.relative_to(source / folder).as_posix()}" for p in modules} <= files


def test_import_leaves_optional_packages_alone():
    code = (
        "import sys, keras_deep_rnn\n"
        "optional = {'keras_tuner', 'optuna', 'tensorflow_datasets', 'music21', 'typer'}\n"
        "print(sorted(optional & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_command_line_without_its_extra(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "keras_deep_rnn.cli.main", raising=False)
    monkeypatch.delattr(keras_deep_rnn, "cli", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "`typer` is not installed: pip install 'keras-deep-rnn[cli]'\n"
    )

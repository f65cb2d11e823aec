import importlib.metadata
import itertools
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml

import keras_deep_rnn
from keras_deep_rnn.__main__ import main

pytestmark = pytest.mark.process

ENDS = ("py", "pyi", "toml", "typed")
ROOT = pathlib.Path(__file__).parent.parent
# The first version in which no published vulnerability is left open.
CLOSED = {
    "aiohttp": "3.14.3",  # CVE-2026-69244
    "grpcio": "1.66.2",  # CVE-2024-11407
    "keras": "3.15",  # CVE-2026-12570
    "onnx": "1.22",  # GHSA-hwpq-hmq9-wj77
    "pytest": "9.0.3",  # CVE-2025-71176
    "requests": "2.33",  # CVE-2026-25645
    "scikit-learn": "1.5",  # CVE-2024-5206
    "setuptools": "83",  # CVE-2026-59890
    "tensorflow": "2.21",  # CVE-2026-2492
    "tensorflow-cpu": "2.21",
    "torch": "2.13",  # CVE-2025-3000
    "tqdm": "4.66.3",  # CVE-2024-34062
}


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


def lowest_versions():
    """(package, lowest version) of every requirement in pyproject.toml."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = content["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    for line in (*content["build-system"]["requires"], *project["dependencies"], *extras):
        if not line.startswith(project["name"]):
            name, version = re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line).groups()
            yield name, tuple(map(int, version.split(".")))


def test_no_lowest_version_has_a_vulnerability_that_a_later_one_has_closed():
    for name, version in lowest_versions():
        if name in CLOSED:
            assert version >= tuple(map(int, CLOSED[name].split("."))), name
    assert CLOSED.keys() <= dict(lowest_versions()).keys()


def test_a_package_has_one_lowest_version():
    found = set(lowest_versions())
    assert len(found) == len({name for name, _ in found}), sorted(found)


def test_the_weekly_audit_knows_the_extras():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text())
    (job,) = workflow["jobs"].values()
    named = re.findall(r"--extra (\S+)", " ".join(job["strategy"]["matrix"]["extras"]))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(named) <= extras["optional-dependencies"].keys()
    assert {"all", "jax", "torch", "test"} <= set(named)
    assert workflow[True]["schedule"]  # YAML takes the key `on` for a truth value

import importlib.metadata
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile

import pytest
import yaml

import keras_deep_rnn
from keras_deep_rnn.__main__ import main

pytestmark = pytest.mark.process

ENDS = ("py", "pyi", "toml", "typed", "html")
ROOT = pathlib.Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
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


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """A copy of the repository with the tag v1.2.3."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    listed = subprocess.run([*git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a checkout by git")
    folder = tmp_path_factory.mktemp("tagged")
    for name in listed.stdout.rstrip("\0").split("\0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for command in ("init", "add .", "commit -m all", "tag v1.2.3"):
        subprocess.run([*git, *command.split(" ", 2)], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def sdist(tagged, built, tmp_path_factory):
    return built("sdist", tagged, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def released(sdist, built, tmp_path_factory):
    """The wheel that is built of the sdist, where there is no git."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return built("wheel", folder / "keras_deep_rnn-1.2.3", tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a new environment with the wheel, and with what the tests have."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    # After the environment's own; what is installed there for editing stays unknown here.
    (site,) = folder.rglob("site-packages")
    dependencies = "\n".join(path for path in sys.path if "site-packages" in path)
    (site / "dependencies.pth").write_text(dependencies)
    return python


def metadata(wheel):
    """METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return importlib.metadata.PathDistribution(zipfile.Path(archive, name).parent).metadata


def version_of(wheel):
    return wheel.name.split("-")[1]


def test_version_is_that_of_the_tag(sdist, released):
    assert sdist.name == "keras_deep_rnn-1.2.3.tar.gz"
    assert version_of(released) == metadata(released)["Version"] == "1.2.3"


def test_version_without_git_is_the_newest_of_the_changelog_in_development(wheel):
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version_of(wheel) == f"{newest[1]}.dev0"


def test_citation_names_the_newest_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## ([\d.]+) - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert (citation["version"], str(citation["date-released"])) == newest.groups()


def test_sdist_holds_what_git_holds(tagged, sdist):
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=tagged, capture_output=True, text=True)
    assert set(listed.stdout.splitlines()) <= files
    assert {"Makefile", "docs/data.md", "tests/conftest.py"} <= files


def test_distributions_are_accepted(sdist, released):
    # twine checks the metadata and that the readme can be shown.
    commands = (["twine", "check", "--strict", sdist, released], ["check_wheel_contents", released])
    for command in commands:
        result = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_readme_links_work_outside_of_the_repository(wheel):
    source = f"{PYPROJECT['project']['urls']['Source']}/"
    readme = metadata(wheel).get_payload()
    links = re.findall(r"\]\(([^)\s]+)", readme) + re.findall(r'(?:src|href)="([^"]+)"', readme)
    assert all(link.startswith(("https://", "#")) for link in links), links
    ours = [link.removeprefix(source) for link in links if link.startswith(source)]
    assert "blob/HEAD/docs/data.md" in ours
    for link in ours:
        assert re.match(r"(blob|raw)/HEAD/", link), link
        assert (ROOT / link.split("/HEAD/")[1].partition("#")[0]).exists(), link


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_readme_python_runs_in_a_new_environment(installed, backend, tmp_path):
    text = (ROOT / "README.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    # Clients need a server.
    alone = [snippet for snippet in snippets if "Client(" not in snippet]
    assert alone
    where = "import keras_deep_rnn, sys; assert keras_deep_rnn.__file__.startswith(sys.prefix)\n"
    (tmp_path / "readme.py").write_text(where + "\n".join(alone))
    result = subprocess.run(
        [installed, "readme.py"],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_command_of_the_installed_wheel_says_its_version(installed, wheel):
    command = installed.with_name("deep-rnn")
    result = subprocess.run(
        [command, "--version"],
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.stdout == f"deep-rnn {version_of(wheel)}\n", result.stderr


def test_only_keras_and_numpy_are_required():
    required = importlib.metadata.requires("keras-deep-rnn")
    core = {line for line in required if "extra ==" not in line}
    assert {line.split(">")[0].split("<")[0] for line in core} == {"keras", "numpy"}


def test_wheel_holds_the_package_and_nothing_else(source, wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    version = version_of(wheel)
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
    project = PYPROJECT["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    for line in (*PYPROJECT["build-system"]["requires"], *project["dependencies"], *extras):
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
    assert set(named) <= PYPROJECT["project"]["optional-dependencies"].keys()
    assert {"all", "jax", "torch", "test"} <= set(named)
    assert workflow[True]["schedule"]  # YAML takes the key `on` for a truth value


def test_workflows_test_what_is_promised():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    matrix = workflow["jobs"]["layers"]["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: 3."
    classifiers = PYPROJECT["project"]["classifiers"]
    promised = [line.rpartition(" ")[2] for line in classifiers if line.startswith(prefix)]
    assert matrix["python"] == promised
    assert set(matrix["backend"]) == {"tensorflow", "jax", "torch"}
    systems = [line for line in classifiers if line.startswith("Operating System ::")]
    assert len(matrix["os"]) == len(systems)


def test_workflows_make_targets_that_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    texts = [path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    called = re.findall(r"run: make ([\w-]+)", "".join(texts))
    assert {"lint", "test", "docs"} <= set(called) <= set(targets)


def test_only_tested_tags_are_published_and_without_a_secret():
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    workflow = yaml.safe_load(text)
    job = workflow["jobs"]["publish"]
    assert workflow[True]["push"].keys() == {"tags"}
    assert job["needs"] == ["tests", "build"]
    assert job["permissions"] == {"id-token": "write"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text


def test_the_project_has_one_address():
    source = PYPROJECT["project"]["urls"]["Source"]
    paths = [*ROOT.glob("*.*"), *(ROOT / ".github").rglob("*.*"), *(ROOT / "docs").glob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.is_file()]
    found = re.findall(r"https://github\.com/[\w-]+/keras-deep-rnn", "".join(texts))
    assert len(found) > 5
    assert set(found) == {source}


def test_image_has_extras_that_exist_and_what_it_copies():
    text = (ROOT / "Dockerfile").read_text()
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", text, re.MULTILINE)
    extras_of_gpus = re.findall(r"--build-arg EXTRAS=(\S+)", text)
    for names in (extras, *extras_of_gpus):
        assert set(names.split(",")) <= PYPROJECT["project"]["optional-dependencies"].keys()
    copied = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copies = {"setup.py", "README.md", "keras_deep_rnn", "export", "results", "tuning"}
    assert copies <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    assert "image: keras-deep-rnn\n" in (ROOT / "docs" / "cluster.md").read_text()

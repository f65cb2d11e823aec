"""What every test shares: no XLA unless it asks, and the folder of benchmark data."""

import os
import pathlib
import shutil
import subprocess
import sys
import zlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Most tests run a recurrence once for each of many shapes; XLA would compile each of them.
os.environ.setdefault("KERAS_DEEP_RNN_XLA", "0")
# Kernels run on the processor. Triton, which PyTorch imports, reads it once.
os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_addoption(parser):
    parser.addoption(
        "--data-path",
        default=None,
        help="Folder that holds the benchmark data sets (*.mat, ptb.*.txt), read as a user's own.",
    )


def pytest_collection_modifyitems(config, items):
    """Where another backend has run all tests, this one runs half of the cases of each.

    JAX runs one half and PyTorch the other, so that every case runs on two backends. Tests that
    name the backends which they are for run whole.
    """
    if not os.environ.get("KERAS_DEEP_RNN_TESTED"):
        return
    half = os.environ.get("KERAS_BACKEND") == "jax"
    cases = {}
    for item in items:
        cases.setdefault(item.nodeid.split("[")[0], []).append(item)
    kept = []
    for of_test in cases.values():
        chosen = [item for item in of_test if zlib.crc32(item.nodeid.encode()) % 2 == half]
        whole = any(item.get_closest_marker("skipif") for item in of_test)
        kept += of_test if whole else (chosen or of_test[:1])
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs():
    """JAX keeps what it has compiled, gigabytes over many files."""
    yield
    if os.environ.get("KERAS_BACKEND") == "jax":
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session", autouse=True)
def prepared_data(tmp_path_factory):
    """No test reads or writes prepared data and parsed MIDI files in the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("prepared")))
        yield


@pytest.fixture(scope="session")
def checking_processes():
    """What starts a check of an export in a process that is there already."""
    from checking import checking

    with checking() as start:
        yield start


@pytest.fixture
def quick_checks(checking_processes, monkeypatch):
    """Exports are checked in processes that have checked others before."""
    monkeypatch.setattr("keras_deep_rnn.export.checks.check._start", checking_processes)


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """Folders of exports by the name of their models: "text" and "music"."""
    import served_models

    from keras_deep_rnn.export import export_saved_model

    folder = tmp_path_factory.mktemp("served")
    kinds = {"text": "softmax", "music": "sigmoid"}
    for name, probabilities in kinds.items():
        model = getattr(served_models, name)()
        # The check takes seconds and is tested where it belongs.
        export_saved_model(model, folder / name, probabilities=probabilities, check=False)
    return {name: folder / name for name in kinds}


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A copy of what the package is built from, with the tests beside it."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("keras_deep_rnn", "export", "results", "tuning", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="session")
def built():
    """Builds a distribution: built("wheel" or "sdist", folder of the source, empty folder)."""

    def build(kind, source, folder):
        # What pip asks a checkout for, without the network that pip would fetch setuptools from.
        code = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=source, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        (path,) = folder.glob("keras_deep_rnn-*")
        return path

    return build


@pytest.fixture(scope="session")
def wheel(source, built, tmp_path_factory):
    """The package as pip builds it from a folder that git does not know."""
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def data_path(request):
    """The folder of benchmark data; a test that needs it is skipped where it is absent."""
    path = request.config.getoption("--data-path")
    if path is None:
        pytest.skip("needs the benchmark data: pass --data-path=DIR")
    path = pathlib.Path(path).resolve()
    if not path.is_dir():
        pytest.skip(f"needs the benchmark data: {path} is not a folder")
    return path

"""What every test shares: no XLA unless it asks, and the folder of benchmark data."""

import os
import pathlib

import pytest

# Most tests run a recurrence once for each of many shapes; XLA would compile each of them.
os.environ.setdefault("KERAS_DEEP_RNN_XLA", "0")


def pytest_addoption(parser):
    parser.addoption(
        "--data-path",
        default=None,
        help="Folder that holds the benchmark data sets (*.mat, ptb.*.txt), read as a user's own.",
    )


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

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
def exports(tmp_path_factory):
    """Folders of exports by the name of their models: "text" and "music"."""
    import served_models

    from keras_deep_rnn.export import saved_model

    folder = tmp_path_factory.mktemp("served")
    kinds = {"text": "softmax", "music": "sigmoid"}
    with pytest.MonkeyPatch.context() as patch:
        # The check takes seconds and is tested where it belongs.
        patch.setattr(saved_model, "check_export", lambda folder: None)
        for name, probabilities in kinds.items():
            model = getattr(served_models, name)()
            saved_model.export_saved_model(model, folder / name, probabilities=probabilities)
    return {name: folder / name for name in kinds}


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

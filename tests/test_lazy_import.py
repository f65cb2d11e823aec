"""What `import keras_deep_rnn` brings along, and that Keras finds the layers all the same."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_deep_rnn as kdr

pytestmark = pytest.mark.process

BACKENDS = ("jax", "keras", "tensorflow", "torch")


def fresh(code, *arguments):
    """What a new process prints."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def loaded_after(code):
    """Which of Keras and its backends a program has imported, and what else it prints."""
    ending = f"import json, sys; print(json.dumps(sorted({set(BACKENDS)} & set(sys.modules))))"
    *output, names = fresh(f"{code}\n{ending}").splitlines()
    return json.loads(names), output


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file with classes of several modules."""
    sparse = kdr.SparseInitializer(nonzeros=2)
    layer = kdr.DeepTransitionRNN(4, transition_units=(3,), recurrent_initializer=sparse)
    inputs = keras.Input((None, 2))
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    keras.Model(inputs, kdr.WeightNoise(layer, 0.1)(inputs)).save(path)
    return path


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_deep_rnn",
        "import keras_deep_rnn, keras",
        "import keras_deep_rnn.training.metrics, keras",
        "from keras_deep_rnn.export import Client; import keras",
        "from keras_deep_rnn import DeepRNN; import keras",
        "import keras_deep_rnn, tensorflow as tf; tf.keras.models; import keras",
    ],
)
def test_models_load_after_imports_in_any_order(saved, imports):
    code = (
        f"{imports}\n"
        "import sys\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(type(model.layers[1]).__name__)\n"
        "print(keras.__spec__.loader.get_filename('keras') == keras.__file__)"
    )
    assert fresh(code, saved).splitlines() == ["WeightNoise", "True"]


def test_import_waits_for_no_backend():
    code = "import keras_deep_rnn as kdr; kdr.export; kdr.tuning; dir(kdr)"
    assert loaded_after(code) == ([], [])


def test_client_needs_no_backend():
    assert loaded_after("from keras_deep_rnn.export import Client") == ([], [])


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_command_line_answers_without_a_backend(option):
    code = (
        f"import sys; sys.argv = ['anything', {option!r}]\n"
        "from keras_deep_rnn.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)"
    )
    names, output = loaded_after(code)
    assert (names, output[-1]) == ([], "0")
    if option == "--version":
        assert output == [f"deep-rnn {kdr.__version__}", "0"]


def test_every_public_name_is_there():
    assert set(kdr.__all__) < set(dir(kdr))
    assert {"__version__", "export", "layers", "tuning"} < set(dir(kdr))
    for name in kdr.__all__:
        assert getattr(kdr, name).__name__ == name


def test_unknown_name():
    with pytest.raises(AttributeError, match="'keras_deep_rnn' has no attribute 'DeepRnn'"):
        kdr.DeepRnn  # noqa: B018


def test_stub_has_the_same_names_at_the_same_places():
    stub = pathlib.Path(kdr.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom)]
    places = {alias.name: node.module for node in imports for alias in node.names}
    assert all(alias.asname == alias.name for node in imports for alias in node.names)
    assert places == kdr._PLACES | dict.fromkeys(kdr._SUBPACKAGES)

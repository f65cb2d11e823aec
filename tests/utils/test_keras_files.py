"""A `.keras` file that declares more than it holds is refused before that much is made."""

import io
import re
import zipfile

import h5py
import keras
import pytest

from keras_deep_rnn import DeepTransitionRNN
from keras_deep_rnn.export.formats.sources import load_keras_file
from keras_deep_rnn.utils import keras_files
from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.utils.limits import MAX_ZIP_DIRECTORY_BYTES


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The members of a good file."""
    path = tmp_path_factory.mktemp("good") / "a.keras"
    layer = DeepTransitionRNN(4, transition_units=(3,))
    keras.Sequential([keras.Input((None, 2)), layer]).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(path):
    with pytest.raises(UserError) as error:
        load_keras_file(path)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_a_good_file(tmp_path, members):
    model = load_keras_file(write(tmp_path / "a.keras", members))
    assert model.output_shape == (None, 4)
    sizes = [keras.ops.convert_to_numpy(variable).nbytes for variable in model.variables]
    assert keras_files.weight_bytes(lambda: model) == sum(sizes)


def test_a_file_of_more_than_the_limit_of_its_directory(tmp_path):
    x = keras.Input((4, 1_500))
    model = keras.Model(x, DeepTransitionRNN(1_000)(x))  # 2.5 M weights, 10 MB
    path = tmp_path / "model.keras"
    model.save(path)
    assert path.stat().st_size > MAX_ZIP_DIRECTORY_BYTES
    assert keras_files.load_model(path).count_params() == model.count_params()


def test_a_network_that_was_not_made_leaves_nothing_to_make():
    """Keras makes what is left at the end of the next scope."""

    def build():
        dense = keras.layers.Dense(10**6)
        return keras.Sequential([keras.Input((10**6,)), dense, keras.layers.Dropout(0.5)])

    assert keras_files.weight_bytes(build) > 4 * 10**12
    with keras.StatelessScope():
        pass
    noise = keras.random.normal((3,))
    assert keras.ops.convert_to_numpy(noise).std() > 0


def test_a_large_network_is_not_made(tmp_path, members):
    config = members["config.json"].replace(
        b'"transition_units": [3]', b'"transition_units": [9999999999]'
    )
    line = refused(write(tmp_path / "a.keras", {**members, "config.json": config}))
    assert re.search(r"the weights of its network would take \d+,\d+,\d+,\d+ bytes, and", line)


def test_large_arrays_are_not_made(tmp_path, members):
    """An array without content on the disk has 40 GB in memory."""
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        file.create_dataset("more", (10**5, 10**5), "float32", chunks=True)
    content = content.getvalue()
    line = refused(write(tmp_path / "a.keras", {**members, "model.weights.h5": content}))
    assert "its arrays would take 40,000,000," in line


@pytest.mark.slow
def test_large_members_are_not_read(tmp_path, members):
    line = refused(write(tmp_path / "a.keras", {**members, "assets/more": bytes(2 * 10**8)}))
    assert "its members would take 200,0" in line
    line = refused(write(tmp_path / "a.keras", {**members, "config.json": bytes(10**7)}))
    assert "its config.json has more than 8 MB, the limit" in line


def test_a_deep_configuration(tmp_path, members):
    line = refused(write(tmp_path / "a.keras", {**members, "config.json": b"[" * 10**6}))
    assert "it is nested too deeply" in line

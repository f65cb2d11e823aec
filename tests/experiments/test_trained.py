"""The trained networks that come with the package: their names, weights and cards."""

import json
import shutil

import keras
import numpy as np
import pytest
from made_up_runs import dataset, settings

import keras_deep_rnn as kdr
from keras_deep_rnn import data
from keras_deep_rnn.cli.main import main
from keras_deep_rnn.experiments import model_cards, trained
from keras_deep_rnn.training import train as training
from keras_deep_rnn.utils.errors import UserError

pytestmark = pytest.mark.slow

NAME = "jsb_chorales/dots_rnn"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, **options: dataset(name))
    training.train(settings(epochs=1, units=5), tmp_path / "run", log=lambda line: None)
    return tmp_path / "run"


def test_every_network_is_small_and_has_a_card():
    cards = model_cards.cards(trained.results_folder())
    assert list(cards) == kdr.trained()
    assert NAME in cards
    for name, card in cards.items():
        assert card["bytes"] < 2_500_000
        assert card["test"] == pytest.approx(card["validation"], rel=0.1)
        assert f"--task {name.split('/')[0]}" in card["command"]


def test_load_by_name():
    model = kdr.load(NAME)
    probabilities = keras.ops.sigmoid(model({"x": np.zeros((1, 3, 88), "float32")}))
    # Bach's voices: below 20 keys of the 88 are likely to begin a chorale.
    assert 1 < float(keras.ops.sum(probabilities[0, 0])) < 20
    assert kdr.load(NAME, batch_size=2).input["x"].shape == (2, None, 88)


def test_saved_runs_are_loaded(run, tmp_path):
    kdr.save(run, tmp_path / "small.npz")
    x = np.random.default_rng(0).random((2, 4, 88)).astype("float32")
    found, expected = (
        keras.ops.convert_to_numpy(kdr.load(path)({"x": x}))
        for path in (tmp_path / "small.npz", run)
    )
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_path_comes_before_a_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / NAME)
    assert kdr.load(NAME).get_layer("recurrent").units == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jsb_chorales/dots_rn", "did you mean 'jsb_chorales/dots_rnn'"),
        ("runs/none", "`run` must be the folder of a finished run"),
        ("none", "`run` must be"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(UserError, match=message):
        kdr.load(name)


def test_save_takes_an_npz_only(run, tmp_path):
    with pytest.raises(UserError, match="`path` must end in .npz"):
        kdr.save(run, tmp_path / "x.keras")


def called(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_commands(run, tmp_path, capsys):
    assert NAME in called(capsys, "trained")
    assert NAME in json.loads(called(capsys, "trained", "--json"))
    assert "bytes" in called(capsys, "pack", run, "--out", tmp_path / "small.npz")
    for place in (tmp_path / "small.npz", NAME):
        called(capsys, "generate", place, "--out", tmp_path / "new.mid", "--length", 4)
        assert (tmp_path / "new.mid").stat().st_size > 20
        (tmp_path / "new.mid").unlink()


def test_a_folder_may_end_in_a_slash(run, capsys):
    called(capsys, "generate", f"{run}/", "--length", 4)
    assert (run / "music.mid").is_file()
    called(capsys, "export", f"{run}/", "--no-check")
    assert (run / "served" / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_exported_by_name(tmp_path, capsys):
    called(capsys, "export", NAME, "--out", tmp_path / "served", "--no-check")
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()
    with pytest.raises(SystemExit) as end:
        main(["export", NAME])
    assert end.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_the_page(tmp_path):
    page = model_cards.write(trained.results_folder(), tmp_path / "models.md").read_text("utf-8")
    assert all(f"\n`{name}`, " in page for name in kdr.trained())

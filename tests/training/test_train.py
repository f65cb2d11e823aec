"""Training runs: what they write, and that an interrupted one ends like an uninterrupted one."""

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from made_up_runs import TINY, Killed, dataset, edit, settings, train_until

from keras_deep_rnn import data
from keras_deep_rnn.data import Dataset
from keras_deep_rnn.training import plots
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.callbacks import seed_states
from keras_deep_rnn.training.config import Settings, network_arguments
from keras_deep_rnn.training.evaluate import Ensemble, evaluate
from keras_deep_rnn.training.metrics import frame_nll, token_nll
from keras_deep_rnn.training.models import build_network
from keras_deep_rnn.training.results import table
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.training.setup import batches
from keras_deep_rnn.utils.errors import DivergedError, UserError


@pytest.fixture(autouse=True)
def load(monkeypatch):
    """Gives out the made-up data sets under the names of their kinds."""
    monkeypatch.setattr(data, "load", lambda name, **options: dataset(name))


@pytest.fixture
def quiet():
    lines = []
    return {"log": lines.append, "lines": lines}


def results(metrics):
    return {
        (split, name): number
        for split, numbers in metrics["splits"].items()
        for name, number in numbers.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("piano_roll", {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.1}),
        ("piano_roll", {"bptt_steps": 4}),
        ("words", {"bptt_steps": 3}),
    ],
)
def test_run_folder(kind, more, tmp_path, quiet):
    out = tmp_path / "run"
    metrics = training.train(settings(kind, **more), out, log=quiet["log"], command="deep-rnn x")
    files = {"config.json", "model.keras", "history.csv", "metrics.json", "learning_curve.png"}
    assert {path.name for path in out.iterdir()} == files
    assert metrics == json.loads((out / "metrics.json").read_text()) == Run(out).metrics
    assert metrics["command"] == "deep-rnn x"
    assert metrics["data"]["checksum"] == "abc"
    assert metrics["seed"] == 1
    assert metrics["versions"]["keras"] == keras.__version__
    assert set(metrics["splits"]["test"]) == {*metrics["definitions"], "count"}
    rows = Run(out).history()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert len(quiet["lines"]) == 2 + 3
    assert (out / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    best = min(row[f"val_{metrics['primary']}"] for row in rows)
    if kind == "piano_roll":
        # The validation result of training is the exact one: its best epoch's weights were kept.
        assert metrics["splits"]["validation"]["frame_nll"] == pytest.approx(best, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "more", "epoch"),
    [
        ("piano_roll", {"weight_noise": 0.05, "output_dropout": 0.4}, 1),
        ("piano_roll", {"bptt_steps": 4}, 0),  # before the first backup
        ("characters", {"bptt_steps": 9, "output_dropout": 0.4}, 2),
        ("piano_roll", {"ema": 0.9, "hold": 0.5, "output": "nade", "nade_units": 5}, 2),
        ("piano_roll", {"bptt_steps": 4, "output": "nade", "nade_units": 5}, 1),
        ("words", {"bptt_steps": 3, "tied": True, "word_dropout": 0.2}, 1),
    ],
)
def test_resumed_run_ends_like_an_uninterrupted_one(
    kind, more, epoch, tmp_path, monkeypatch, quiet
):
    chosen = settings(kind, **more)
    whole = training.train(chosen, tmp_path / "whole", log=quiet["log"])
    train_until(monkeypatch, epoch, chosen, tmp_path / "cut")
    history = tmp_path / "cut" / "history.csv"
    with open(history, "a") as file:
        file.write("4,0.12")  # a line that a full disk cut
    resumed = training.resume(tmp_path / "cut", log=quiet["log"])
    assert results(resumed) == pytest.approx(results(whole), rel=1e-5)
    assert resumed["best_epoch"] == whole["best_epoch"]
    for name in ("loss", "learning_rate"):
        columns = [[row[name] for row in Run(tmp_path / run).history()] for run in ("cut", "whole")]
        assert columns[0] == pytest.approx(columns[1], rel=1e-5)
    with open(history, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert not any(None in row.values() for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_halved_rate_survives_a_resume(ema, tmp_path, monkeypatch, quiet):
    """At a rate of 4 some epochs are worse than the best one, before and after the cut."""
    clipped = {"optimizer": "clipped_momentum", "momentum": 0.9, "learning_rate": 4.0}
    chosen = settings("characters", bptt_steps=9, epochs=6, patience=6, ema=ema, **clipped)
    whole = training.train(chosen, tmp_path / "whole", log=quiet["log"])
    train_until(monkeypatch, 3, chosen, tmp_path / "cut")
    resumed = training.resume(tmp_path / "cut", log=quiet["log"])
    rows, cut = (Run(tmp_path / name).history() for name in ("whole", "cut"))
    rates = [row["learning_rate"] for row in rows]
    worse = [
        row["val_bits_per_character"]
        > 1.0002 * min(other["val_bits_per_character"] for other in rows[: i + 1])
        for i, row in enumerate(rows)
    ]
    assert any(worse[:3])
    assert any(worse[3:5])
    assert rates == [4.0 / 2 ** sum(worse[:i]) for i in range(6)]
    for name in ("loss", "val_bits_per_character", "learning_rate"):
        assert [row[name] for row in cut] == [row[name] for row in rows]
    assert results(resumed) == results(whole)


@pytest.mark.slow
def test_the_rate_rises_over_the_warmup_and_falls_after_it(tmp_path, quiet):
    """Two updates an epoch: it is at its highest after two epochs, and at 0 after eight."""
    chosen = settings(epochs=8, learning_rate=0.01, warmup=4, patience=8)
    training.train(chosen, tmp_path / "run", log=quiet["log"])
    rates = [row["learning_rate"] for row in Run(tmp_path / "run").history()]
    falling = [0.5 * (1 + np.cos(np.pi * done / 12)) for done in range(0, 13, 2)]
    assert rates == pytest.approx([0.005, *(0.01 * part for part in falling)], abs=1e-6)
    with pytest.raises(UserError, match="`warmup` must be below 16, the number of updates, got 16"):
        training.train(settings(epochs=8, warmup=16), tmp_path / "other", log=quiet["log"])
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_early_stopping_goes_on_counting_after_a_resume(tmp_path, monkeypatch, quiet):
    """With a rate of 2 the result soon gets worse, so the run stops before its last epoch."""
    chosen = settings(epochs=30, learning_rate=2.0, patience=2)
    whole = training.train(chosen, tmp_path / "whole", log=quiet["log"])
    last, best = whole["epochs"], whole["best_epoch"]
    assert last == best + 2 < 30

    train_until(monkeypatch, last - 1, chosen, tmp_path / "cut")
    with monkeypatch.context() as patched:
        # Killed again when training is over and its results are not written yet.
        patched.setattr(training, "_results", lambda *arguments: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            training.resume(tmp_path / "cut", log=quiet["log"])
    resumed = training.resume(tmp_path / "cut", log=quiet["log"])
    assert (resumed["epochs"], resumed["best_epoch"]) == (last, best)
    assert results(resumed) == pytest.approx(results(whole), rel=1e-5)


@pytest.mark.slow
def test_finished_run_is_given_out_kept_or_replaced(tmp_path, quiet):
    out = tmp_path / "run"
    metrics = training.train(settings(epochs=1), out, log=quiet["log"])
    (out / "chorale.mid").touch()
    before = (out / "model.keras").stat().st_mtime_ns
    assert training.resume(out, log=quiet["log"]) == metrics
    assert "already finished" in quiet["lines"][-1]
    with pytest.raises(UserError, match="--resume .* --overwrite"):
        training.train(settings(), out, log=quiet["log"])
    assert (out / "model.keras").stat().st_mtime_ns == before
    metrics = training.train(settings(epochs=2), out, overwrite=True, log=quiet["log"])
    assert metrics["epochs"] == 2
    assert (out / "chorale.mid").exists()  # not ours to delete


def test_folder_of_something_else_is_refused(tmp_path, quiet):
    (tmp_path / "thesis.txt").touch()
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds something else"):
            training.train(settings(), tmp_path, overwrite=overwrite, log=quiet["log"])
    with pytest.raises(UserError, match="`out`"):
        training.train(settings(), tmp_path / "thesis.txt", log=quiet["log"])


@pytest.mark.parametrize("content", ['{"model_type": "bert"}', "[]", '{"settings": 1}'])
def test_config_of_something_else_is_one_line_and_stays(content, tmp_path, quiet):
    for name in ("config.json", "metrics.json"):
        (tmp_path / name).write_text(content)
    for what in (Run(tmp_path).settings, lambda: training.evaluate_run(tmp_path, "test")):
        with pytest.raises(UserError, match=r"`run` must be .* whose \w+.json is not a run's"):
            what()
    with pytest.raises(UserError, match="holds something else"):
        training.train(settings(), tmp_path, overwrite=True, log=quiet["log"])
    assert (tmp_path / "config.json").read_text() == content


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folders of two finished runs whose networks differ."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(data, "load", lambda name, **options: dataset(name))
        for units in (5, 6):
            chosen = settings(epochs=1, units=units)
            training.train(chosen, folder / str(units), log=lambda line: None)
    return folder / "5", folder / "6"


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The folder of a run that was killed in its second epoch."""
    out = tmp_path_factory.mktemp("runs") / "cut"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(data, "load", lambda name, **options: dataset(name))
        train_until(patched, 1, settings(), out)
    return out


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "copied")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "change", "reason"),
    [
        ("settings", {"colour": "red"}, "`colour` must be left out: Settings has no such setting"),
        ("settings", {"momentum": 2}, "`momentum` must be a number"),
        ("network", {"units": "many"}, "network.units is 'many', settings.units is 5"),
        ("network", {"colour": "red"}, "colour"),
        ("data", {"kind": None}, "data.kind is missing"),
    ],
)
def test_config_that_cannot_be_used_is_one_line(section, change, reason, copied, quiet):
    edit(copied, "config.json", {section: change})
    with pytest.raises(UserError, match=f"Cannot use .*config.json': .*{reason}") as error:
        training.evaluate_run(copied, "test")
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 1])
@pytest.mark.parametrize("damage", ["cut", "zeroed", "empty", "another"])
def test_damaged_model_is_one_line(damage, batch_size, finished, copied):
    whole = (copied / "model.keras").read_bytes()
    content = {
        "cut": whole[: len(whole) // 2],
        "zeroed": bytes(len(whole)),
        "empty": b"",
        "another": (finished[1] / "model.keras").read_bytes(),
    }
    (copied / "model.keras").write_bytes(content[damage])
    with pytest.raises(
        UserError, match=r"Cannot load .*model.keras': corrupt, or saved by"
    ) as error:
        Run(copied).model(batch_size=batch_size)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_named_data_set_goes_before_a_folder_of_its_name(tmp_path, monkeypatch, quiet):
    (tmp_path / "jsb_chorales").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = []

    def load(name, **options):
        asked.append(name)
        return dataset("piano_roll")

    monkeypatch.setattr(data, "load", load)
    training.train(settings("jsb_chorales", epochs=1), "run", log=quiet["log"])
    assert asked == ["jsb_chorales"]


@pytest.mark.slow
def test_resume_with_the_same_relative_path(tmp_path, monkeypatch, quiet):
    (tmp_path / "pieces.npz").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda name, **options: dataset("piano_roll"))
    metrics = training.train(settings("pieces.npz", epochs=1), "run", log=quiet["log"])
    requested = {"data": "pieces.npz"}
    assert training.resume("run", requested=requested, log=quiet["log"]) == metrics
    (tmp_path / "others.npz").touch()
    assert training.resume("run", requested={"data": "others.npz"}, log=quiet["log"]) == metrics
    other = dataclasses.replace(dataset("piano_roll"), checksum="other")
    monkeypatch.setattr(data, "load", lambda name, **options: other)
    assert training.resume("run", requested=requested, log=quiet["log"]) == metrics
    with pytest.raises(UserError, match="`data` must be .* checksum abc, got other"):
        training.resume("run", requested={"data": "others.npz"}, log=quiet["log"])


def test_a_mistake_leaves_no_folder(tmp_path, quiet):
    chosen = settings(network="rnn")
    with pytest.raises(UserError, match="`transition_units"):
        training.train(chosen, tmp_path / "run", log=quiet["log"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_music_of_single_frames_is_refused_at_the_start(split, tmp_path, monkeypatch, quiet):
    short = dataset("piano_roll")
    short.splits[split][:] = [piece[:1] for piece in short.splits[split]]
    monkeypatch.setattr(data, "load", lambda name, **options: short)
    with pytest.raises(UserError, match=f"`data` must have .* two frames .* none in {split}"):
        training.train(settings(), tmp_path / "run", log=quiet["log"])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_resume_refuses_other_settings_and_other_data(tmp_path, monkeypatch, quiet):
    train_until(monkeypatch, 1, settings(), tmp_path / "run")
    with pytest.raises(UserError, match="`units` must be 6 .* got 7"):
        training.resume(tmp_path / "run", requested={"units": 7}, log=quiet["log"])
    other = dataclasses.replace(dataset("piano_roll"), checksum="other")
    monkeypatch.setattr(data, "load", lambda name, **options: other)
    with pytest.raises(UserError, match="checksum abc, got other"):
        training.resume(tmp_path / "run", log=quiet["log"])
    with pytest.raises(UserError, match="`out` must be a run folder"):
        training.resume(tmp_path, log=quiet["log"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("backup.npz", b"junk"),
        ("backup.npz", b""),
        ("history.csv", b"loss,val_frame_nll\n1.0,2.0\n"),
        ("history.csv", b""),
        ("history.csv", b"\xff\x00"),
    ],
)
def test_resume_from_a_damaged_file_is_one_line(name, content, cut, tmp_path, quiet):
    shutil.copytree(cut, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}' is damaged.*: start anew with --overwrite"):
        training.resume(tmp_path / "run", log=quiet["log"])


def without_settings(backup):
    """Makes a backup one of an earlier version."""
    with np.load(backup) as content:
        arrays = dict(content)
    state = json.loads(str(arrays["state"]))
    del state["settings"], state["history_checksum"]
    np.savez(backup, **{**arrays, "state": json.dumps(state)})


@pytest.mark.slow
def test_resume_from_the_backup_of_another_network(cut, tmp_path, quiet):
    shutil.copytree(cut, tmp_path / "run")
    units = {"units": settings().units + 1}
    edit(tmp_path / "run", "config.json", {"settings": units, "network": units})
    without_settings(tmp_path / "run" / "backup.npz")
    with pytest.raises(UserError, match="backup.npz' is damaged or another run's"):
        training.resume(tmp_path / "run", log=quiet["log"])


@pytest.mark.slow
def test_loss_that_is_not_a_number_says_what_to_try(tmp_path, monkeypatch, quiet):
    """Frames that are infinite stand for a training that diverged."""
    broken = dataset("piano_roll")
    broken.splits["train"] = [
        np.full(piece.shape, np.inf, "float32") for piece in broken.splits["train"]
    ]
    monkeypatch.setattr(data, "load", lambda name, **options: broken)
    with pytest.raises(DivergedError, match="try a smaller --learning-rate than 0.001"):
        training.train(settings(), tmp_path / "run", log=quiet["log"])
    assert len([line for line in quiet["lines"] if line.startswith("epoch")]) == 1


@pytest.mark.slow
def test_validation_that_is_not_a_number_leaves_no_model(tmp_path, monkeypatch, quiet):
    broken = dataset("piano_roll")
    broken.splits["validation"] = [
        np.full(piece.shape, np.inf, "float32") for piece in broken.splits["validation"]
    ]
    monkeypatch.setattr(data, "load", lambda name, **options: broken)
    with pytest.raises(DivergedError, match=r"validation result is \w+: try a smaller --learning"):
        training.train(settings(), tmp_path / "run", log=quiet["log"])
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"epochs": 0}, "`epochs` must be a positive integer, got 0"),
        ({"learning_rate": -1.0}, "`learning_rate`"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"network": "dots_rn"}, "did you mean 'dots_rnn'"),
        ({"dropout": 1.5}, "`dropout` .* got 1.5"),
        ({"bptt_steps": -1}, "`bptt_steps`"),
        ({"warmup": -1}, "`warmup` must be an integer of at least 0, got -1"),
        ({"warmup": 0.5}, "`warmup` must be an integer of at least 0, got 0.5"),
        ({"seed": -1}, "`seed`"),
        ({"seed": None}, "`seed`"),
    ],
)
def test_settings_are_checked(more, words):
    with pytest.raises(UserError, match=words):
        settings(**more)


def long_music(lengths, name="own"):
    random = np.random.default_rng(1)
    pieces = [(random.random((length, 88)) < 0.05).astype("uint8") for length in lengths]
    splits = {"train": pieces, "validation": [pieces[0]] * 2, "test": [pieces[-1]]}
    facts = {"step": "frame", "version": "1", "checksum": "abc", "description": "long"}
    return Dataset(name, "piano_roll", splits, **facts)


@pytest.mark.parametrize(
    ("lengths", "more", "steps", "updates"),
    [
        ([500] * 10, {}, 0, 1),
        ([2000] * 10, {}, 200, 10),
        ([501, *[100] * 31], {}, 200, 3),
        ([2000] * 10, {"bptt_steps": 0}, 0, 1),
        ([2000] * 10, {"bptt_steps": 100}, 100, 20),
    ],
)
def test_long_pieces_are_trained_in_chunks_by_default(lengths, more, steps, updates):
    dataset = long_music(lengths)
    complete = Settings("own", **more).complete(dataset)
    assert complete.bptt_steps == steps
    assert len(batches(complete, dataset, "train")) == updates


def test_data_sets_with_a_name_have_their_own_chunks():
    assert Settings("bach_chorales").complete(long_music([900], "bach_chorales")).bptt_steps == 0
    assert Settings("musedata").complete(long_music([300], "musedata")).bptt_steps == 200


@pytest.mark.slow
def test_the_log_says_how_the_data_was_split_and_cut(tmp_path, monkeypatch, quiet):
    found = dataclasses.replace(long_music([501, 30, 30]), remarks=("Splits: made up.",))
    asked = []
    monkeypatch.setattr(data, "load", lambda name, **options: asked.append(options) or found)
    flags = {"skip_unreadable": True, "sustain_pedal": True}
    chosen = settings("own", epochs=1, **flags)
    training.train(chosen, tmp_path / "run", log=quiet["log"])
    assert asked == [{"manual_dir": None, "data_dir": None, **flags}]
    split, sizes, *_ = quiet["lines"]
    assert split == "Splits: made up."
    assert sizes.endswith("561 frames an epoch in 3 batches of chunks of 200 (--bptt-steps)")
    with pytest.raises(UserError, match="`sustain_pedal` must be True to resume"):
        training.resume(tmp_path / "run", requested={"sustain_pedal": False})


def test_text_cannot_be_trained_whole():
    with pytest.raises(UserError, match="`bptt_steps` must be a positive integer for text"):
        settings("characters", bptt_steps=0).complete(dataset("characters"))


def test_sizes_come_from_the_paper_until_units_are_given():
    roll = dataset("piano_roll")
    paper = network_arguments(Settings("piano_roll").complete(roll), roll)
    assert (paper["units"], paper["transition_units"], paper["output_units"]) == (
        400,
        (400,),
        (400,),
    )
    own = network_arguments(Settings("piano_roll", units=7).complete(roll), roll)
    assert (own["units"], own["transition_units"], own["output_units"]) == (7, (7,), (7,))
    assert own["input_to"] == "first"


def test_settings_of_text_reach_the_network():
    words = dataset("words")
    chosen = {"word_dropout": 0.1, "level_dropout": 0.2, "logits_dropout": 0.3, "tied": True}
    settings = Settings("words", network="srnn", units=3, **chosen).complete(words)
    model = build_network("srnn", **network_arguments(settings, words))
    assert model.get_layer("embedding").dropout == 0.1
    assert [cell.dropout for cell in model.get_layer("recurrent").cell.cells] == [0.0, 0.2]
    assert model.get_layer("dropout").rate == 0.3
    chosen = {"intermediate_activation": "relu", "transition_units": (4,)}
    settings = Settings("words", network="dt_rnn", units=3, **chosen).complete(words)
    model = build_network("dt_rnn", **network_arguments(settings, words))
    assert model.get_layer("recurrent").intermediate_activation is keras.activations.relu


def test_zoneout_reaches_the_layer():
    roll = dataset("piano_roll")
    settings = Settings("piano_roll", network="lstm", units=3, zoneout=0.2).complete(roll)
    model = build_network("lstm", **network_arguments(settings, roll))
    assert model.get_layer("recurrent").zoneout == 0.2
    assert "zoneout" not in Settings("piano_roll").complete(roll).to_json()


def test_config_holds_the_sizes_of_the_network(tmp_path):
    roll, run = dataset("piano_roll"), Run(tmp_path)
    settings = Settings("piano_roll", network="srnn").complete(roll)
    run.write_config(settings, network_arguments(settings, roll), roll, None)
    stored = run.config["settings"]
    assert None not in stored.values()
    assert (stored["units"], stored["levels"]) == (400, 2)
    assert not {"transition_units", "depth"} & set(stored)
    assert run.settings() == settings


def test_music_is_measured_in_four_definitions():
    """Against the definitions, piece by piece."""
    roll = dataset("piano_roll")
    model = build_network("rnn", kind="piano_roll", features=88, units=3)
    nats = []
    for piece in roll.splits["test"]:
        x = np.concatenate([np.zeros((1, 88)), piece[:-1]])[None].astype("float32")
        logits = keras.ops.convert_to_numpy(model({"x": x}))
        nats.append(keras.ops.convert_to_numpy(frame_nll(piece[None], logits))[0])
    later = [piece[1:] for piece in nats if len(piece) > 1]
    expected = {
        "frame_nll": np.concatenate(later).mean(),
        "sequence_nll": np.mean([piece.mean() for piece in later]),
        "frame_nll_from_1": np.concatenate(nats).mean(),
        "sequence_nll_from_1": np.mean([piece.mean() for piece in nats]),
    }
    found = evaluate(model, roll, "test", batch_size=3)
    assert found.pop("count") == sum(map(len, roll.splits["test"]))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_long_pieces_is_small_and_measured_the_same(monkeypatch):
    roll, shapes = long_music([90, 50, 70]), []
    model = build_network("rnn", kind="piano_roll", features=88, units=4)
    whole = evaluate(model, roll, "train", batch_size=3)
    predict = model.predict_on_batch
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: shapes.append(x["x"].shape[:2]) or predict(x)
    )
    for frames, rows in ((1000, 3), (200, 2), (50, 1)):
        monkeypatch.setattr("keras_deep_rnn.training.evaluate.FRAMES", frames)
        shapes.clear()
        assert evaluate(model, roll, "train", batch_size=3) == pytest.approx(whole, rel=1e-5)
        assert {batch for batch, _ in shapes} == {rows}


def test_table_counts_what_it_says():
    """Of music the frames, since not all of its columns predict the first one of each piece."""
    for kind, counted in (("piano_roll", "1,200 frames"), ("words", "1,200 predictions")):
        metrics = {
            "network": "rnn",
            "data": {"name": "folder/data", "kind": kind},
            "splits": {"test": {"count": 1200}},
            "baselines": {"test": {}},
        }
        assert table(metrics, "test")[0] == f"data, test split, {counted}"


def test_learning_curve_claims_no_dropout(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    history = [{"epoch": 1, "loss": 2.0, "val_frame_nll": 1.0}]
    plots.learning_curve(history, "piano_roll", None, title="rnn on $tunes")
    assert figures[0].axes[0].get_title(loc="left") == "rnn on $tunes"
    legend = figures[0].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]


def test_learning_curve_leaves_out_what_is_not_finite(tmp_path):
    for results in ([1.0, np.nan, np.inf], [np.inf, 3.0, np.nan], [np.nan] * 2 + [2.0]):
        history = [
            {"epoch": i + 1, "loss": 1.0 + i, "val_frame_nll": result}
            for i, result in enumerate(results)
        ]
        plots.learning_curve(history, "piano_roll", tmp_path / "curve.png")
        assert (tmp_path / "curve.png").exists()


def test_text_is_measured_as_one_sequence(monkeypatch):
    """Chunks with carried state give what the whole text gives at once, its last token included."""
    monkeypatch.setattr("keras_deep_rnn.training.evaluate.CHUNK", 7)
    text = dataset("characters")
    shape = {"kind": "characters", "features": text.features, "units": 5}
    model = build_network("dts_rnn", **shape)
    twin = build_network("dts_rnn", **shape, stateful=True, batch_size=1)
    twin.set_weights(model.get_weights())
    (tokens,) = text.splits["test"]
    x = np.concatenate([[text.start], tokens[:-1]])[None].astype("int32")
    nats = keras.ops.convert_to_numpy(token_nll(tokens[None], model({"x": x})))
    found = evaluate(twin, text, "test")
    assert found["count"] == len(tokens)
    assert found["bits_per_character"] == pytest.approx(nats.mean() / np.log(2), rel=1e-5)


def test_every_random_state_of_a_network_is_found():
    model = build_network(
        "dots_rnn",
        kind="piano_roll",
        features=88,
        **{name: size for name, size in TINY.items() if name != "batch_size"},
        recurrent_dropout=0.5,
        output_dropout=0.5,
        weight_noise=0.1,
        seed=1,
        stateful=True,
        batch_size=2,
    )
    states = seed_states(model)
    before = [keras.ops.convert_to_numpy(state.value).copy() for state in states]
    x = {"x": np.zeros((2, 3, 88), "float32"), "reset": np.ones((2, 1), "float32")}
    model(x, training=True)
    moved = [
        not np.array_equal(old, keras.ops.convert_to_numpy(state.value))
        for old, state in zip(before, states, strict=True)
    ]
    assert sum(moved) >= 4  # two wrappers of noise, the recurrent layer's masks, the last dropout
    assert all(tuple(state.shape) == (2,) for state in states)


class Fixed:
    """A network that predicts the same logits whatever it reads."""

    def __init__(self, logits, *names):
        self.logits = np.array(logits, "float32")
        self.input = dict.fromkeys(names)

    def predict_on_batch(self, inputs):
        assert inputs == dict.fromkeys(self.input, 1)
        return self.logits


@pytest.mark.parametrize("kind", ["piano_roll", "words"])
def test_an_ensemble_has_the_mean_of_the_probabilities(kind):
    logits = np.random.default_rng(0).normal(0, 3, (3, 2, 5, 4))
    logits[0, 0, 0] = [500, -500, 3, 0]
    if kind == "piano_roll":
        each = 1 / (1 + np.exp(-logits))
    else:
        each = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = Ensemble([Fixed(each) for each in logits], kind).predict_on_batch({})
    assert found.dtype == "float32"
    found = found.astype("float64")
    if kind == "piano_roll":
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), each.mean(axis=0), rtol=1e-5)
    else:
        np.testing.assert_allclose(np.exp(found), each.mean(axis=0), rtol=1e-5)


def test_a_network_of_an_ensemble_sees_targets_only_if_it_has_a_joint_output():
    models = [Fixed(np.zeros((1, 2, 3)), *names) for names in (["x"], ["x", "target"])]
    for order in (models, models[::-1]):
        ensemble = Ensemble(order, "piano_roll")
        assert set(ensemble.input) == {"x", "target"}
        assert ensemble.predict_on_batch({"x": 1, "target": 1}).shape == (1, 2, 3)


@pytest.mark.slow
def test_several_runs_are_evaluated_together(finished, copied):
    before = {path: path.read_bytes() for path in finished[0].iterdir()}
    checksum = Run(copied).metrics["data"]["checksum"]
    same = training.evaluate_ensemble([finished[0], copied], "test")
    assert results(same) == pytest.approx(
        {key: number for key, number in results(Run(copied).metrics).items() if "test" in key},
        rel=1e-5,
    )
    both = training.evaluate_ensemble(finished, "test")
    each = [Run(path).metrics["splits"]["test"]["frame_nll"] for path in finished]
    assert both["splits"]["test"]["frame_nll"] < np.mean(each)  # by Jensen's inequality
    assert table(both, "test")[2][-1][0] == "ensemble of 2"
    assert {path: path.read_bytes() for path in finished[0].iterdir()} == before
    for other in ({"kind": "characters", "checksum": checksum}, {"checksum": "def"}):
        edit(copied, "metrics.json", {"data": other})
        with pytest.raises(UserError, match="`run` must be runs on the data of .*, got .*copied"):
            training.evaluate_ensemble([finished[0], copied], "test")

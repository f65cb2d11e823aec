"""The paper's experiments: their files, their runs, their records and the results page."""

import contextlib
import dataclasses
import io
import json
import multiprocessing
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from here import Here

from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.data.catalogue import names
from keras_deep_rnn.experiments import (
    experiment,
    published,
    records,
    results_page,
    runner,
)
from keras_deep_rnn.experiments.experiment import Experiment
from keras_deep_rnn.training.config import network_arguments
from keras_deep_rnn.training.networks import TABLE_1, preset
from keras_deep_rnn.training.packed_run import unpacked
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.training.train import evaluate_run
from keras_deep_rnn.utils.errors import UserError

EVERY = [found for group in published.GROUPS for found in experiment.select(group)]
KIND = {"music": ("piano_roll", 88), "characters": ("characters", 50), "words": ("words", 10_000)}


def test_every_cell_of_the_table_has_its_files():
    gated, joint, tied, large = 5 * 5, 3, 1, 2
    assert len(EVERY) == 2 * (5 * 4 + 3 * 2) + gated + joint + tied + large
    assert {(e.task, e.network) for e in EVERY} > {
        (task, network) for task, numbers in published.PUBLISHED.items() for network in numbers
    }
    assert set(published.TASKS) <= set(names())
    files = {p.relative_to(experiment.FOLDER) for p in experiment.FOLDER.glob("*/*.toml")}
    assert {str(file.with_suffix("")) for file in files} == {e.name for e in EVERY}


@pytest.mark.parametrize("found", EVERY, ids=lambda found: found.name)
def test_sizes_are_those_of_table_1(found):
    kind, features = KIND[published.group_of(found.task)]
    dataset = dataclasses.make_dataclass("Data", ["name", "kind", "features"])
    complete = found.settings_of(1).complete(dataset(found.task, kind, features))
    # Nothing is left to defaults that may change.
    chosen = network_arguments(complete, dataset(found.task, kind, features))
    left = {"input_units", "transition_units", "output_units", "levels", "input_to", "skip"}
    for name, value in found.settings.items():
        assert getattr(complete, name) == value
    if (found.task, found.network) not in TABLE_1:
        return
    sizes = preset(found.task, found.network)
    assert {name: chosen[name] for name in sizes} == sizes
    assert {name for name in left if name in chosen} == set(sizes) - {"units"}


@pytest.mark.parametrize("found", EVERY, ids=lambda found: found.name)
def test_recipes(found):
    settings = found.settings_of(found.seeds[0])
    assert settings.data == found.task
    if found.recipe == "paper":
        assert (settings.optimizer, settings.clipnorm) == ("sgd", 1.0)
        assert settings.recurrent_initializer == "sparse"
        assert (settings.weight_noise > 0) == (published.group_of(found.task) != "music")
    else:
        assert settings.optimizer == "adamw"
        assert settings.output_dropout > 0
    if found.network == "dots_rnn_lp":
        assert (settings.activation, settings.output_activation) == ("lp_unit", "maxout")
        assert settings.output_dropout > 0
    if published.group_of(found.task) == "music":
        assert len(found.seeds) == 3


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("colour = 1", "`key` must be one of 'minutes', 'seeds', 'settings', got 'colour'."),
        ("seeds = 3", "Cannot use"),
        ("minutes = 0\n[settings]\ndata = 'x'", "`minutes` must be a finite number above 0"),
        ("[settings", "Cannot read"),
        ("[settings]\ndata = 'x'\nnetwork = 'rn'", "did you mean 'rnn'?"),
        ("[settings]\ndata = 'x'\nunitz = 3", "unitz"),
        ("", "'settings' is missing"),
    ],
)
def test_a_damaged_file_is_named(line, error, tmp_path):
    (tmp_path / "musedata").mkdir()
    lines = {"minutes": "minutes = 1", "seeds": "seeds = [1]"}
    given = [value for name, value in lines.items() if not line.startswith(name)]
    (tmp_path / "musedata" / "rnn-paper.toml").write_text("\n".join([*given, line]))
    with pytest.raises(UserError) as found:
        experiment.load("musedata", "rnn", "paper", tmp_path)
    assert error in str(found.value)
    assert "rnn-paper.toml" in str(found.value)


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ({"group": "musik"}, "did you mean 'music'?"),
        ({"group": "music", "task": "ptb_char"}, "`task` must be one of 'nottingham'"),
        ({"group": "words", "network": "fast_dropout_rnn"}, "`network` must be one of 'rnn'"),
        ({"group": "words", "recipe": "old"}, "`recipe` must be one of 'paper', 'modern'"),
        (
            {"group": "words", "network": "lstm", "recipe": "paper"},
            "`recipe` must be one of 'modern', got 'paper'",
        ),
    ],
)
def test_what_there_is_not(chosen, error):
    with pytest.raises(UserError, match=re.escape(error)):
        experiment.select(**chosen)


# Small experiments of the same form on made-up data: the files and names of the real ones.


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two experiments of two seeds each, on piano-rolls in a file; where their things lie."""
    base = tmp_path_factory.mktemp("base")
    rng = np.random.default_rng(0)
    rolls = {
        f"{split}_{i}": (rng.random((8, 88)) < 0.05).astype("uint8")
        for split in ("train", "valid", "test")
        for i in range(3)
    }
    np.savez(base / "pieces.npz", **rolls)
    folder = base / "experiments" / "jsb_chorales"
    folder.mkdir(parents=True)
    common = "epochs = 2\nbatch_size = 2\nunits = 3\npatience = 5\n"
    for network, more in (("rnn", ""), ("do_rnn", "output_units = [2]\n")):
        (folder / f"{network}-modern.toml").write_text(
            f"minutes = 0.1\nseeds = [1, 2]\n[settings]\ndata = '{base}/pieces.npz'\n"
            f"network = '{network}'\n{common}{more}"
        )
    return base


@pytest.fixture(scope="module")
def trained(base):
    """What came of the experiment `do_rnn`, whose runs and results are in `base` now."""
    return reproducing(base)("do_rnn", jobs=2)


@pytest.fixture
def small(base, tmp_path):
    """The experiments before any run."""
    shutil.copytree(base / "experiments", tmp_path / "experiments")
    return tmp_path


@pytest.fixture
def finished(base, trained, small):
    """The experiments with the runs of `do_rnn`; gives their folder."""
    for name in ("runs", "results"):
        shutil.copytree(base / name, small / name)
    return small / "runs" / "jsb_chorales" / "do_rnn-modern"


def chosen(small, *networks):
    return [
        experiment.load("jsb_chorales", network, "modern", small / "experiments")
        for network in networks
    ]


def reproducing(small):
    """Runs experiments whose files lie elsewhere."""

    def run(*networks, **options):
        lines = []
        folders = {"runs": small / "runs", "results": small / "results", "log": lines.append}
        found = runner.reproduce(chosen(small, *networks), **{**folders, **options})
        return found, lines

    return run


@pytest.fixture
def reproduce(small):
    """See `reproducing`."""
    return reproducing(small)


@pytest.fixture
def reproduce_here(reproduce, monkeypatch):
    """The same without processes."""
    monkeypatch.setattr(runner, "LocalExecutor", lambda *_, **__: Here())
    return reproduce


@pytest.mark.process
def test_trains_records_and_does_not_train_again(trained, finished, reproduce, small):
    (record,), lines = trained
    assert any("epoch 2/2" in line and "left" in line for line in lines)
    assert record == records.read(small / "results", "jsb_chorales/do_rnn-modern")
    assert [run["seed"] for run in record["runs"]] == [1, 2]
    assert all(run["complete"] and run["epochs"] == 2 for run in record["runs"])
    both = [run["splits"]["test"]["frame_nll"] for run in record["runs"]]
    summary = record["summary"]["test"]["frame_nll"]
    assert summary["mean"] == pytest.approx(np.mean(both))
    assert summary["spread"] == pytest.approx(abs(both[0] - both[1]) / 2**0.5)
    assert set(record["summary"]["test"]) == {
        "frame_nll", "sequence_nll", "frame_nll_from_1", "sequence_nll_from_1",
    }  # fmt: skip
    run = Run(finished / "seed-1")
    assert run.metrics["splits"] == record["runs"][0]["splits"]
    assert record["data"]["checksum"] == run.config["data"]["checksum"]
    assert record["kernels"] == 88 * 3 + 3 * 3 + 3 * 2 + 2 * 88
    curves = records.read_curves(small / "results", "jsb_chorales/do_rnn-modern")
    history = [row["val_frame_nll"] for row in run.history()]
    assert [row["validation"] for row in curves[1]] == pytest.approx(history, rel=1e-4)
    before = (run / "metrics.json").stat().st_mtime_ns
    (again,), lines = reproduce("do_rnn")
    assert again == record
    assert len(lines) == 1
    assert (run / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_record_keeps_its_other_seeds(finished, reproduce_here, small):
    """Where the folders of their runs are gone; not beside runs with other settings."""
    name = "jsb_chorales/do_rnn-modern"
    file = small / "experiments" / f"{name}.toml"
    before = records.read(small / "results", name)
    curves = records.read_curves(small / "results", name)
    shutil.rmtree(small / "runs")
    (record,), _ = reproduce_here("do_rnn", seeds=[2, 3])
    assert [run["seed"] for run in record["runs"]] == [1, 2, 3]
    assert record["runs"][0] == before["runs"][0]
    assert record["summary"]["test"]["frame_nll"]["runs"] == 3
    assert records.read_curves(small / "results", name)[1] == curves[1]
    file.write_text(file.read_text().replace("units = 3", "units = 4"))
    shutil.rmtree(small / "runs")
    (record,), _ = reproduce_here("do_rnn", seeds=[2])
    assert [run["seed"] for run in record["runs"]] == [2]


@pytest.mark.slow
def test_seeds_are_evaluated_together(finished, reproduce_here, small):
    name = "jsb_chorales/do_rnn-modern"
    (record,), _ = reproduce_here("do_rnn", ensemble=True)
    assert record == records.read(small / "results", name)
    assert record["ensemble"]["seeds"] == [1, 2]
    together = record["ensemble"]["splits"]["test"]["frame_nll"]
    assert together < record["summary"]["test"]["frame_nll"]["mean"]  # by Jensen's inequality
    (again,), _ = reproduce_here("do_rnn")
    assert again == record
    shutil.rmtree(small / "runs")
    (other,), _ = reproduce_here("do_rnn", seeds=[3])
    assert "ensemble" not in other


def test_records_have_no_path_of_the_machine(small):
    """Neither where the data lies nor where the run does."""
    real = experiment.load("jsb_chorales", "rnn", "modern")
    assert not {"manual_dir", "data_dir"} & set(real.settings)
    assert {"manual_dir", "data_dir"} <= set(records.OMITTED_SETTINGS)
    committed = pathlib.Path(__file__).parents[2] / "results"
    for file in committed.glob("*/*.json"):
        text = file.read_text()
        assert not re.search(r'"(/|[A-Z]:\\\\|~)', text), file


@pytest.mark.slow
def test_an_unfinished_run_is_measured_and_goes_on(trained, reproduce_here, small):
    whole = trained[0][0]["runs"][0]
    (found,) = chosen(small, "do_rnn")
    run = records.folder_of(small / "runs", found, 1)
    cut_after_one_epoch(run, found)
    (record,), _ = reproduce_here("do_rnn", seeds=[1], measure_only=True)
    assert record["runs"][0]["complete"] is False
    partial = json.loads((run / "partial.json").read_text())
    for stale in ("{", json.dumps({**partial, "epochs": 7})):
        (run / "partial.json").write_text(stale)
        (only,) = records.write(small / "results", found, small / "runs")["runs"]
        assert (only["epochs"], set(only["splits"])) == (1, {"validation"})
    (run / "partial.json").write_text(json.dumps(partial))
    records.write(small / "results", found, small / "runs")
    record = records.read(small / "results", "jsb_chorales/do_rnn-modern")
    (partial,) = record["runs"]
    assert (partial["epochs"], partial["complete"]) == (1, False)
    assert set(partial["splits"]) == {"validation", "test"}
    assert record["summary"] == {"validation": {}, "test": {}}
    assert not (run / "metrics.json").exists()
    (record,), _ = reproduce_here("do_rnn", seeds=[1])
    assert record["runs"][0]["splits"]["test"] == pytest.approx(whole["splits"]["test"], rel=1e-5)


def cut_after_one_epoch(run, found):
    """Leaves a run as a kill after its first epoch does."""
    from keras_deep_rnn.training import train as training
    from keras_deep_rnn.training.callbacks import Backup

    class Killed(BaseException):
        pass

    original = Backup.on_epoch_end

    def killing(self, epoch, logs=None):
        original(self, epoch, logs)
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Backup, "on_epoch_end", killing)
        with pytest.raises(Killed):
            training.train(found.settings_of(1), run.path, overwrite=True, log=lambda line: None)


@pytest.mark.slow
def test_a_run_that_diverged_at_once_leaves_no_record(small):
    (found,) = chosen(small, "rnn")
    run = records.folder_of(small / "runs", found, 1)
    cut_after_one_epoch(run, found)
    written = records.write(small / "results", found, small / "runs")
    (only,) = written["runs"]
    assert (only["complete"], only["epochs"], only["best_epoch"]) == (False, 1, 1)
    header, row = (run / "history.csv").read_text().splitlines()
    names, values = header.split(","), row.split(",")
    values[names.index("val_frame_nll")] = "nan"
    (run / "history.csv").write_text("\n".join([header, ",".join(values)]) + "\n")
    assert records.write(small / "results", found, small / "runs") is None


@pytest.mark.process
def test_a_run_that_fails_is_named_and_the_others_are_trained(reproduce_here, small):
    (found,) = chosen(small, "rnn")
    run = records.folder_of(small / "runs", found, 1)
    cut_after_one_epoch(run, found)
    config = json.loads((run / "config.json").read_text())
    config["data"]["checksum"] = "another"
    del config["checksum"]  # the file of an earlier version
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"1 of 2 runs failed; .*rnn-modern seed 1: `data` must be"):
        reproduce_here("rnn", "do_rnn", seeds=[1])
    record = records.read(small / "results", "jsb_chorales/do_rnn-modern")
    assert [run["complete"] for run in record["runs"]] == [True]


@pytest.mark.process
def test_an_interrupted_command_ends_its_runs_and_goes_on(reproduce, small):
    file = small / "experiments" / "jsb_chorales" / "rnn-modern.toml"
    file.write_text(file.read_text().replace("epochs = 2\n", "epochs = 40\n"))
    lines = []

    def interrupt(line):
        lines.append(line)
        if "epoch  2/40" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce("rnn", seeds=[1], log=interrupt)
    assert not multiprocessing.active_children()
    run = Run(small / "runs" / "jsb_chorales" / "rnn-modern" / "seed-1")
    assert not (run / "metrics.json").exists()
    (record,), lines = reproduce("rnn", seeds=[1])
    assert record["runs"][0]["complete"]
    assert not any("epoch  1/40" in line for line in lines)


@pytest.mark.slow
def test_a_run_with_other_settings_is_refused(finished, reproduce_here, small):
    shutil.rmtree(finished / "seed-2")
    file = small / "experiments" / "jsb_chorales" / "do_rnn-modern.toml"
    file.write_text(file.read_text().replace("units = 3", "units = 4"))
    with pytest.raises(
        UserError, match=r"was trained with units 3, .* has 4: retrain with --overwrite"
    ):
        reproduce_here("do_rnn", seeds=[1])
    # Also a run that was not asked for; the other experiment is trained all the same.
    with pytest.raises(UserError, match=r"seed-1' was trained with units 3, .* has 4: retrain"):
        reproduce_here("do_rnn", "rnn", seeds=[2])
    assert records.read(small / "results", "jsb_chorales/rnn-modern")["runs"][0]["complete"]
    (record,), _ = reproduce_here("do_rnn", seeds=[1], overwrite=True)
    assert record["settings"]["units"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("line", ["hold = 0.5", "frequency_bias = true"])
def test_a_setting_that_the_file_no_longer_has_is_another(line, reproduce_here, small):
    file = small / "experiments" / "jsb_chorales" / "do_rnn-modern.toml"
    before = file.read_text()
    file.write_text(f"{before}\n{line}\n")
    reproduce_here("do_rnn", seeds=[1], overwrite=True)
    file.write_text(before)
    name = line.split()[0]
    with pytest.raises(UserError, match=f"trained with {name} .*, .* has (None|False): retrain"):
        reproduce_here("do_rnn", seeds=[1])


@pytest.mark.slow
def test_the_packed_run_is_the_best_of_the_record(finished, reproduce_here, small):
    """Also where its folder is gone, and a worse run is made."""
    packed = small / "results" / "jsb_chorales" / "do_rnn-modern.npz"
    file = packed.with_suffix(".json")
    (record,), _ = reproduce_here("do_rnn")
    before = packed.read_bytes()
    shutil.rmtree(small / "runs")
    record["runs"][0]["splits"]["validation"]["frame_nll"] = 0.0
    file.write_text(json.dumps(record))
    reproduce_here("do_rnn", seeds=[3])
    assert packed.read_bytes() == before


# The page, from records that are written by hand: every number in it is known.


def record(
    name, numbers, *, partial=None, dynamic=None, ensemble=None, primary="frame_nll", seeds=(1, 2)
):
    """Writes the record of an experiment with the given test results."""
    task, cell = name.split("/")
    network, recipe = cell.rsplit("-", 1)
    runs = [
        {"seed": seed, "complete": True, "epochs": 9 + seed,
         "splits": {"validation": {primary: number - 0.1}, "test": {primary: number}}}
        for seed, number in zip(seeds, numbers)
    ]  # fmt: skip
    if dynamic:
        runs[0]["dynamic"] = {
            split: {primary: number} for split, number in zip(("validation", "test"), dynamic)
        }
    if partial:
        runs.append(
            {
                "seed": 3,
                "complete": False,
                "epochs": 4,
                "splits": {"validation": {primary: partial}},
            }
        )
    more = {"sequence_nll": 1.5, "frame_nll_from_1": 2.5, "sequence_nll_from_1": 3.5}
    extra = more if primary == "frame_nll" else {}
    for run in runs:
        for split in run["splits"].values():
            split.update(extra)
    together = {}
    if ensemble:
        splits = {s: {primary: number} for s, number in zip(("validation", "test"), ensemble)}
        together["ensemble"] = {"seeds": list(seeds), "splits": splits}
    return name, {
        "task": task, "network": network, "recipe": recipe, "primary": primary, "runs": runs,
        "settings": {"epochs": 20}, **records._summary(runs), **together,
    }  # fmt: skip


def two_unfinished(name):
    """A record of two unfinished runs; the worse one on validation is the better one on test."""
    name, content = record(name, [], partial=8.0)
    (run,) = content["runs"]
    run["splits"]["test"] = {"frame_nll": 9.5}
    splits = {"validation": {"frame_nll": 8.5}, "test": {"frame_nll": 9.0}}
    content["runs"].append({**run, "seed": 4, "splits": splits})
    return name, content


def put(results, *all_records):
    for name, content in all_records:
        path = results / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        rows = [f"{run['seed']},{e},9,{9 - e},0.1" for run in content["runs"] for e in (1, 2, 3)]
        path.with_suffix(".csv").write_text("\n".join([",".join(records.CURVE), *rows]) + "\n")


def test_page(tmp_path):
    results, out = tmp_path / "results", tmp_path / "docs" / "results.md"
    put(
        results,
        record("jsb_chorales/rnn-modern", [8.4, 8.6]),
        record("jsb_chorales/dots_rnn-modern", [7.8, 8.0], partial=9.25),
        record("jsb_chorales/lstm-modern", [7.0, 7.2], ensemble=(6.5, 6.6)),
        record("jsb_chorales/srnn-paper", [], partial=8.75),
        two_unfinished("jsb_chorales/dts_rnn-paper"),
        record("ptb_char/rnn-paper", [1.45], primary="bits_per_character", dynamic=(1.4, 1.35)),
    )
    (results / "jsb_chorales" / "notes.md").write_text("What was tried.\n")
    written = results_page.write(results, out)
    pictures = [tmp_path / "docs" / "results" / f"{t}.png" for t in ("jsb_chorales", "ptb_char")]
    assert written == [out, *pictures]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    text = out.read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    rows = {tuple(line[:3]): line[3:] for line in lines if len(line) == 7}
    assert rows["RNN", "8.338†", "modern"] == [
        "8.400 ± 0.141", "8.500 ± 0.141", "+0.162", "2 complete, 10 to 11 epochs",
    ]  # fmt: skip
    assert rows["DOT(S)-RNN", "8.437", "modern"][1:4] == [
        "7.900 ± 0.141", "-0.537", "2 complete, 10 to 11 epochs; 1 unfinished, 4 of 20 epochs",
    ]  # fmt: skip
    assert rows["LSTM, ensemble", "", "modern"] == ["6.500", "6.600", "", "seeds 1, 2"]
    assert rows["sRNN, 2 levels", "8.367†", "paper"] == [
        "(8.750)", "", "", "1 unfinished, 4 of 20 epochs",
    ]  # fmt: skip
    # The test result is that of the run with the best validation result.
    assert rows["DT(S)-RNN", "8.278†", "paper"][:2] == ["(8.000)", "(9.500)"]
    assert rows["RNN, dynamic", "", "paper"] == ["1.400", "1.350", "", "seed 1"]
    assert "`deep-rnn evaluate RUN --dynamic`" in text
    assert rows["RNN", "1.414†", "paper"][:3] == ["1.350", "1.450", "+0.036"]
    command = (
        "    deep-rnn reproduce music --task jsb_chorales --network rnn --recipe paper --manual-dir"
    )
    assert command in text
    goals = {tuple(line[:2]): line[2:] for line in lines if len(line) == 6}
    assert goals["JSB Chorales", "the paper's"] == [
        "7.92", "DOT(S)-RNN, modern", "7.900", "reached",
    ]  # fmt: skip
    assert goals["Nottingham", "the paper's"] == ["2.95", "not run", "", ""]
    assert goals["Penn Treebank, characters", "the paper's"][3] == "missed by 0.064"
    assert goals["JSB Chorales", "LSTM and GRU"] == ["", "LSTM, modern", "7.100", ""]
    assert goals["JSB Chorales", "joint output"] == ["5.56", "not run", "", ""]
    assert ("Penn Treebank, words", "joint output") not in goals
    assert goals["JSB Chorales", "modern"] == ["8.500", "DOT(S)-RNN", "7.900", "-0.600"]
    assert ["JSB Chorales", "DOT(S)-RNN 7.900", "not run", "7.100", "not run"] in lines
    row = ["LSTM", "", "modern", "7.000 ± 0.141", "7.100 ± 0.141", ""]
    assert [*row, "2 complete, 10 to 11 epochs"] in lines
    (definitions,) = [line for line in lines if line[:1] == ["RNN, modern"]]
    assert definitions[1:] == ["8.500", "1.500", "2.500", "3.500"]
    assert "What was tried." in text
    assert "![published and measured, and learning curves](results/jsb_chorales.png)" in text
    missing = text.split("## Missing runs")[1]
    assert "`musedata/rnn-paper`" in missing
    assert "- `jsb_chorales/srnn-paper`: 1 unfinished, 4 of 20 epochs" in missing
    # Three seeds of music are asked for, one of text.
    assert "- `jsb_chorales/rnn-modern`: 2 complete" in missing
    assert "`ptb_char/rnn-paper`" not in missing


def test_page_of_nothing(tmp_path):
    results_page.write(tmp_path / "results", tmp_path / "results.md")
    assert "Not started: `nottingham/rnn-paper`" in (tmp_path / "results.md").read_text()


@pytest.mark.slow
def test_the_committed_page_is_that_of_the_committed_records(tmp_path):
    root = pathlib.Path(__file__).parents[2]
    results_page.write(root / "results", tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert text == (root / "docs" / "results.md").read_text()
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.slow
def test_a_packed_run_gives_the_number_of_the_table_again(data_path, tmp_path):
    """In half precision, so to about three digits after the point."""
    results = pathlib.Path(__file__).parents[2] / "results"
    record = records.read(results, "jsb_chorales/dots_rnn_nade-modern")
    (run,) = (r for r in record["runs"] if r["seed"] == 1)
    with unpacked(results / "jsb_chorales" / "dots_rnn_nade-modern.npz") as folder:
        places = {"manual_dir": data_path, "data_dir": tmp_path}
        found = evaluate_run(folder, "test", **places)["splits"]["test"]
    assert found == pytest.approx(run["splits"]["test"], abs=2e-3)


def called(*arguments):
    """The command line in this process: exit code, output, error line."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            return end.code, output.getvalue(), errors.getvalue()
    raise AssertionError("main must end the process")


@pytest.mark.slow
def test_commands(reproduce_here, small, monkeypatch):
    monkeypatch.setattr(experiment, "select", lambda group, **which: chosen(small, "rnn"))
    places = ["--runs", small / "runs", "--results", small / "results"]
    code, output, errors = called("reproduce", "music", "--seed", "1", *places)
    assert (code, errors) == (0, "")
    assert "epoch 2/2" in output
    number = records.read(small / "results", "jsb_chorales/rnn-modern")["runs"][0]["splits"]
    assert f"{number['test']['frame_nll']:.3f}" in output
    code, output, _ = called("reproduce", "music", "--list", *places)
    assert code == 0
    assert "1 complete, 2 epochs" in output
    out = small / "page.md"
    code, output, _ = called("reproduce", "report", "--results", small / "results", "--out", out)
    assert code == 0
    assert f"Wrote {out}" in output
    assert out.is_file()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("music --jobs 0", "--jobs must be a positive integer, got 0."),
        ("music --task bach", "--task must be one of 'nottingham'"),
        ("words --network srn", "did you mean 'srnn'?"),
        ("words --recipe new", "--recipe must be one of 'paper', 'modern', got 'new'."),
        ("words --seed x", "expected integers separated by commas"),
    ],
)
def test_mistakes_on_the_command_line(arguments, error, tmp_path):
    code, _, errors = called(
        "reproduce", *arguments.split(), "--runs", tmp_path / "a", "--results", tmp_path / "b"
    )
    assert code == 2
    assert error in errors
    assert errors.count("\n") == 1


def test_estimate_of_the_time_left():
    found = Experiment("jsb_chorales", "rnn", "modern", {}, (1,), minutes=2)
    waiting = [runner.Job(found, seed, None) for seed in (3, 4)]
    assert runner.time_left([], waiting, [], jobs=1) == 240
    # One that takes 10 s an epoch of 24 takes twice what its file says: so will the others.
    running = [runner.Job(found, 2, None, epochs=6, all_epochs=24, seconds=10)]
    assert runner.time_left(running, waiting, [], jobs=1) == 180 + 480
    assert runner.time_left(running, waiting, [], jobs=2) == (180 + 480) / 2
    assert runner.time_left(running, [], [], jobs=2) == 180


@pytest.mark.slow
def test_its_processes_end_with_a_killed_command(small, tmp_path):
    file = small / "experiments" / "jsb_chorales" / "rnn-modern.toml"
    file.write_text(file.read_text().replace("epochs = 2", "epochs = 100000"))
    code = (
        "import multiprocessing\n"
        "from keras_deep_rnn.experiments import experiment, runner\n"
        "def log(line):\n"
        "    print([child.pid for child in multiprocessing.active_children()], line, flush=True)\n"
        f"folder = {str(small / 'experiments')!r}\n"
        "found = experiment.load('jsb_chorales', 'rnn', 'modern', folder)\n"
        f"runner.reproduce([found], runs={str(small / 'runs')!r}, results={str(tmp_path)!r},\n"
        "    log=log)\n"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    (pid,) = next(re.findall(r"^\[(\d+)\]", line) for line in command.stdout if "/100000" in line)
    command.send_signal(signal.SIGKILL)
    command.wait()
    command.stdout.close()
    deadline = time.monotonic() + 30
    while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not pathlib.Path(f"/proc/{pid}").exists()

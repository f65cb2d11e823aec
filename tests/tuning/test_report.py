"""The report of a search: tables, best.json, the page, pictures, TensorBoard's event files."""

import csv
import dataclasses
import html.parser
import json
import math
import shlex
import statistics

import pytest
from made_up_searches import ATTACK, BUDGET, HISTORY, job_of, trials_of

from keras_deep_rnn.training.config import Settings
from keras_deep_rnn.tuning import paper_space, settings_of
from keras_deep_rnn.tuning.report.report import write_report
from keras_deep_rnn.tuning.search.analysis import (
    compared,
    depths_of,
    describe,
    layers,
    ranking,
    window,
)
from keras_deep_rnn.tuning.search.summary import (
    progress_line,
    table,
    train_command,
    write_best,
)
from keras_deep_rnn.tuning.search.trial import COMPLETED, FAILED, RUNNING, WAITING, Trial, best_of
from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.utils.files import finite

optuna = pytest.importorskip("optuna")
pytest.importorskip("plotly")
pytest.importorskip("tensorboard")


def strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def settings_of_command(command):
    """The settings that `deep-rnn` understands a command line as."""
    typer = pytest.importorskip("typer")
    from keras_deep_rnn.cli.main import app

    program, name, *options = shlex.split(command)
    assert (program, name) == ("deep-rnn", "train")
    train = typer.main.get_command(app).commands["train"]
    return train.make_context("train", options).params


def test_a_row_and_a_record_of_every_trial(tmp_path):
    job, trials = job_of(), trials_of(job_of(), 6, failed=1)
    write_report(tmp_path, job, trials[::-1])
    with open(tmp_path / "report" / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(job.space.names)
    assert list(rows[0])[: 3 + len(names)] == ["id", "status", "score", *names]
    assert [row["id"] for row in rows] == [trial.id for trial in trials]
    for row, trial in zip(rows, trials):
        values = {name: row[name] for name in names if row[name]}
        assert values == {name: str(value) for name, value in trial.values.items()}
        assert row["score"] == ("" if trial.score is None else repr(trial.score))
        assert row["units"] == str(trial.settings["units"])
        assert row["error"] == (trial.error or "")
        for name in ("parameters", "seconds", "seed", "retries", "worker", "started", "folder"):
            assert row[name] == str(getattr(trial, name))
    content = strict(tmp_path / "report" / "trials.json")
    assert content["job"] == json.loads(json.dumps(job.get_config()))
    assert content["objective"] == "frame_nll"
    assert content["counts"] == {COMPLETED: 5, FAILED: 1, RUNNING: 0, WAITING: 0}
    assert content["best"] == min(trials[:5], key=lambda trial: trial.score).id
    for record, trial in zip(content["trials"], trials, strict=True):
        assert record.pop("seed") == trial.seed
        assert record == json.loads(json.dumps(dataclasses.asdict(trial)))


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_of_the_table_is_a_formula(first, tmp_path):
    job, trials = job_of(), trials_of(job_of(), 2, failed=1)
    (failed,) = (trial for trial in trials if trial.status == FAILED)
    trials[0].score, failed.error, failed.worker = -0.5, f"{first}1+1", f"{first}node"
    write_report(tmp_path, job, trials)
    with open(tmp_path / "report" / "trials.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows[failed.id]["error"] == f"'{first}1+1"
    assert rows[failed.id]["worker"] == f"'{first}node"
    assert rows[trials[0].id]["score"] == "-0.5"


@pytest.mark.slow
def test_without_a_budget_there_are_no_solved_widths(tmp_path):
    job = job_of(budget=None)
    write_report(tmp_path, job, trials_of(job, 2))
    header = (tmp_path / "report" / "trials.csv").read_text().splitlines()[0].split(",")
    assert header.count("units") == 1
    assert "deep_units" not in header


def test_numbers_that_are_none(tmp_path):
    job, trials = job_of(), trials_of(job_of(), 3)
    for trial, score in zip(trials, (math.nan, math.inf)):
        trial.score, trial.metrics = score, {"frame_nll": score}
    trials[0].error = "The loss is nan in epoch 1."
    write_report(tmp_path, job, trials)
    content = strict(tmp_path / "report" / "trials.json")
    assert content["best"] == "0002"
    assert content["trials"][0]["score"] is None
    assert content["trials"][0]["metrics"] == {"frame_nll": None}
    assert content["trials"][0]["error"] == "The loss is nan in epoch 1."
    assert strict(tmp_path / "best.json")["id"] == "0002"
    assert table(job, trials)[2][0][0] == "0002*"
    assert finite((1, {"a": -math.inf})) == [1, {"a": None}]


def test_best(tmp_path):
    job, trials = job_of(), trials_of(job_of(), 5, failed=2)
    write_best(tmp_path, job, trials[3:])
    assert not list(tmp_path.iterdir())
    write_best(tmp_path, job, trials)
    best = min(trials[:3], key=lambda trial: trial.score)
    content = strict(tmp_path / "best.json")
    for name in ("id", "score", "metrics", "values", "parameters", "seed", "folder", "epochs"):
        assert content[name] == getattr(best, name)
    assert (content["ended"], content["failed"], content["objective"]) == (5, 2, "frame_nll")
    assert content["versions"]["keras_deep_rnn"]
    told = settings_of_command(content["command"])
    for name, value in best.settings.items():
        assert told[name] == value


def test_best_says_what_trained_it_and_where_the_data_is_now(tmp_path):
    job = job_of(data="/old/tunes", manual_dir="/old", sustain_pedal=True)
    trials = trials_of(job, 1)
    folder = tmp_path / trials[0].folder
    folder.mkdir(parents=True)
    made_by = {"keras_deep_rnn": "0.0.7"}
    config = {
        "settings": {"data": "tunes", "network": "rnn"},
        "network": {"network": "rnn", "kind": "piano_roll", "features": 88},
        "data": {
            **dict.fromkeys(("vocabulary", "start", "quarter_length")),
            **{"name": "tunes", "kind": "piano_roll", "version": "1", "checksum": "abc"},
        },
        "versions": made_by,
    }
    (folder / "config.json").write_text(json.dumps(config))
    moved = dataclasses.replace(job, data="/new/my tunes", manual_dir="/new")
    write_best(tmp_path, moved, trials)
    content = strict(tmp_path / "best.json")
    assert content["versions"] == made_by
    told = settings_of_command(content["command"])
    assert (told["data"], told["manual_dir"]) == ("/new/my tunes", "/new")
    assert told["sustain_pedal"] is True
    assert "--skip-unreadable" not in content["command"]
    # What is the same is left alone, as another process may be writing it.
    before = (tmp_path / "best.json").stat().st_ino
    write_best(tmp_path, moved, trials)
    assert (tmp_path / "best.json").stat().st_ino == before
    trials[0].score -= 1
    write_best(tmp_path, moved, trials)
    assert strict(tmp_path / "best.json")["score"] == trials[0].score


def test_a_command_says_every_setting():
    given = {
        "data": "it's; $(mine)",
        "manual_dir": "~/a b",
        "network": "dots_rnn",
        "units": 20,
        "transition_units": [30, 20],
        "output_units": (10,),
        "input_units": None,
        "output_bias": -3.5,
        "learning_rate": 0.0012345678901234567,
        "clipnorm": 1e-07,
        "dropout": 0.0,
        "bptt_steps": 0,
        "seed": 2**31,
        "tensorboard": True,
    }
    told = settings_of_command(train_command(given))
    lists = {"transition_units": (30, 20), "output_units": (10,)}
    every = {**dataclasses.asdict(Settings("")), **given, **lists}
    left_to_defaults = {field.name for field in dataclasses.fields(Settings)} - set(given)
    for name, value in every.items():
        assert told[name] == (None if name in left_to_defaults else value)
    assert "--tensorboard" not in train_command({**given, "tensorboard": False})


def test_table():
    job, trials = job_of(trials=9), trials_of(job_of(), 6, failed=1)
    trials[0].status, trials[0].score, trials[0].epochs = RUNNING, None, None
    trials[1].status, trials[1].score, trials[1].seconds = WAITING, None, None
    trials[5].error = "first line\nsecond line"
    title, columns, rows, notes = table(job, trials)
    assert title == ("jsb_chorales, 6 of 9 trials: 3 completed, 1 failed, 1 running, 1 waiting")
    done = sorted(trials[2:5], key=lambda trial: trial.score)
    others = (*done[1:], trials[0], trials[1], trials[5])
    assert [row[0] for row in rows] == [f"{done[0].id}*", *(trial.id for trial in others)]
    assert all(isinstance(cell, str) for row in rows for cell in row)
    best = dict(zip(columns, rows[0]))
    assert best["score"] == f"{done[0].score:.4f}"
    assert best["parameters"] == f"{done[0].parameters:,}"
    assert "," in best["parameters"]
    assert best["epochs"] == f"{done[0].best_epoch}/20"
    assert best["seed"] == str(done[0].seed)
    assert f"units {done[0].settings['units']}" in best["network"]
    failed = dict(zip(columns, rows[-1]))
    assert "first line" in failed["network"]
    assert "second line" not in failed["network"]
    assert any("frame_nll on the validation split" in note for note in notes)
    assert any("batch_size 8" in note for note in notes)
    assert table(job, [])[2] == []


def test_progress_is_a_line_on_the_search_and_one_on_the_network():
    job, trials = job_of(), trials_of(job_of(), 4, failed=1)
    trials[0].score, trials[1].score, trials[2].score = 9.12344, 8.5, 8.75
    line, network = progress_line(job, trials[2], trials, 75.2).splitlines()
    assert line.split("  ") == [
        *(" 4/40", "0002", "score 8.7500", "best 8.5000 (0001)", "32 s", "1 failed"),
        "1 min 15 s left",
    ]
    assert len(line) < 80
    assert network == f"       {describe(job, trials[2])}"
    assert "the best so far" in progress_line(job, trials[1], trials[:2])
    trials[3].error, trials[3].seconds = "The loss is nan.", None
    line, _, reason = progress_line(job, trials[3], trials[3:], None).splitlines()
    assert line.split("  ") == [" 1/40", "0003", "failed", "1 failed"]
    assert reason.strip() == "The loss is nan."


def test_description_has_what_differs():
    job = job_of()
    values = {
        "network": "dots_rnn",
        "transition_depth": 2,
        "output_depth": 1,
        "dropout": 0.1,
        "recurrent_dropout": 0.0,
        "output_dropout": 0.5,
        "learning_rate": 0.00123456,
        "clipnorm": 10.0,
        "batch_size": 8,
    }
    settings = settings_of({**values, "units": 40, "deep_units": 38})
    trial = Trial("0000", values, {**settings, "seed": 1}, 1)
    assert describe(job, trial) == (
        "dots_rnn transition 2, output 1, units 40, deep units 38, lr 0.0012, clip 10, "
        "drop 0.1/0/0.5"
    )
    assert depths_of(trial) == {"transition_depth": 2, "output_depth": 1}
    assert layers(trial) == 4
    for network, count in {"rnn": 1, "deep_input_rnn": 2, "dt_rnn": 2, "srnn": 2}.items():
        trial.settings = {"network": network, "units": 5}
        assert layers(trial) == count
    for network, count in {"gru": 1, "lstm": 1, "rhn": 2, "dt_lstm": 2}.items():
        trial.settings = {"network": network, "units": 5}
        assert layers(trial) == count
    trial.settings = {"network": "dt_gru", "units": 5, "depth": 4}
    assert (depths_of(trial), layers(trial)) == ({"depth": 4}, 4)


def test_only_trials_of_equally_many_epochs_are_compared():
    job = job_of(tuner="hyperband")
    trials = trials_of(job, 6)
    for trial, until in zip(trials, (4, 30, 10, 30, None, 4)):
        trial.until = until
    assert [trial.id for trial in compared(job, trials)] == ["0001", "0003", "0004"]
    assert [trial.id for trial in compared(job, trials[::5])] == ["0000", "0005"]
    best = min(trials, key=lambda trial: trial.score)
    network, depths, same = ranking(trials)[0]
    assert best in same
    assert (network, depths) == (best.settings["network"], depths_of(best))


def test_scores_that_are_far_worse_do_not_press_the_others_together():
    trials = trials_of(job_of(), 5)
    for trial, score in zip(trials, (8.0, 8.5, 9.0, 11.0, 40.0)):
        trial.score = score
    low, high, beyond = window(trials)
    assert (low < 8.0, 11.0 < high < 12.0, beyond) == (True, True, 1)
    for count in (1, 2):
        assert window(trials[:count])[2] == 0
    for trial in trials[:4]:
        trial.score = 8.0
    low, high, beyond = window(trials)
    assert (low < 8.0, high > 40.0, beyond) == (True, True, 0)


class Outline(html.parser.HTMLParser):
    """Checks that every element is closed, and notes ids, headings and texts."""

    EMPTY = ("meta", "wbr", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.texts, self.headings = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        self.texts.append(data)


CHARTS = ["depths", "sizes", "parallel", "importances", "history"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("completed", "failed", "budget", "charts"),
    [
        (0, 0, BUDGET, []),
        (0, 2, BUDGET, []),
        (1, 0, None, []),
        (2, 0, None, ["depths", "sizes", "parallel", "history"]),
        (40, 2, BUDGET, CHARTS),
        (12, 1, None, CHARTS),
    ],
)
def test_page(tmp_path, capfd, completed, failed, budget, charts):
    job = job_of(budget=budget)
    trials = trials_of(job, completed + failed, failed=failed)
    before = optuna.logging.get_verbosity()
    write_report(tmp_path, job, trials)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
    report = tmp_path / "report"
    assert (report / "plotly.min.js").stat().st_size > 1e6
    text = (report / "index.html").read_text()
    outline = Outline(text)
    assert outline.ids == charts
    assert 'src="plotly.min.js"' in text
    assert "alert('1')</script>" not in text
    assert (ATTACK in "".join(outline.texts)) == bool(failed)
    assert {trial.id for trial in trials} <= {text.strip("*") for text in outline.texts}
    write_report(tmp_path, job, trials)
    assert (report / "index.html").read_text() == text
    assert not list(tmp_path.rglob(".partial"))


def test_page_of_one_network_and_depth(tmp_path):
    space = paper_space(network="rnn", units=20, dropout=0.1, recurrent_dropout=0.0)
    job = job_of(space=space, budget=None)
    trials = trials_of(job, 12)
    write_report(tmp_path, job, trials)
    assert Outline((tmp_path / "report" / "index.html").read_text()).ids == CHARTS
    for trial in trials:
        trial.score = 8.0
    write_report(tmp_path, job, trials)
    outline = Outline((tmp_path / "report" / "index.html").read_text())
    assert "importances" not in outline.ids
    assert any(
        "At least 10 completed trials with different scores" in text for text in outline.texts
    )


@pytest.mark.slow
def test_page_and_pictures_of_every_network(tmp_path):
    pytest.importorskip("matplotlib")
    from keras_deep_rnn.training.networks import SEARCHED_NETWORKS
    from keras_deep_rnn.tuning.report.matplotlib_charts import MARKERS, write_pictures

    assert set(MARKERS) == set(SEARCHED_NETWORKS)
    job = job_of(space=paper_space(network=SEARCHED_NETWORKS, units=None, batch_size=8))
    trials = trials_of(job, 60)
    assert {trial.settings["network"] for trial in trials} == set(SEARCHED_NETWORKS)
    write_report(tmp_path, job, trials)
    assert Outline((tmp_path / "report" / "index.html").read_text()).ids == CHARTS
    assert len(write_pictures(tmp_path / "docs", job, trials)) == 3


def test_the_ranking_warns_of_depths_with_few_trials():
    from keras_deep_rnn.tuning.report.page import page

    job = job_of(space=paper_space(network="dt_rnn", transition_depth=(1, 2), units=None))
    trials = trials_of(job, 20)
    of_depth = {1: [], 2: []}
    for trial in trials:
        of_depth[trial.values["transition_depth"]].append(trial)
    warning = "Caution: {} of 2 rows have fewer than 5 trials"
    assert "Caution" not in page(job, of_depth[1][:5] + of_depth[2][:5])
    assert warning.format(1) in page(job, of_depth[1][:5] + of_depth[2][:4])
    assert warning.format(2) in page(job, of_depth[1][:1] + of_depth[2][:4])


def test_the_place_of_a_trial_beside_others_says_nothing_of_its_score():
    pytest.importorskip("matplotlib")
    from keras_deep_rnn.tuning.report.matplotlib_charts import jitter

    trials = trials_of(job_of(), 12)
    x = jitter(3, trials)
    assert len(set(x)) == 12
    assert all(abs(place - 3) <= 0.3 for place in x)
    for trial, score in zip(trials, range(12)):
        trial.score = float(score)
    assert jitter(3, trials) == x
    assert jitter(3, trials[:1]) == [3]


def test_the_depth_picture_shows_medians_counts_and_what_was_searched():
    pytest.importorskip("matplotlib")
    from keras_deep_rnn.tuning.report.matplotlib_charts import _depth_picture

    job = job_of(space=paper_space(network="dt_rnn", transition_depth=(1, 3), units=None))
    trials = trials_of(job, 30)
    picture = _depth_picture(job, trials)
    (axes,) = picture.axes
    of_depth = {depth: [] for depth in (1, 2, 3)}
    for trial in trials:
        of_depth[trial.values["transition_depth"]].append(trial.score)
    bars = axes.lines[0]
    assert [y for y in bars.get_ydata() if y == y] == [
        statistics.median(scores) for scores in of_depth.values() for _ in range(2)
    ]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"{depth}\n({len(scores)})" for depth, scores in of_depth.items()]
    title = picture.get_suptitle()
    assert title.startswith("jsb_chorales, 30 trials, networks of about 20,000 parameters")


def test_networks_of_a_picture_have_different_colours():
    from keras_deep_rnn.experiments import published
    from keras_deep_rnn.training.networks import SEARCHED_NETWORKS
    from keras_deep_rnn.training.plots import NETWORK_COLOURS

    for networks in (SEARCHED_NETWORKS, *map(published.networks_of, published.TASKS)):
        assert len({NETWORK_COLOURS[name] for name in networks}) == len(networks)


def test_the_ring_is_on_the_best_trial():
    pytest.importorskip("matplotlib")
    from keras_deep_rnn.tuning.report.matplotlib_charts import RING, _depth_picture

    trials = trials_of(job_of(), 30)
    rings, markers = set(), set()
    for axes in _depth_picture(job_of(), trials).axes:
        for line in axes.lines:
            if line.get_linestyle() == "None":
                of_best = line.get_markeredgecolor() == RING["mec"]
                (rings if of_best else markers).update(zip(*line.get_data()))
    assert {y for _, y in rings} == {best_of(trials).score}
    assert rings < markers


def test_what_decides_the_score_is_found():
    from keras_deep_rnn.tuning.report import plotly_charts as charts

    job = job_of()
    trials = trials_of(job, 40)
    for trial in trials:
        trial.score = 8 + abs(math.log(trial.values["clipnorm"]))
    trials[7].score = 1000.0
    bars = charts.importances(job, trials).data[0]
    found = dict(zip(bars.y, bars.x))
    assert max(found, key=found.get) == "clipnorm"
    assert sum(found.values()) == pytest.approx(1)
    assert {"network", "layers", "learning_rate"} <= set(found)
    assert not {"transition_depth", "batch_size"} & set(found)


def test_every_trial_is_a_line_of_the_parallel_coordinates():
    from keras_deep_rnn.tuning.report import plotly_charts as charts

    job = job_of()
    trials = trials_of(job, 20)
    axes = {
        axis.label.replace("<br>", "_"): axis
        for axis in charts.parallel_coordinates(job, trials).data[0].dimensions
    }
    assert list(axes) == [name for name in job.space.names if name != "batch_size"] + ["frame_nll"]
    for name, axis in axes.items():
        told = dict(zip(axis.tickvals or (), axis.ticktext or ()))
        for trial, place in zip(trials, axis.values, strict=True):
            if name in ("network", "transition_depth", "levels"):
                assert told[place] == str(trial.values.get(name, "none"))
            if name in ("learning_rate", "clipnorm"):
                assert 10**place == pytest.approx(trial.values[name])


@pytest.mark.slow
def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    from keras_deep_rnn.tuning.report.matplotlib_charts import write_pictures

    job = job_of()
    trials = trials_of(job, 30)
    assert write_pictures(tmp_path / "none", job, []) == []
    for count in (1, 30):
        written = write_pictures(tmp_path / "docs", job, trials[:count])
        assert [path.name for path in written] == ["depth.png", "size.png", "ranking.md"]
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[:2])
        told, _, warning = written[2].read_text().partition("\n\n")
        assert warning.startswith("Caution: ")
        rows = told.splitlines()[2:]
        best = best_of(trials[:count])
        assert rows[0].startswith(f"| {best.settings['network']} |")
        assert f"| {best.score:.4f} |" in rows[0]
        assert sum(int(row.split("|")[4]) for row in rows) == len(compared(job, trials[:count]))


def test_tensorboard_reads_the_trials(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    job, trials = job_of(), trials_of(job_of(), 4, failed=1)
    trials[3].folder = None
    trials[2].status, trials[2].score, trials[2].ended = RUNNING, None, None
    run = tmp_path / trials[0].folder
    run.mkdir(parents=True)
    (run / "history.csv").write_text(HISTORY)
    for _ in range(2):  # the second time it takes the place of the first
        write_report(tmp_path, job, trials)

    folder = tmp_path / "report" / "tensorboard"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        trial.id for trial in trials
    ]
    assert all(len(list((folder / trial.id).iterdir())) == 1 for trial in trials)

    def plugin(name, tag):
        events = EventAccumulator(str(folder / name)).Reload()
        return events, events.PluginTagToContent("hparams")[tag]

    _, content = plugin("", metadata.EXPERIMENT_TAG)
    experiment = metadata.parse_experiment_plugin_data(content)
    infos = {info.name: info for info in experiment.hparam_infos}
    assert list(infos) == list(job.space.names)
    assert set(infos["network"].domain_discrete) == set(job.space["network"].values)
    rate = infos["learning_rate"].domain_interval
    assert (rate.min_value, rate.max_value) == (3e-4, 1e-2)
    assert [metric.name.tag for metric in experiment.metric_infos] == ["frame_nll", "parameters"]
    for trial in trials:
        events, content = plugin(trial.id, metadata.SESSION_START_INFO_TAG)
        start = metadata.parse_session_start_info_plugin_data(content)
        told = {
            name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
        }
        assert told == trial.values
        assert start.group_name == trial.id
        (size,) = events.Scalars("parameters")
        assert size.value == trial.parameters
        if trial.score is not None:
            (score,) = events.Scalars("frame_nll")
            assert (score.value, score.step) == (pytest.approx(trial.score), trial.best_epoch)
        else:
            assert "frame_nll" not in events.scalars.Keys()
    statuses = {0: api_pb2.STATUS_SUCCESS, 3: api_pb2.STATUS_FAILURE}
    for i, status in statuses.items():
        _, content = plugin(trials[i].id, metadata.SESSION_END_INFO_TAG)
        assert metadata.parse_session_end_info_plugin_data(content).status == status
    events, _ = plugin("0000", metadata.SESSION_START_INFO_TAG)
    losses = events.Scalars("epoch/val_frame_nll")
    assert [(e.step, e.value) for e in losses] == [(1, 9.25), (2, 8.75)]
    assert losses[1].wall_time - losses[0].wall_time == 3.0


@pytest.mark.parametrize(
    ("broken", "kept"),
    [
        ({"settings": {"network": "rnn", "units": 3}}, "trials.csv"),
        ({"ended": "?"}, "tensorboard"),
    ],
)
def test_files_appear_whole_or_not_at_all(tmp_path, broken, kept):
    def content():
        place = tmp_path / "report" / kept
        found = [place, *place.rglob("*")]
        return {path: path.read_bytes() for path in found if path.is_file()}

    job, trials = job_of(), trials_of(job_of(), 3)
    write_report(tmp_path, job, trials)
    before = content()
    damaged = [*trials[:2], dataclasses.replace(trials[2], **broken)]
    with pytest.raises((KeyError, ValueError)):
        write_report(tmp_path, job, damaged)
    assert content() == before
    assert not list(tmp_path.rglob(".partial"))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write .*report"):
        write_report(tmp_path, job_of(), [])

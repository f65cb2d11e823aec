"""Job files: what they say, what they leave out, and one clear line for every mistake."""

import dataclasses
import datetime
import json
import os
import pathlib
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deep_rnn import data
from keras_deep_rnn.data import Dataset
from keras_deep_rnn.training.config import NETWORK_ARGUMENTS
from keras_deep_rnn.tuning import Hyperparameter, SearchSpace, paper_space
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.job.job_file import arguments
from keras_deep_rnn.tuning.space.paper_space import DEPTHS
from keras_deep_rnn.utils.errors import UserError

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "tuning.md"
SECTION = DOCS.read_text().split("## Search jobs")[1].split("\n## ")[0]
BASE = 'data = "bach_chorales"\ntrials = 4\n'
WHOLE = """
data = "bach_chorales"
manual_dir = "../downloads"
data_dir = "/prepared"
skip_unreadable = true
sustain_pedal = true
tuner = "bayesian"
objective = "sequence_nll"
trials = 40
epochs = 60
max_minutes = 1.5
seed = 3
budget = 75_000
workers = 2
cpus_per_trial = 3
gpus_per_trial = 0.5
retries = 1
initial_points = 10
project = "searches/bach"

[settings]
patience = 10
transition_units = [20, 30]

[space]
network = ["dt_rnn", "dts_rnn"]
learning_rate = [1e-3, 1e-2]
dropout = "default"
"""


def write(folder, text, name="job.toml"):
    path = folder / name
    path.write_text(text)
    return path


def read(folder, text, **more):
    return Job.read(write(folder, text, **more))


def music(length=5):
    rolls = [np.eye(88, dtype="uint8")[:length]] * 4
    splits = {"train": rolls, "validation": rolls, "test": rolls}
    return Dataset("bach_chorales", "piano_roll", splits, "frame", "1", "abc", "made up")


@pytest.fixture
def loaded(monkeypatch):
    """Music in place of any data set; what `load` was asked for."""
    asked = []

    def load(name, **places):
        asked.append((name, places))
        return music()

    monkeypatch.setattr(data, "load", load)
    return asked


def names(space):
    return list(space.names)


def test_every_key(tmp_path):
    job = read(tmp_path, WHOLE)
    said = {
        name: value
        for name, value in dataclasses.asdict(job).items()
        if name not in ("space", "settings", "factor")
    }
    assert said == {
        "name": "job",
        "data": "bach_chorales",
        "manual_dir": str(tmp_path.parent / "downloads"),
        "data_dir": "/prepared",
        "skip_unreadable": True,
        "sustain_pedal": True,
        "tuner": "bayesian",
        "objective": "sequence_nll",
        "trials": 40,
        "epochs": 60,
        "max_minutes": 1.5,
        "seed": 3,
        "budget": 75_000,
        "workers": 2,
        "cpus_per_trial": 3,
        "gpus_per_trial": 0.5,
        "retries": 1,
        "initial_points": 10,
        "project": str(tmp_path / "searches" / "bach"),
    }
    assert job.settings == {"patience": 10, "transition_units": [20, 30]}
    ready = paper_space(
        network=["dt_rnn", "dts_rnn"],
        transition_depth=None,  # decided by the settings
        units=None,  # decided by the budget
        learning_rate=(1e-3, 1e-2),
        dropout=None,
    )
    assert job.space == ready
    assert job.factor is None


def test_what_is_left_out_has_defaults(tmp_path):
    job = read(tmp_path, BASE)
    assert job.space == paper_space()
    assert (job.tuner, job.seed, job.retries, job.settings) == ("random", 1, 0, {})
    assert 1 <= job.workers <= os.cpu_count()
    assert job.project == str(tmp_path / "job")
    for name in ("manual_dir", "data_dir", "objective", "epochs", "max_minutes", "budget"):
        assert getattr(job, name) is None
    assert (job.initial_points, job.factor) == (None, None)
    assert read(tmp_path, 'data = "jsb_chorales"\ntuner = "hyperband"').factor == 3


def test_initial_points_do_not_follow_from_what_a_resumed_search_may_change(tmp_path):
    bayesian = BASE + 'tuner = "bayesian"\n'
    searched = len(paper_space())
    assert read(tmp_path, bayesian).initial_points == searched
    few = read(tmp_path, bayesian + "[space]\nnetwork = { kind = 'fixed', value = 'rnn' }")
    assert few.initial_points == 5
    more = dataclasses.replace(read(tmp_path, bayesian), trials=400)
    assert more.initial_points == searched


@pytest.mark.parametrize("text", [WHOLE, BASE, BASE + 'tuner = "hyperband"\nepochs = 9'])
def test_a_job_is_its_configuration(tmp_path, text):
    job = read(tmp_path, text)
    again = Job.from_config(json.loads(json.dumps(job.get_config(), allow_nan=False)))
    assert again == job
    assert again.get_config() == job.get_config()
    assert all(os.path.isabs(job.get_config()[name]) for name in ("project",))


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path, monkeypatch):
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "tunes").mkdir()
    path = write(folder, 'data = "tunes"\ndata_dir = "~/prepared"\ntrials = 1')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (path, "jobs/job.toml", "~/jobs/job.toml"):
        job = Job.read(place)
        assert job.data == str(folder / "tunes")
        assert job.data_dir == str(tmp_path / "prepared")
        assert job.project == str(folder / "job")
    # The name of a data set is none of a folder.
    (folder / "jsb_chorales").mkdir()
    assert read(folder, 'data = "jsb_chorales"\ntrials = 1').data == "jsb_chorales"


def test_a_space_of_entries(tmp_path):
    text = """
    [settings]
    units = 20
    [space]
    network = { kind = "choice", values = ["rnn", "dt_rnn"] }
    transition_depth = { kind = "int", low = 1, high = 2, when = { network = "dt_rnn" } }
    """
    job = read(tmp_path, BASE + text)
    assert job.settings == {"units": 20}
    assert job.space == SearchSpace(
        [
            Hyperparameter("network", "choice", values=["rnn", "dt_rnn"]),
            Hyperparameter("transition_depth", "int", low=1, high=2, when={"network": "dt_rnn"}),
        ]
    )


def test_settings_are_not_searched(tmp_path):
    job = read(tmp_path, BASE + "[settings]\ndropout = 0.1\nbatch_size = 4\nclipnorm = 1e38")
    assert job.settings == {"dropout": 0.1, "batch_size": 4, "clipnorm": 1e38}
    assert not {"dropout", "batch_size", "clipnorm"} & set(names(job.space))


def test_settings_of_some_networks_are_fixed_for_those(tmp_path, loaded):
    job = read(tmp_path, BASE + "[settings]\nlevels = 3\nunits = 6")
    assert job.settings == {"units": 6}
    assert job.space == paper_space(levels=3, units=None)
    job.prepare()
    job = read(tmp_path, BASE + '[settings]\nnetwork = "dts_rnn"')
    assert job.settings == {}
    assert job.space == paper_space(network="dts_rnn")


def test_a_budget_decides_the_units(tmp_path):
    assert "units" not in read(tmp_path, BASE + "budget = 75_000").space
    text = 'budget = 75_000\n[space]\nnetwork = "rnn"\nunits = "default"'
    assert names(read(tmp_path, BASE + text).space) == names(paper_space(network="rnn", units=None))


def test_prepare_completes_the_job(tmp_path, loaded):
    job = read(tmp_path, 'data = "bach_chorales"\nmanual_dir = "."\ntuner = "hyperband"')
    with pytest.raises(UserError, match="`epochs` must be known for the size"):
        job.size()
    complete, hyper = job.prepare()
    options = {"manual_dir": str(tmp_path), "data_dir": None}
    flags = {"skip_unreadable": False, "sustain_pedal": False}
    assert loaded == [("bach_chorales", {**options, **flags})]
    assert complete == dataclasses.replace(job, objective="frame_nll", epochs=120)
    assert complete.size() > 100
    assert hyper.dataset.kind == "piano_roll"
    assert hyper.space == job.space
    assert complete.prepare()[0] == complete


def test_the_hypermodel_is_the_jobs(tmp_path, loaded):
    job, hyper = read(tmp_path, WHOLE).prepare()
    assert job.objective == "sequence_nll"
    values = hyper.space.defaults()
    made = hyper.settings_of(values)
    assert {**made, **values} == made
    assert (made["epochs"], made["patience"], made["transition_units"]) == (60, 10, (20, 30))
    assert abs(hyper.parameters(values) / 75_000 - 1) <= 0.02
    seeds = {dataclasses.replace(job, seed=seed).hypermodel().seed_of(values) for seed in (3, 4)}
    assert len(seeds) == 2
    assert hyper.seed_of(values) in seeds


def test_data_of_the_users_own(tmp_path):
    pytest.importorskip("keras_tuner")
    (tmp_path / "book.txt").write_text("to be or not to be, that is the question\n" * 200)
    text = 'data = "book.txt"\ntrials = 1\n[settings]\nnetwork = "rnn"\nunits = 4'
    job, hyper = read(tmp_path, text).prepare()
    assert (job.objective, job.epochs) == ("bits_per_character", 20)
    assert hyper.dataset.kind == "characters"


def test_every_setting_can_be_given(tmp_path, loaded):
    text = """
    [settings]
    network = "dots_rnn"
    units = 6
    transition_units = [6, 5]
    output_units = [4]
    input_units = [3]
    input_to = "all"
    activation = "relu"
    intermediate_activation = "sigmoid"
    output_activation = "tanh"
    output = "nade"
    nade_units = 8
    tied = false
    dropout = 0.1
    recurrent_dropout = 0.1
    output_dropout = 0.1
    logits_dropout = 0.2
    zoneout = 0.1
    weight_noise = 0.01
    output_bias = -3
    frequency_bias = false
    recurrent_initializer = "sparse"
    gain = 0.8
    input_stddev = 0.1
    kernel_stddev = 0.1
    output_stddev = 0.01
    optimizer = "sgd"
    learning_rate = 0.1
    warmup = 0
    weight_decay = 0.0
    momentum = 0.9
    hold = 0.5
    ema = 0.9
    decay_after = 10
    decay_beta = 100
    halve_above = 1.004
    clipnorm = 1
    batch_size = 2
    bptt_steps = 2
    patience = 3
    """
    from keras_deep_rnn.tuning import problem

    job = read(tmp_path, BASE + text)
    assert names(job.space) == ["network"]
    _, hyper = job.prepare()
    given = hyper.settings_of({"network": "dots_rnn"})
    of_others = {"levels", "depth", "skip", "level_dropout", "word_dropout"}
    assert {*given, *of_others} == set(problem.SETTINGS)
    assert not of_others & set(given)
    assert (
        hyper.parameters({"network": "dots_rnn"})
        == hyper.network({"network": "dots_rnn"}).count_params()
    )


@pytest.mark.parametrize("factor", [2, 3, 4, 10])
@pytest.mark.parametrize("epochs", [1, 2, 3, 8, 9, 10, 26, 27, 28])
def test_size_is_what_keras_tuner_runs(epochs, factor):
    oracles = pytest.importorskip("keras_deep_rnn.tuning.search.oracles")
    space = SearchSpace([Hyperparameter("learning_rate", "float", low=0.1, high=0.9)])
    job = Job("j", "d", "/p", space, tuner="hyperband", epochs=epochs, factor=factor)
    sampler, ids = oracles.Sampler(job, space), []
    while (choice := sampler.ask()) is not None:
        ids.append(choice.id)
        sampler.tell(choice.id, choice.values["learning_rate"])
    assert job.size() == len(ids) == len(set(ids))
    assert dataclasses.replace(job, trials=2).size() == min(2, len(ids))


def test_size_of_other_tuners(tmp_path):
    assert read(tmp_path, BASE).size() == read(tmp_path, BASE + 'tuner = "bayesian"').size() == 4


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("", "", ""),
        ("trials = 40", "trials = 80", ""),
        ("workers = 2", "workers = 9", ""),
        ("max_minutes = 1.5", "", ""),
        ("retries = 1", "", ""),
        ('project = "searches/bach"', "", ""),
        ('manual_dir = "../downloads"', "", ""),
        ('data_dir = "/prepared"', 'data_dir = "/elsewhere"', ""),
        ("skip_unreadable = true", "", "`skip_unreadable` was True, is False"),
        ("sustain_pedal = true", "", "`sustain_pedal` was True, is False"),
        ("seed = 3", "", "`seed` was 3, is 1"),
        ("budget = 75_000", "budget = 7_000", "`budget` was 75000, is 7000"),
        ("epochs = 60", "epochs = 61", "`epochs` was 60, is 61"),
        ("initial_points = 10", "initial_points = 9", "`initial_points` was 10, is 9"),
        ('objective = "sequence_nll"', 'objective = "frame_nll"',
         "`objective` was sequence_nll, is frame_nll"),
        ('tuner = "bayesian"', 'tuner = "hyperband"',
         "`tuner` was bayesian, is hyperband; `initial_points` was 10, is None; "
         "`factor` was None, is 3"),
        ('data = "bach_chorales"', 'data = "tunes"', "`data` was bach_chorales, is {folder}/tunes"),
        ("patience = 10", "", "`settings.patience` was 10, is None"),
        ("patience = 10", "clipnorm = 2.0",
         "`settings.patience` was 10, is None; `settings.clipnorm` was None, is 2.0; "
         "`clipnorm` is gone"),
        ("learning_rate = [1e-3", "learning_rate = [2e-3", "`learning_rate`: low was 0.001, is"),
    ],
)  # fmt: skip
def test_difference(tmp_path, old, new, difference):
    job = read(tmp_path, WHOLE)
    text = WHOLE.replace(old, new)
    if "hyperband" in text:
        text = text.replace("initial_points = 10", "")
    changed = read(tmp_path, text)
    told = job.difference(changed)
    if difference:
        assert told.startswith(difference.format(folder=tmp_path))
    else:
        assert told == ""
    assert bool(told) == bool(changed.difference(job))


def test_data_may_move(tmp_path):
    here = read(tmp_path, 'data = "here.npz"\ntrials = 1')
    there = read(tmp_path, 'data = "there/here.npz"\ntrials = 1')
    assert here.data != there.data
    assert here.difference(there) == ""


MISTAKES = [
    ("data = 1979-05-27", "`data` must be a text, got datetime.date(1979, 5, 27)."),
    ("data = ''\ntrials = 1", "`data` must be a text, got ''."),
    ("trials = 1", "`data` must be the name of a data set or a path, got nothing."),
    ('data = "jsb_chorales"', "`trials` must be an integer from 1 to 9999, got nothing."),
    (BASE + "trails = 3", "`trails` must be a key of a job: data, "),
    (BASE + "trails = 3", "settings, space; did you mean 'trials'?"),
    (BASE + "gpu = true", "settings, space."),
    (BASE + "patience = 3", "`patience` must stand in [settings] or [space], got it at the top."),
    (BASE + "transition_depth = [1, 2]", "must stand in [settings] or [space], got it at the top."),
    (BASE + "[settings]\nepochs = 3", "`epochs` must stand at the top of the file, got it in "
                                      "[settings]."),
    (BASE + "[settings]\nseed = 3", "`seed` must stand at the top of the file"),
    (BASE + "[settings]\ndata = 'x'", "`data` must stand at the top of the file"),
    (BASE + "[space]\nepochs = [3, 4]", "`epochs` must stand at the top of the file, got it in "
                                        "[space]."),
    (BASE + "settings = 3", "`settings` must be a table, [settings], got 3."),
    (BASE + "space = ['rnn']", "`space` must be a table, [space], got ['rnn']."),
    (BASE + 'tuner = "bayes"', "`tuner` must be one of 'random', 'bayesian', 'hyperband', "
                               "got 'bayes'; "
                               "did you mean 'bayesian'?"),
    (BASE + "tuner = 3", "`tuner` must be one of 'random', 'bayesian', 'hyperband', got 3."),
    (BASE + "objective = 3", "`objective` must be a text, got 3."),
    (BASE + "epochs = 0", "`epochs` must be a positive integer, got 0."),
    (BASE + "epochs = 2.0", "`epochs` must be a positive integer, got 2.0."),
    (BASE + "max_minutes = 0", "`max_minutes` must be a finite number above 0, got 0."),
    (BASE + "max_minutes = nan", "`max_minutes` must be a finite number above 0, got nan."),
    (BASE + "max_minutes = true", "`max_minutes` must be a finite number above 0, got True."),
    (BASE + "seed = -1", "`seed` must be an integer from 0 to 2**32 - 1, got -1."),
    (BASE + "seed = 'a'", "`seed` must be an integer from 0 to 2**32 - 1, got 'a'."),
    (BASE + "budget = 1e5", "`budget` must be a positive integer, got 100000.0."),
    (BASE + "workers = 0", "`workers` must be a positive integer, got 0."),
    (BASE + "retries = -1", "`retries` must be an integer of at least 0, got -1."),
    (BASE + "retries = true", "`retries` must be an integer of at least 0, got True."),
    (BASE + "factor = 3",
     "`factor` must be left out: it applies to tuner = 'hyperband', got 'random'."),
    (BASE + "initial_points = 3",
     "`initial_points` must be left out: it applies to tuner = 'bayesian', got 'random'."),
    (BASE + 'tuner = "hyperband"\nfactor = 1', "`factor` must be an integer of at least 2, got 1."),
    (BASE + 'tuner = "bayesian"\ninitial_points = 0',
     "`initial_points` must be a positive integer"),
    (BASE + 'project = "job.toml"', "`project` must be another path than the job file's, got '"),
    (BASE + 'manual_dir = ["a"]', "`manual_dir` must be a text, got ['a']."),
    (BASE + 'data_dir = "a\\u0000"', "`data_dir` must be a text, got 'a\\x00'."),
    (BASE.replace("4", "0"), "`trials` must be an integer from 1 to 9999, got 0."),
    (BASE.replace("4", "10_000"), "`trials` must be an integer from 1 to 9999, got 10000."),
    (BASE + "[settings]\npatience = inf", "`settings.patience` must be a string, a finite number, "
                                          "true or false, got inf."),
    (BASE + "[settings]\npatience = 1e999", "`settings.patience` must be a string, a finite"),
    (BASE + f"[settings]\npatience = 1{'0' * 400}", "`settings.patience` must be a string, a"),
    (BASE + "[settings]\npatience = 07:32:00", "got datetime.time(7, 32)."),
    (BASE + "[settings.patience]\na = 1", "`settings.patience` must be one value or a list, got {"),
    (BASE + "[settings]\nlevels = [2, 3]", "`settings.levels` must be a positive integer, got [2"),
    (BASE + "[settings]\nnetwork = 'rn'", "`settings.network` must be one of 'rnn', "),
    (BASE + "[space]\nunit = [8, 16]", "`space.unit` must be one of network, input_depth, "),
    (BASE + "[space]\nunit = [8, 16]", "did you mean 'units'?"),
    (BASE + "[space]\nlearning_rate = [1e-2, 1e-3]",
     "`space.learning_rate` must have `low` not above `high`, got low 0.01, high 0.001."),
    (BASE + "[space]\nlearning_rate = [0.0, 0.1]",
     "`space.learning_rate` must have `low` above 0 with `log`, got 0.0."),
    (BASE + "[space]\nunits = [1, 2, 3]", "`space.units` must be a pair (low, high) or one"),
    (BASE + "[space]\nunits = ['a', 'b']", "`space.units` must have an integer as `low`, got 'a'."),
    (BASE + "[space]\nunits = [nan, 3]", "`space.units` must be a string, a finite number"),
    (BASE + "[space]\nbatch_size = []", "`space.batch_size` must have a non-empty list `values`"),
    (BASE + "[space]\nnetwork = []",
     "`space.network` must be a network or a list of networks, got []."),
    (BASE + "[space]\nnetwork = 3",
     "`space.network` must be a network or a list of networks, got 3."),
    (BASE + "[space]\nnetwork = [[3]]", "`space.network` must be one of 'rnn', "),
    (BASE + "[space]\nnetwork = 'default'", "`space.network` must be one of 'rnn', "),
    (BASE + "[space]\ndropout = 0.1\nunits = { kind = 'fixed', value = 3 }",
     "`space.units` must be a range, choices or a value, as the other keys, got a table."),
    (BASE + "[space]\nunits = { kind = 'int', low = 3, high = 1 }",
     "`space.units` must have `low` not above `high`, got low 3, high 1."),
    (BASE + "[space]\nunits = { kid = 'int' }", "`space.units` must be a table with a `kind`, got"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_mistakes(tmp_path, text, line):
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith("job.toml: ")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_job(tmp_path):
    cases = [
        (b'data = "x"\ntrials 3', "must be a TOML file: Expected '=' after a key in a key/value "
                                  "pair (at line 2, column 8)."),
        (b"a = '\xff'", "must be a TOML file: 'utf-8' codec can't decode byte 0xff"),
        (b"a = " + b"[" * 100_000, "must be a TOML file: maximum recursion depth exceeded"),
        (b"a = " + b"9" * 5000, "must be a TOML file: Exceeds the limit"),
        (b"a = 0x" + b"9" * 5000, "must be a TOML file: Exceeds the limit"),
        (b"space" + b".a" * 5000 + b" = 1", "must be a TOML file: maximum recursion depth"),
    ]  # fmt: skip
    for content, line in cases:
        path = tmp_path / "bad.toml"
        path.write_bytes(content)
        with pytest.raises(UserError, match=re.escape(line)) as error:
            Job.read(path)
        assert "bad.toml" in str(error.value)
    with pytest.raises(UserError, match=r"Cannot read '.*none.toml': No such file or directory\."):
        Job.read(tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"Cannot read '.*': Is a directory\."):
        Job.read(tmp_path)


def test_files_of_other_names(tmp_path):
    path = tmp_path / "byte order mark.toml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert Job.read(path).name == "byte order mark"
    assert read(tmp_path, BASE + 'project = "p"', name="search").project == str(tmp_path / "p")
    with pytest.raises(UserError, match="^search: `project` must be another path than the job"):
        read(tmp_path, BASE, name="search")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('objective = "perplexity"', "`objective` must be one of 'frame_nll', 'sequence_nll', "
                                     "'frame_nll_from_1', 'sequence_nll_from_1', "
                                     "got 'perplexity'."),
        ('objective = "frame_nl"', "got 'frame_nl'; did you mean 'frame_nll'?"),
        ("[settings]\npatiens = 3", "`patiens` must be the name of a setting that a search can "
                                    "vary; did you mean 'patience'?"),
        ("[settings]\npatience = 0", "`settings.patience` must be a positive integer, got 0."),
        ("[settings]\nactivation = 'tan'", "`settings.activation` must be an activation of Keras"),
        ("[settings]\noutput_bias = 'a'", "`settings.output_bias` must be a finite number"),
        ("[settings]\ntransition_units = 'abc'\nnetwork = 'dt_rnn'",
         "`settings.transition_units` must be a non-empty list of positive integers"),
        ("[settings]\ntransition_units = [9]",
         "`transition_units` must be left out for 'rnn', which has none, got (9,)."),
        ("[settings]\nskip = 'residual'",
         "`skip` must be left out for 'rnn', which has no levels, got 'residual'."),
        ("[settings]\ntied = true", "`tied` must be left out for music, which has no words"),
        ("[settings]\nword_dropout = 0.1", "`word_dropout` must be left out for music"),
        ("[settings]\nlevel_dropout = 0.1",
         "`level_dropout` must be left out for 'rnn', which has no levels, got 0.1."),
        ("[settings]\nintermediate_activation = 'lp_units'",
         "`settings.intermediate_activation` must be an activation of Keras, got 'lp_units'"),
        ("[settings]\ntransition_units = [9]\n[space]\ntransition_depth = [1, 2]",
         "`settings.transition_units` must be left out: it follows from `transition_depth`."),
        ("[settings]\ndropout = 0.1\n[space]\ndropout = [0.0, 0.2]",
         "`dropout` must be either searched or fixed, got both."),
        ("budget = 75_000\n[space]\nunits = [8, 16]",
         "`units` must be left out of the space: the budget decides it."),
        ("budget = 75_000\n[settings]\nunits = 16",
         "`units` must be left out of the settings: the budget decides it."),
        ("budget = 75", "`budget` must be within 5% of a size that the network can have"),
        ("[space]\ntransition_depth = [0, 2]", "`space.transition_depth` must be a positive"),
        ("[space]\ndropout = [0.5, 1.0]", "`space.dropout` must be a number of at least 0"),
        ("[space]\nunits = 'many'", "`space.units` must be a positive integer, got 'many'."),
        ("[space]\nspeed = { kind = 'fixed', value = 3 }",
         "`speed` must be the name of a setting that a search can vary"),
        ("[space]\nbatch_size = { kind = 'choice', values = [8, 0] }",
         "`space.batch_size` must be a positive integer, got 0."),
        ("[space]\ntransition_depth = { kind = 'choice', values = ['a', 'b'] }",
         "`space.transition_depth` must be a positive integer, got 'a'."),
        ("[space]\nlearning_rate = { kind = 'choice', values = [0.1, 0.0] }",
         "`space.learning_rate` must be a finite number above 0, got 0.0."),
        ("[settings]\nlearning_rate = -0.1",
         "`settings.learning_rate` must be a finite number above 0, got -0.1."),
        ("epochs = 2\n[settings]\nwarmup = 2\nbatch_size = 99",
         "`warmup` must be below 2, the number of updates, got 2."),
        ("epochs = 2\n[space]\nwarmup = { kind = 'choice', values = [0, 2] }\n"
         "batch_size = { kind = 'int', low = 1, high = 99 }",
         "`warmup` must be below 2, the number of updates, got 2."),
    ],
)  # fmt: skip
def test_mistakes_that_need_the_data(tmp_path, loaded, text, line):
    job = read(tmp_path, BASE + text)
    with pytest.raises(UserError) as error:
        job.prepare()
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def text(monkeypatch):
    splits = {name: [np.arange(60) % 3] for name in ("train", "validation", "test")}
    facts = {"step": "character", "version": "1", "checksum": "", "description": ""}
    text = data.Dataset("ptb_char", "characters", splits, vocabulary=("\n", "a", "b"), **facts)
    monkeypatch.setattr(data, "load", lambda name, **places: text)


def test_a_job_can_tie_the_embeddings_of_a_text(tmp_path, text):
    settings = "budget = 900\n[settings]\ntied = true\nword_dropout = 0.1\ndropout = 0.2"
    _, hyper = read(tmp_path, BASE + settings + "\n[space]\nnetwork = ['rnn']").prepare()
    values = hyper.space.defaults()
    model = hyper.network(values)
    assert model.get_layer("embedding").dropout == 0.1
    assert model.count_params() == hyper.parameters(values)
    assert abs(model.count_params() / 900 - 1) < 0.05


def test_a_text_has_no_joint_output(tmp_path, text):
    with pytest.raises(UserError, match="`output` must be 'independent' for 'characters', got"):
        read(tmp_path, BASE + "[settings]\noutput = 'nade'\n[space]\nnetwork = ['rnn']").prepare()


def test_a_text_is_never_trained_whole(tmp_path, text):
    space = "[space]\nbptt_steps = { kind = 'choice', values = [%s] }"
    read(tmp_path, BASE + space % "20, 50").prepare()
    with pytest.raises(UserError, match="`bptt_steps` must be a positive integer for text"):
        read(tmp_path, BASE + space % "20, 0").prepare()


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(UserError) as error:
        read(tmp_path, 'data = "jsb_choral"\ntrials = 1').prepare()
    assert str(error.value).startswith("`data` must be a data set (bach_chorales, jsb_chorales, ")
    assert str(error.value).endswith(f"got '{tmp_path}/jsb_choral'; did you mean 'jsb_chorales'?")
    with pytest.raises(
        UserError, match="`manual_dir` must be an existing folder, got '.*/nowhere'"
    ):
        read(tmp_path, 'data = "jsb_chorales"\ntrials = 1\nmanual_dir = "nowhere"').prepare()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (None, "`config` must have the keys name, data, project, space, settings, .*, got None"),
        ({}, "`config` must have the keys name, data, .*, got {}"),
        ({"gpus": 1}, "`config` must have the keys name, data, .*gpus"),
        ({"name": None}, "`name` must be a text, got None"),
        ({"seed": None}, "`seed` must be an integer from 0 to 2\\*\\*32 - 1, got None"),
        ({"settings": []}, r"`settings` must be a table, got \[\]"),
        ({"space": 3}, "`space` must be a table of hyperparameters, got 3"),
    ],
)
def test_configurations_of_something_else(change, line):
    config = change and {**Job("j", "d", "/p", paper_space(), trials=1).get_config(), **change}
    with pytest.raises(UserError, match=line):
        Job.from_config(config)


def test_a_space_must_be_one():
    with pytest.raises(UserError, match="`space` must be a SearchSpace, got {}"):
        Job("j", "d", "/p", {}, trials=1)


def test_reading_needs_no_keras_tuner(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    monkeypatch.delitem(sys.modules, "keras_deep_rnn.tuning.keras_tuner", raising=False)
    job = read(tmp_path, WHOLE)
    assert Job.from_config(job.get_config()) == job


# Numbers of few steps: a choice among a million values is long, not wrong.
PLAIN = st.sampled_from(
    [0, 1, 3, -2, 0.1, 0.5, 100, True, "", "default", "rnn", "dt_rnn", "srnn", "relu", "residual"]
)
ODD = st.one_of(
    st.sampled_from([float("inf"), float("nan"), 2**63, 10**400]),
    st.text(max_size=3),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC])),
)
VALUES = PLAIN | st.lists(PLAIN, max_size=3)
JUNK = st.recursive(
    ODD | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
TOP = ["objective", "tuner", "trials", "epochs", "max_minutes", "budget", "initial_points", "data"]
BELOW = [
    *(name for name in NETWORK_ARGUMENTS if name != "seed"), *DEPTHS, "deep_units", "network",
    "learning_rate", "batch_size", "patience", "weight_decay", "optimizer",
]  # fmt: skip
ENTRIES = st.fixed_dictionaries(
    {"kind": st.sampled_from(["choice", "int", "float", "boolean", "fixed", "none"])},
    optional={
        **dict.fromkeys(("low", "high", "value", "default", "log", "step"), VALUES),
        "values": st.lists(PLAIN, max_size=3),
        "when": st.dictionaries(st.sampled_from(BELOW), VALUES, min_size=1, max_size=1),
    },
)


def tables(known, values):
    return st.dictionaries(st.sampled_from(known), values, max_size=2)


@pytest.mark.slow
@pytest.mark.usefixtures("loaded")
@settings(deadline=None, max_examples=400)
@given(
    top=tables(TOP, PLAIN),
    fixed=tables(BELOW, VALUES),
    space=tables(BELOW, VALUES) | tables(BELOW, ENTRIES),
    junk=st.none() | st.none() | st.tuples(st.sampled_from(["top", "settings", "space"]), JUNK),
)
def test_junk_gives_a_job_or_one_line(top, fixed, space, junk):
    """Whatever values a TOML file can hold."""
    table = {"data": "bach_chorales", "trials": 2, **top, "settings": fixed, "space": space}
    if junk is not None:
        place, value = junk
        table.update({"seed" if place == "top" else place: value})
    try:
        job = Job(**arguments(pathlib.Path("/jobs/job.toml"), table))
        assert Job.from_config(json.loads(json.dumps(job.get_config(), allow_nan=False))) == job
        dataclasses.replace(job, data="bach_chorales").prepare()
    except UserError:
        pass


def test_the_documentation(tmp_path, loaded):
    """The job file of the documentation is one, and its table has all keys."""
    (example,) = re.findall(r"^```toml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    job, _ = read(tmp_path, example).prepare()
    assert set(names(job.space)) > {"network", "transition_depth"}
    documented = re.findall(r"^\| `(\w+)` \|", SECTION, re.MULTILINE)
    told = {field.name for field in dataclasses.fields(Job)} - {"name", "settings", "space"}
    assert set(documented) == told


@pytest.mark.parametrize("name", ["jsb-75k", "jsb-600k"])
def test_jobs_of_the_documentation(name):
    job = Job.read(DOCS.parent / "depth" / f"{name}.toml")
    assert job.size() >= 40
    assert list(job.space.names)[:2] == ["network", "input_depth"]


def test_the_job_of_the_readme(tmp_path):
    readme = (DOCS.parent.parent / "README.md").read_text()
    path = tmp_path / "job.toml"
    path.write_text(readme.split("```toml\n")[1].split("```")[0])
    assert Job.read(path).budget == 75_000

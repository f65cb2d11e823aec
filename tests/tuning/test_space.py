"""Search spaces: the same for Keras Tuner and for Optuna, only active values, clear errors."""

import json
import pickle
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deep_rnn import build_network
from keras_deep_rnn.training.config import NETWORK_ARGUMENTS, Settings
from keras_deep_rnn.training.networks import PAPER_NETWORKS
from keras_deep_rnn.tuning import Hyperparameter, SearchSpace, paper_space, settings_of
from keras_deep_rnn.utils.errors import UserError

keras_tuner = pytest.importorskip("keras_tuner")
optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.WARNING)

TOML = """
[space.network]
kind = "choice"
values = ["rnn", "dt_rnn", "srnn"]

[space.transition_depth]
kind = "int"
low = 1
high = 3
when = { network = "dt_rnn" }

[space.deep]
kind = "boolean"
default = true
when = { transition_depth = [2, 3] }

[space.learning_rate]
kind = "float"
low = 1e-4
high = 1e-2
log = true

[space.dropout]
kind = "float"
low = 0.0
high = 0.5
step = 0.1

[space.batch_size]
kind = "fixed"
value = 16
"""
SPACE = SearchSpace.from_config(tomllib.loads(TOML)["space"])


def hyperparameters_of(draw, name, earlier):
    kind = draw(st.sampled_from(("choice", "int", "float", "boolean", "fixed")))
    if kind == "choice":
        some = st.one_of(
            st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=4, unique=True),
            st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True),
            st.lists(st.floats(-9, 9, width=16), min_size=1, max_size=4, unique=True),
        )
        table = {"values": draw(some)}
    elif kind == "fixed":
        value = st.one_of(st.booleans(), st.integers(-9, 9), st.text(min_size=1, max_size=3))
        table = {"value": draw(value)}
    elif kind == "boolean":
        table = {"default": draw(st.booleans())}
    else:
        low, count = draw(st.integers(1, 9)), draw(st.integers(1, 6))
        how = draw(st.sampled_from(("step", "log", "plain")))
        step = draw(st.integers(1, 5))
        table = {"low": low, "high": low + count * step}
        if kind == "float":
            table = {"low": low / 10, "high": (low + count * step) / 10}
            step = step / 10
        if how != "plain":
            table[how] = step if how == "step" else True
    conditions = {}
    parents = [e for e in earlier if not isinstance(e.default, float) and not e.log]
    if parents and draw(st.booleans()):
        parent = draw(st.sampled_from(parents))
        choices = list(parent.choices)
        conditions[parent.name] = draw(
            st.lists(st.sampled_from(choices), min_size=1, max_size=len(choices), unique=True)
        )
    return Hyperparameter(name, kind, **table, when=conditions or None)


@st.composite
def spaces(draw):
    hyperparameters = []
    for i in range(draw(st.integers(1, 6))):
        hyperparameters.append(hyperparameters_of(draw, f"hyperparameter_{i}", hyperparameters))
    return SearchSpace(hyperparameters)


def from_keras_tuner(space, seed):
    """Values as a search gets them: drawn by an oracle, then declared again in `build`."""
    hp = keras_tuner.HyperParameters()
    space.sample_keras_tuner(hp)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "min"), max_trials=9, hyperparameters=hp, seed=seed
    )
    drawn = hp.copy()
    drawn.values = oracle.populate_space("0")["values"]
    values = space.sample_keras_tuner(drawn)
    assert drawn.values == values
    return values


def from_optuna(space, seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    values = space.sample_optuna(trial)
    assert space.active(trial.params) == values
    assert trial.distributions == space.to_optuna_distributions(values)
    return values


def check_active(space, values):
    """Exactly the active hyperparameters have a value, each in its range and of its type."""
    for hyperparameter in space:
        holds = all(
            values.get(name) in allowed for name, allowed in (hyperparameter.when or {}).items()
        )
        assert (hyperparameter.name in values) == holds
        if holds:
            value = values[hyperparameter.name]
            assert hyperparameter.canonical(value) == value
            assert type(value) is type(hyperparameter.default)
    assert space.active(values) == values
    assert list(values) == [name for name in space.names if name in values]


@settings(deadline=None, max_examples=60)
@given(space=spaces(), seed=st.integers(1, 999))
def test_both_samplers_give_the_active_values(space, seed):
    for sample in (from_keras_tuner, from_optuna):
        values = sample(space, seed)
        check_active(space, values)
        assert sample(space, seed) == values
        optuna.trial.create_trial(
            value=1.0, params=values, distributions=space.to_optuna_distributions(values)
        )
    check_active(space, space.defaults())


@settings(deadline=None, max_examples=60)
@given(space=spaces())
def test_a_space_is_its_configuration(space):
    again = SearchSpace.from_config(json.loads(json.dumps(space.get_config())))
    assert again == space
    assert again.get_config() == space.get_config()
    assert again.difference(space) == ""


@settings(deadline=None, max_examples=60)
@given(space=spaces(), seed=st.integers(1, 999))
def test_keras_tuner_may_go_to_both_ends_and_through_single_precision(space, seed):
    """Bayesian search visits the ends; a chief hands values out in single precision."""
    for end in (0.0, 1.0):
        hp = keras_tuner.HyperParameters()
        space.sample_keras_tuner(hp)
        hp.values = {}
        for parameter in hp.space:
            if hp.is_active(parameter):
                hp.values[parameter.name] = parameter.prob_to_value(end)
        check_active(space, space.sample_keras_tuner(hp))
    values = from_keras_tuner(space, seed)
    hp = keras_tuner.HyperParameters()
    hp.values = {
        name: float(np.float32(value)) if isinstance(value, float) else value
        for name, value in values.items()
    }
    received = space.sample_keras_tuner(hp)
    check_active(space, received)
    for name, value in values.items():
        if space[name].choices is not None:
            assert received[name] == value
        else:
            assert received[name] == pytest.approx(value, rel=1e-6)


def test_every_step_can_be_drawn():
    """0.5 // 0.1 is 4 in floats, which loses the last of the six values."""
    steps = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert SPACE["dropout"].choices == steps
    for sample in (from_keras_tuner, from_optuna):
        assert {sample(SPACE, seed)["dropout"] for seed in range(1, 150)} == set(steps)


def test_a_chain_of_conditions():
    values = {"network": "rnn", "transition_depth": 3, "deep": True, "learning_rate": 0.001,
              "dropout": 0.30000000000000004, "batch_size": 16, "tuner/epochs": 3}  # fmt: skip
    active = SPACE.active(values)
    assert active == {
        "network": "rnn", "learning_rate": 0.001, "dropout": 0.3, "batch_size": 16,
    }  # fmt: skip
    assert SPACE.summary(values) == ("network rnn, learning_rate 0.001, dropout 0.3, batch_size 16")
    assert list(SPACE.active({**values, "network": "dt_rnn"}))[:3] == [
        "network", "transition_depth", "deep",
    ]  # fmt: skip
    shallow = SPACE.active({**values, "network": "dt_rnn", "transition_depth": 1})
    assert "deep" not in shallow


def test_a_tuner_finds_every_hyperparameter(tmp_path):
    """Keras Tuner looks for conditional hyperparameters by building for every condition."""
    from keras_tuner.engine import base_tuner

    space = paper_space()

    class Tuner(base_tuner.BaseTuner):
        def run_trial(self, trial):
            return 0.0

    class Declares(keras_tuner.HyperModel):
        def build(self, hp):
            space.sample_keras_tuner(hp)

    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "min"), max_trials=1
    )
    tuner = Tuner(oracle, Declares(), directory=tmp_path)
    found = tuner.oracle.get_space().space
    assert tuple(parameter.name for parameter in found) == space.names


@pytest.mark.parametrize(
    ("hyperparameter", "line"),
    [
        ({"kind": "flaot"}, "`x` must have a kind among choice, int, float, boolean, fixed, got "
                            "'flaot'; did you mean 'float'?"),
        ({"kind": "choice"}, "`x` must have a non-empty list `values`, got None."),
        ({"kind": "choice", "values": []}, "`x` must have a non-empty list `values`, got []."),
        ({"kind": "choice", "values": ["a", 1]},
         "`x` must have `values` that are all strings or all numbers, got ['a', 1]."),
        ({"kind": "choice", "values": [1, 1]}, "`x` must have `values` that all differ, got"),
        ({"kind": "choice", "values": ["a"], "default": "b"}, "`x` must be 'a', got 'b'."),
        ({"kind": "int", "low": 3, "high": 1},
         "`x` must have `low` not above `high`, got low 3, high 1."),
        ({"kind": "float", "low": 0.1, "high": "a"},
         "`x` must have a finite number as `high`, got 'a'."),
        ({"kind": "int", "low": 0.5, "high": 1}, "`x` must have an integer as `low`, got 0.5."),
        ({"kind": "int", "high": 1}, "`x` must have an integer as `low`, got None."),
        ({"kind": "float", "low": 0, "high": float("inf")}, "finite number as `high`, got inf."),
        ({"kind": "int", "low": 1, "high": 6, "step": 2},
         "`x` must have a `step` above 0 that divides `high` - `low`, got step 2 from 1 to 6."),
        ({"kind": "float", "low": 0.0, "high": 0.5, "step": 0.2}, "got step 0.2 from 0.0 to 0.5."),
        ({"kind": "float", "low": 0.0, "high": 0.5, "step": 0}, "got step 0.0 from 0.0 to 0.5."),
        ({"kind": "float", "low": 0.0, "high": 1.0, "step": 1e-300},
         "`x` must have at most 10,000 steps from `low` to `high`, got step 1e-300 from 0.0 to"),
        ({"kind": "float", "low": 0.0, "high": 10_001, "step": 1}, "have at most 10,000 steps"),
        ({"kind": "float", "low": -1e308, "high": 1e308, "step": 1e-300}, "at most 10,000 steps"),
        ({"kind": "float", "low": 0.0, "high": 10**400, "step": 1},
         "`x` must have a finite number up to 2**53 as `high`, got 10000"),
        ({"kind": "int", "low": 0, "high": 2**53 + 1},
         "`x` must have an integer up to 2**53 as `high`, got 9007199254740993."),
        ({"kind": "fixed", "value": 10**400}, "`x` must have a `value`: a string, a number"),
        ({"kind": "choice", "values": [1, 10**400]}, "all strings or all numbers, got [1, 100"),
        ({"kind": "float", "low": 0.0, "high": 1.0, "default": 10**400}, "a number from 0.0 to"),
        ({"kind": "float", "low": 0.0, "high": 1.0, "log": True},
         "`x` must have `low` above 0 with `log`, got 0.0."),
        ({"kind": "int", "low": 1, "high": 8, "log": True, "step": 1},
         "`x` must have either `step` or `log`, got step 1 and log."),
        ({"kind": "float", "low": 1, "high": 2, "log": "yes"}, "true or false as `log`, got 'yes'"),
        ({"kind": "boolean", "low": 1}, "`x` must have no `low` as a boolean, got 1."),
        ({"kind": "fixed"}, "a string, a number, true or false, got None."),
        ({"kind": "boolean", "default": 1}, "`x` must be one of False, True, got 1."),
        ({"kind": "int", "low": 1, "high": 3, "default": 4},
         "`x` must be an integer from 1 to 3, got 4."),
        ({"kind": "int", "lo": 1, "high": 3}, "got 'lo'; did you mean 'low'?"),
        ({"low": 1, "high": 3}, "`x` must be a table with a `kind`, got"),
        ({"kind": "boolean", "when": {}}, "`x` must have a `when` that maps names to values"),
        ({"kind": "boolean", "when": {"first": []}}, "`x` must have a `when` with a value of"),
        ({"kind": "boolean", "when": {"frist": "a"}},
         "`x` must depend on an earlier hyperparameter, got 'frist'; did you mean 'first'?"),
        ({"kind": "boolean", "when": {"last": 1}},
         "`x` must depend on an earlier hyperparameter, got 'last'."),
        ({"kind": "boolean", "when": {"rate": 0.5}},
         "`x` must depend on a string, a boolean or an integer without `log`, got 'rate'."),
        ({"kind": "boolean", "when": {"first": "c"}},
         "`x` depends on a value out of range: `first` must be one of 'a', 'b', got 'c'."),
    ],
)  # fmt: skip
def test_bad_hyperparameters(hyperparameter, line):
    config = {
        "first": {"kind": "choice", "values": ["a", "b"]},
        "rate": {"kind": "float", "low": 0.1, "high": 1.0},
        "x": hyperparameter,
        "last": {"kind": "int", "low": 1, "high": 2},
    }
    with pytest.raises(UserError) as error:
        SearchSpace.from_config(config)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_most_steps():
    hyperparameter = Hyperparameter("x", "float", low=0.0, high=1.0, step=1e-4)
    assert len(hyperparameter.choices) == 10_001
    assert hyperparameter.choices[-2:] == (0.9999, 1.0)
    assert hyperparameter.choices is hyperparameter.choices  # made once
    assert hyperparameter.canonical(0.12340001) == 0.1234


def test_long_ranges_of_integers_are_not_searched_through():
    hyperparameter = Hyperparameter("x", "int", low=-(2**53), high=2**53, step=2, default=4.0)
    assert (hyperparameter.default, hyperparameter.canonical(float(2**53))) == (4, 2**53)
    for value in (5, 4.5, 1e300):
        with pytest.raises(UserError, match="`x` must be an integer from .* in steps of 2, got"):
            hyperparameter.canonical(value)


def test_bad_spaces_and_values():
    with pytest.raises(UserError, match="`a` must be the name of one hyperparameter, got two"):
        SearchSpace([Hyperparameter("a", "boolean"), Hyperparameter("a", "boolean")])
    with pytest.raises(UserError, match="`hyperparameters` must be a non-empty list, got an empty"):
        SearchSpace.from_config({})
    with pytest.raises(UserError, match="`space` must be a table of hyperparameters, got 3"):
        SearchSpace.from_config(3)
    with pytest.raises(UserError, match="`network` must be one of 'rnn', .*, got 'x'"):
        SPACE.active({"network": "x"})
    with pytest.raises(UserError, match="`transition_depth` must have a value, got none"):
        SPACE.active({"network": "dt_rnn"})


def test_a_changed_space_is_told_in_words():
    changed = SPACE.get_config()
    changed["transition_depth"]["high"] = 4
    changed["dropout"] = {"kind": "fixed", "value": 0.1}
    del changed["batch_size"]
    changed["units"] = {"kind": "int", "low": 8, "high": 64}
    del changed["deep"]["when"]
    assert SPACE.difference(SearchSpace.from_config(changed)) == (
        "`batch_size` is gone; `units` is new; `transition_depth`: high was 3, is 4; "
        "`deep`: when was {'transition_depth': [2, 3]}, is None; "
        "`dropout`: kind was float, is fixed; `dropout`: low was 0.0, is None; "
        "`dropout`: high was 0.5, is None; `dropout`: step was 0.1, is None; "
        "`dropout`: value was None, is 0.1"
    )
    config = SPACE.get_config()
    moved = {"batch_size": config.pop("batch_size"), **config}
    assert SPACE.difference(SearchSpace.from_config(moved)) == "the order of the hyperparameters"


def test_the_former_name_of_a_hyperparameter():
    """`Entry` is an alias: values made and pickled by either name are the same."""
    with pytest.warns(
        DeprecationWarning, match=r"is now `Hyperparameter`.* removed in 0\.3"
    ) as found:
        from keras_deep_rnn.tuning import Entry
    assert {warning.filename for warning in found} == {__file__}
    units = Hyperparameter("units", "int", low=8, high=64)
    assert isinstance(units, Entry)
    assert Entry("units", "int", low=8, high=64) == pickle.loads(pickle.dumps(units)) == units
    assert SearchSpace([Entry("units", "int", low=8, high=64)]) == SearchSpace([units])


def test_combinations():
    names = ("network", "transition_depth", "deep", "learning_rate", "units")
    assert SPACE.combinations(names) == [
        {"network": "rnn"},
        {"network": "dt_rnn", "transition_depth": 1},
        {"network": "dt_rnn", "transition_depth": 2, "deep": False},
        {"network": "dt_rnn", "transition_depth": 2, "deep": True},
        {"network": "dt_rnn", "transition_depth": 3, "deep": False},
        {"network": "dt_rnn", "transition_depth": 3, "deep": True},
        {"network": "srnn"},
    ]


@pytest.mark.slow
def test_the_ready_space_gives_settings_and_networks():
    space, seen = paper_space(), set()
    for seed in range(1, 40):
        values = from_optuna(space, seed)
        chosen = settings_of({**values, "units": 4})
        Settings("bach_chorales", **chosen)
        arguments = {name: chosen[name] for name in NETWORK_ARGUMENTS if name in chosen}
        model = build_network(chosen["network"], kind="piano_roll", features=5, **arguments)
        layer = model.get_layer("recurrent")
        for depth, widths in (
            ("input_depth", getattr(layer, "input_units", None)),
            ("transition_depth", getattr(layer, "transition_units", None)),
            ("output_depth", getattr(layer, "output_units", None)),
        ):
            assert widths == ((4,) * values[depth] if depth in values else None)
        assert (len(layer.cell.cells) if "levels" in values else None) == values.get("levels")
        seen.add(values["network"])
    assert seen == set(PAPER_NETWORKS)


def test_the_ready_space_takes_choices_ranges_single_values_and_none():
    space = paper_space(
        network="srnn", levels=3, units=None, dropout=None, clipnorm=1.0, batch_size=[4, 8]
    )
    assert list(space.get_config()) == [
        "network", "levels", "recurrent_dropout", "output_dropout", "learning_rate", "clipnorm",
        "batch_size",
    ]  # fmt: skip
    levels = {"kind": "fixed", "value": 3, "when": {"network": ["srnn"]}}
    assert space.get_config()["levels"] == levels
    gated = paper_space(network=["dt_lstm", "gru", "rhn"], units=None, depth=(1, 4))
    depth = {"kind": "int", "low": 1, "high": 4, "when": {"network": ["dt_lstm", "rhn"]}}
    assert gated.get_config()["depth"].items() >= depth.items()
    assert settings_of({"network": "rhn", "depth": 4, "units": 9})["depth"] == 4
    assert "depth" not in paper_space()
    for arguments, line in (
        ({"network": "fast_dropout_rnn"}, "`network` must be one of .*, got 'fast_dropout_rnn'"),
        ({"network": ["rnm"]}, "`network` must be one of .* did you mean 'rnn'"),
        ({"network": None}, "`network` must be a network or a list of networks, got None"),
        ({"units": (1, 2, 3)}, r"`units` must be a pair \(low, high\) or one value, got"),
        ({"dropout": (0.0, 0.25)}, "`dropout` must have a `step`"),
    ):
        with pytest.raises(UserError, match=line):
            paper_space(**arguments)


def test_a_space_needs_neither_keras_tuner_nor_optuna(monkeypatch):
    import sys

    for name in ("keras_tuner", "optuna"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "keras_deep_rnn.tuning.keras_tuner", raising=False)
    from keras_deep_rnn import tuning

    assert tuning.paper_space().defaults()["network"] == "rnn"
    monkeypatch.delattr(tuning, "hypermodel", raising=False)
    with pytest.raises(UserError, match=r"pip install 'keras-deep-rnn\[tuning\]'"):
        _ = tuning.HyperDeepRNN

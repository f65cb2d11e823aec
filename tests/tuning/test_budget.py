"""Parameter budgets: the closed form against built networks, and widths that meet a budget."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deep_rnn import build_network
from keras_deep_rnn.training.models import table_1_size
from keras_deep_rnn.training.networks import PAPER_NETWORKS, SEARCHED_NETWORKS, preset
from keras_deep_rnn.tuning import (
    Hyperparameter,
    SearchSpace,
    check_budget,
    count_parameters,
    paper_space,
    settings_of,
    units_for_budget,
)
from keras_deep_rnn.tuning.space.budget import STRUCTURE, TOLERANCE
from keras_deep_rnn.utils.errors import UserError

SPACE = paper_space(units=None, transition_depth=(1, 2), output_depth=(1, 2), levels=(2, 3))
STRUCTURES = SPACE.combinations(STRUCTURE)
READY = paper_space(units=None).combinations(STRUCTURE)
GATED = paper_space(network=["rhn", "dt_gru", "dt_lstm", "gru", "lstm"], units=None).combinations(
    STRUCTURE
)
SIZES = ("network", "units", "input_units", "transition_units", "output_units", "levels", "depth")


def built_size(sizes, kind="piano_roll", features=7):
    known = {n: sizes[n] for n in (*SIZES, "input_to", "skip", "tied") if n in sizes}
    return build_network(**known, kind=kind, features=features).count_params()


def named(values):
    return " ".join(str(value) for value in values.values())


def test_structures_cover_the_family():
    assert {values["network"] for values in STRUCTURES} == set(PAPER_NETWORKS)
    # three depths of three gated networks, and the two of depth 1
    assert len(GATED) == 3 * 3 + 2
    # rnn; 3 depths of the input; 2 of two transitions; 2 of the output; 2 x 2 of both; 2 stacks
    assert len(STRUCTURES) == 1 + 3 + 2 * 2 + 2 + 2 * 4 + 2


@pytest.mark.parametrize("values", [*STRUCTURES, *GATED], ids=named)
def test_count_is_that_of_the_built_network(values):
    sizes = settings_of({**values, "units": 5, "deep_units": 3})
    assert count_parameters(sizes, features=7) == built_size(sizes)


@pytest.mark.parametrize(
    "sizes",
    [
        *({"network": network, "units": 5} for network in SEARCHED_NETWORKS),
        {"network": "rhn", "units": 5, "depth": 3, "input_to": "all"},
        {"network": "dts_rnn", "units": 5, "transition_units": (4, 3), "input_to": "all"},
        {"network": "dot_rnn", "units": 5, "input_units": (6, 4), "input_to": "all"},
        {"network": "srnn", "units": 5, "levels": 3, "skip": "all_to_output"},
        {"network": "srnn", "units": 5, "levels": 3, "skip": "residual"},
    ],
    ids=str,
)
def test_count_with_what_is_not_given_and_other_options(sizes):
    assert count_parameters(sizes, features=7) == built_size(sizes)
    assert count_parameters(sizes, features=7) == built_size(sizes, kind="characters")


@pytest.mark.parametrize(
    "sizes",
    [
        {"network": "deep_input_rnn", "units": 5, "input_units": (6, 4)},
        {"network": "dots_rnn", "units": 5, "output_units": (4, 3), "input_to": "all"},
        {"network": "srnn", "units": 5, "levels": 3, "skip": "all_to_output"},
        {"network": "lstm", "units": 5},
    ],
    ids=str,
)
def test_count_with_tied_embeddings(sizes):
    """x is as wide as y, and its embedding is the kernel of the logits."""
    tied = {**sizes, "tied": True}
    assert count_parameters(tied, features=50) == built_size(tied, kind="words", features=50)
    widths = units_for_budget(tied, 9_000, features=50)
    found = count_parameters(settings_of({**tied, **widths}), features=50)
    assert abs(found / 9_000 - 1) < 0.05


def test_a_carried_state_is_no_parameter():
    sizes = {"network": "dot_rnn", "units": 5}
    model = build_network(**sizes, kind="characters", features=7, stateful=True, batch_size=2)
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert count_parameters(sizes, features=7) == trained


def test_table_1_is_met_where_biases_are_added():
    sizes = {"network": "dots_rnn", **preset("jsb_chorales", "dots_rnn")}
    model = build_network(**sizes, kind="piano_roll", features=88)
    biases = 400 + 400 + 400 + 88
    assert count_parameters(sizes, features=88) == table_1_size(model) + biases


@pytest.mark.parametrize("budget", [20_000, 75_000, 600_000, 5_000_000])
@pytest.mark.parametrize("features", [30, 50, 88])
def test_every_network_of_the_ready_space_meets_the_budget(budget, features):
    for values in READY:
        widths = units_for_budget(values, budget, features=features)
        count = count_parameters(settings_of({**values, **widths}), features=features)
        assert abs(count / budget - 1) <= TOLERANCE, values


@pytest.mark.parametrize("budget", [100_000, 600_000])
def test_gated_networks_meet_the_budget(budget):
    """The deeper, the narrower; the width is what comes nearest."""
    for values in GATED:
        widths = units_for_budget(values, budget, features=88)
        assert set(widths) == {"units"}
        near = [
            abs(count_parameters({**values, "units": widths["units"] + step}, features=88) - budget)
            for step in (-1, 0, 1)
        ]
        assert min(near) == near[1] <= TOLERANCE * budget, values
    for network in ("rhn", "dt_gru", "dt_lstm"):
        found = [
            units_for_budget({"network": network, "depth": depth}, budget, features=88)["units"]
            for depth in (1, 2, 3)
        ]
        assert found == sorted(set(found), reverse=True)


def test_tiny_budgets():
    """Where one more unit is several per cent, layers of their own width help, else the nearest."""
    for values in READY:
        widths = units_for_budget(values, 5_000, features=88)
        count = count_parameters(settings_of({**values, **widths}), features=88)
        if values["network"] == "srnn":
            others = [
                count_parameters({**values, "units": widths["units"] + step}, features=88)
                for step in (-1, 1)
            ]
            assert abs(count - 5_000) <= min(abs(other - 5_000) for other in others)
        else:
            assert abs(count / 5_000 - 1) <= TOLERANCE, values


@pytest.mark.parametrize("values", READY[:: len(READY) // 6], ids=named)
@pytest.mark.parametrize("budget", [5_000, 75_000])
def test_the_built_network_has_the_size_that_was_solved(values, budget):
    sizes = settings_of({**values, **units_for_budget(values, budget, features=88)})
    assert built_size(sizes, features=88) == count_parameters(sizes, features=88)


@settings(deadline=None, max_examples=50)
@given(
    values=st.sampled_from(READY), budget=st.integers(30_000, 10**8), features=st.integers(2, 100)
)
def test_any_budget_is_met(values, budget, features):
    widths = units_for_budget(values, budget, features=features)
    count = count_parameters(settings_of({**values, **widths}), features=features)
    assert abs(count / budget - 1) <= TOLERANCE
    assert 0.7 < widths.get("deep_units", widths["units"]) / widths["units"] < 1.4


def test_an_output_of_the_users_own_counts():
    values = {"network": "do_rnn", "output_depth": 2}
    own = {"features": 3, "outputs": lambda width: 4 * (width + 1)}
    dense = {"features": 3, "outputs": 4}
    assert units_for_budget(values, 9_000, **own) == units_for_budget(values, 9_000, **dense)


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        (500, "`budget` must be within 5% of a size that the network can have: network rnn, 88 "
              "features and 2 units have 446 parameters, got 500."),
        (0, "`budget` must be a positive integer, got 0."),
    ],
)  # fmt: skip
def test_budgets_that_cannot_be_met(budget, line):
    with pytest.raises(UserError) as error:
        units_for_budget({"network": "rnn"}, budget, features=88)
    assert str(error.value) == line


def test_a_space_is_checked_before_its_first_trial():
    check_budget(SPACE, 75_000, features=88)
    with pytest.raises(UserError, match="network rnn, 10000 features and 1 units have"):
        check_budget(SPACE, 5_000, features=10_000)
    with pytest.raises(
        UserError, match="`units` must be left out of the s.*: the budget decides it"
    ):
        check_budget(paper_space(), 75_000, features=88)
    depth = SearchSpace([Hyperparameter("transition_depth", "int", low=1, high=3)])
    check_budget(depth, 75_000, features=88, fixed={"network": "dts_rnn"})

"""Drawings of networks: their boxes and arrows."""

import itertools

import pytest

from keras_deep_rnn import DeepRNN, DeepTransitionRNNCell, StackedRNN
from keras_deep_rnn.training import plots
from keras_deep_rnn.training.inspection.drawing import draw_network, plan_of
from keras_deep_rnn.training.inspection.structure import structure_of_layer, structure_of_network
from keras_deep_rnn.training.models import recurrent_layer
from keras_deep_rnn.training.networks import NETWORKS


def arrows(structure):
    return {(arrow.start, arrow.end) for arrow in plan_of(structure).arrows}


def test_boxes_and_arrows_of_a_dots_rnn():
    sizes = {"units": 8, "transition_units": (7, 6), "output_units": (5,), "input_units": (4,)}
    structure = structure_of_network("dots_rnn", {**sizes, "features": 3, "outputs": 2})
    boxes = plan_of(structure).boxes
    assert {name: box.size for name, box in boxes.items()} == {
        "before": 8, "a_1": 7, "a_2": 6, "h": 8, "o_1": 5, "y": 2, "x": 3, "z_1": 4,
    }  # fmt: skip
    assert len({(box.x, box.y) for box in boxes.values()}) == len(boxes)
    path = ["before", "a_1", "a_2", "h", "o_1", "y"]
    assert arrows(structure) == {
        *itertools.pairwise(path), ("before", "a_2"), ("before", "h"), ("x", "z_1"),
        ("z_1", "a_1"),
    }  # fmt: skip


def test_input_to_all_and_skips():
    structure = structure_of_network("dt_rnn", {"units": 8, "input_to": "all"})
    assert {("x", "a_1"), ("x", "h")} <= arrows(structure)
    sizes = {"units": (4, 5, 6)}
    plain = arrows(structure_of_network("srnn", sizes))
    all_to_output = arrows(structure_of_network("srnn", {**sizes, "skip": "all_to_output"}))
    assert all_to_output - plain == {("h_1", "y"), ("h_2", "y")}
    residual = arrows(structure_of_network("srnn", {**sizes, "skip": "residual"}))
    assert residual - plain == {("h_1", "h_3"), ("h_2", "y")}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_layer_is_drawn_as_its_name(network):
    layer = recurrent_layer(network, units=4)
    layer.build((None, None, 3))
    structure = structure_of_layer(layer, outputs=2)
    assert structure == structure_of_network(network, {"units": 4, "features": 3, "outputs": 2})
    axes = plots.figure_of(3, 3).add_subplot()
    draw_network(axes, network, {"units": 4})
    plan = plan_of(structure)
    assert len(axes.patches) == len(plan.boxes) + len(plan.arrows)


def test_operators_of_ones_own():
    import keras

    x, h = keras.Input((6,)), keras.Input((4,))
    plus = keras.Model([x, h], keras.layers.Dense(4)(keras.layers.Concatenate()([x, h])))
    layer = DeepRNN(plus, state_size=4)
    layer.build((None, None, 6))
    assert structure_of_layer(layer).title == "⊕ is a Functional"
    stack = StackedRNN([DeepTransitionRNNCell(5), keras.layers.LSTMCell(3)])
    stack.build((None, None, 6))
    assert structure_of_layer(stack).units == (5, 3)


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("dots_rn", {"units": 3}, "did you mean 'dots_rnn'"),
        ("rnn", {}, "`sizes` must have `units`"),
        ("rnn", {"units": (3, 4)}, "`levels` must be left out for 'rnn'"),
        ("rnn", {"units": 3, "depth": 2}, "`depth` must be left out for 'rnn'"),
    ],
)
def test_mistakes(kind, sizes, message):
    with pytest.raises(ValueError, match=message):
        structure_of_network(kind, sizes)

"""Bad input gets one line that names the argument, what was expected and what came."""

import keras
import numpy as np
import pytest
from descriptors import D, H

import keras_deep_rnn as kdr
from keras_deep_rnn.utils.errors import UserError

X = np.zeros((2, 4, D), "float32")

CASES = [
    (lambda: kdr.DeepTransitionRNN(0), "`units` must be a positive integer, got 0."),
    (lambda: kdr.DeepTransitionRNN("4"), "`units` must be a positive integer, got '4'."),
    (lambda: kdr.DeepTransitionRNN(True), "`units` must be a positive integer, got True."),
    (
        lambda: kdr.DeepOutputTransitionRNN(H, transition_units=(), output_units=(4,)),
        "`transition_units` must be a non-empty sequence of positive integers, "
        "such as (400,), got ().",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, transition_units=400),
        "`transition_units` must be a non-empty sequence of positive integers, "
        "such as (400,), got 400.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, intermediate_activation="relu"),
        "`intermediate_activation` must be None without `transition_units`, got 'relu'.",
    ),
    (
        lambda: kdr.StackedRNN(
            cells=[kdr.DeepTransitionRNNCell(H)], intermediate_activation="relu"
        ),
        "`intermediate_activation` can be given with `units` only: "
        "each of the `cells` has its own options.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, transition_units=(4, -1)),
        "`transition_units[1]` must be a positive integer, got -1.",
    ),
    (
        lambda: kdr.DeepInputRNN(H, input_units=None),
        "`input_units` must be a non-empty sequence of positive integers, "
        "such as (400,), got None.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, dropout=1.5),
        "`dropout` must be a number of at least 0 and below 1, got 1.5.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, recurrent_dropout=float("nan")),
        "`recurrent_dropout` must be a number of at least 0 and below 1, got nan.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, activation="tahn"),
        "`activation` must be an activation of Keras, got 'tahn'; did you mean 'tanh'?",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, recurrent_initializer="ortogonal"),
        "`recurrent_initializer` must be an initializer of Keras, got 'ortogonal'; "
        "did you mean 'orthogonal'?",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, activation=3),
        "`activation` must be a name or a callable, got 3.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, input_to="al"),
        "`input_to` must be one of 'first', 'all', got 'al'; did you mean 'all'?",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, shortcut="yes"),
        "`shortcut` must be True or False, got 'yes'.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, return_sequences="yes"),
        "`return_sequences` must be True or False, got 'yes'.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, seed=-1),
        "`seed` must be an integer from 0 to 2**32 - 1, or None, got -1.",
    ),
    (
        lambda: kdr.DeepRNN("plus"),
        "`plus` must be a Keras layer, got 'plus'.",
    ),
    (
        lambda: kdr.DeepRNN(keras.layers.Add()),
        "`state_size` must be given where `plus` has neither `state_size` nor `units`, got Add.",
    ),
    (
        lambda: kdr.DeepRNN(keras.layers.Concatenate(), state_size=H)(X),
        "`plus` must give the shape of h, (B, 5), got (None, 8).",
    ),
    (
        lambda: kdr.StackedRNN(),
        "give either `units`, the width of each level, or `cells`, a list of cells; "
        "got cells=None, units=None.",
    ),
    (
        lambda: kdr.StackedRNN([keras.layers.Dense(3)]),
        "`cells` must be a non-empty list of recurrent cells, got [<Dense",
    ),
    (
        lambda: kdr.StackedRNN([kdr.DeepTransitionRNNCell(H)], activation="relu"),
        "`activation` can be given with `units` only: each of the `cells` has its own options.",
    ),
    (
        lambda: kdr.StackedRNN([kdr.DeepTransitionRNNCell(H)], input_to="all"),
        "`input_to` can be given with `units` only: each of the `cells` has its own options.",
    ),
    (
        lambda: kdr.StackedRNN(units=(4, 5), skip="residual")(X),
        "`skip='residual'` needs levels of equal width, got 4 below and 5 at level 2.",
    ),
    (
        lambda: kdr.StackedRNN(units=(4, 5), skip="both"),
        "`skip` must be one of None, 'residual', 'all_to_output', got 'both'.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(None),
        "`sequences` must have shape (B, T, D), got ().",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X, reset=np.zeros((3, 1))),
        "`reset` must have shape (B, 1) or (B,), B = 2, got (3, 1).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, unitz=3),
        "`unitz` is no argument of DeepTransitionRNN; did you mean 'units'?",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X[0]),
        "`sequences` must have shape (B, T, D), got (4, 3).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X[:, :0]),
        "`sequences` must have at least one time step, got shape (2, 0, 3).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X, mask=np.ones((2, 3), bool)),
        "`mask` must have shape (B, T) = (2, 4), got (2, 3).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X, mask=np.ones((2, 4, D), bool)),
        "`mask` must have shape (B, T) = (2, 4), got (2, 4, 3).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X, initial_state=np.zeros((2, 4))),
        "`initial_state` must have shape (B, H) = (2, 5), got (2, 4).",
    ),
    (
        lambda: kdr.StackedRNN(units=(4, 5))(X, initial_state=[np.zeros((2, 4))]),
        "`initial_state` must have 2 tensor(s), got 1.",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, stateful=True)(keras.Input((4, D))),
        "`stateful=True` needs a known batch size: give the model's input a `batch_size`, "
        "got a shape of (None, 4, 3).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H, unroll=True)(keras.Input((None, D))),
        "`unroll=True` needs a known number of time steps: give it in the model's input, "
        "got a shape of (None, None, 3).",
    ),
    (
        lambda: kdr.build_network("dots_rn", kind="piano_roll", features=88, units=4),
        "`network` must be one of 'rnn', 'deep_input_rnn', 'dt_rnn', 'dts_rnn', 'do_rnn', "
        "'dot_rnn', 'dots_rnn', 'srnn', 'fast_dropout_rnn', 'rhn', 'dt_gru', 'dt_lstm', 'gru', "
        "'lstm', got 'dots_rn'; did you mean 'dots_rnn'?",
    ),
    (
        lambda: kdr.build_network(
            "rnn", kind="piano_roll", features=88, units=4, transition_units=(4,)
        ),
        "`transition_units` must be left out for 'rnn', which has none, got (4,).",
    ),
    (
        lambda: kdr.build_network("srnn", kind="words", features=88, units=4, input_to="all"),
        "`input_to` must be left out for 'srnn', got 'all'.",
    ),
    (
        lambda: kdr.build_network("rnn", kind="words", features=88, units=4, skip="residual"),
        "`skip` must be left out for 'rnn', which has no levels, got 'residual'.",
    ),
    (
        lambda: kdr.build_network("rnn", kind="music", features=88, units=4),
        "`kind` must be one of 'piano_roll', 'characters', 'words', got 'music'.",
    ),
    (
        lambda: kdr.preset("jsb_chorale", "rnn"),
        "Table 1 has no network 'rnn' for the task 'jsb_chorale'; did you mean 'jsb_chorales rnn'?",
    ),
]


def called_built(layer, x, **arguments):
    layer.build((None, None, D))
    return layer(x, **arguments)


CASES += [
    (
        lambda: called_built(kdr.DeepTransitionRNN(H), np.zeros((2, 4, D + 1))),
        f"`sequences` must have D = {D} features, got (2, 4, {D + 1}).",
    ),
    (
        lambda: kdr.DeepTransitionRNN(H)(X, reset=True),
        "`reset` must have shape (B, 1) or (B,), B = 2, got ().",
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_one_clear_line(case):
    call, message = CASES[case]
    with pytest.raises(UserError) as error:
        call()
    line = str(error.value)
    assert line.startswith(message) if message.endswith("<Dense") else line == message


def test_a_missing_argument_is_named():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'units'"):
        kdr.DeepTransitionRNN()

"""The interface of Keras's recurrent layers."""

import inspect

import keras
import numpy as np
import pytest
from descriptors import BY_NAME, EVERY, D, H, first_states, randomize, sequences, to_numpy

import keras_deep_rnn as kdr

BACKEND = keras.backend.backend()
MASK = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]], bool)


def built(network, features=D, **options):
    layer = network.make_layer(**options)
    layer.build((3, 6, features))
    randomize(layer)
    return layer


def same(a, b, atol=1e-6):
    for left, right in zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True):
        np.testing.assert_allclose(to_numpy(left), to_numpy(right), atol=atol)


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("start", [False, True], ids=["", "initial_state"])
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
def test_equals_simple_rnn(backwards, start, masked):
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    ours, keras_own = kdr.DeepTransitionRNN(H, **options), keras.layers.SimpleRNN(H, **options)
    x = sequences()
    ours.build(x.shape)
    keras_own.build(x.shape)
    randomize(ours)
    keras_own.set_weights(ours.get_weights())
    mask = MASK if masked else None
    if BACKEND == "jax" and masked and start:
        mask = np.roll(MASK, 2, axis=1) | np.array([1, 0, 0, 0, 0, 1], bool)
    states = first_states(ours)[0] if start else None
    same(ours(x, mask=mask, initial_state=states), keras_own(x, mask=mask, initial_state=states))


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(network, side):
    """A padded batch equals its sequences run alone."""
    layer = built(network, return_sequences=True, return_state=True)
    rows = [sequences(1, steps, seed=steps)[0] for steps in (2, 6, 4)]
    x, mask = np.full((3, 6, D), 9.0, "float32"), np.zeros((3, 6), bool)
    for i, row in enumerate(rows):
        where = slice(6 - len(row), 6) if side == "left" else slice(0, len(row))
        x[i, where], mask[i, where] = row, True
    y, *states = layer(x, mask=mask)
    for i, row in enumerate(rows):
        alone, *own_states = layer(row[None])
        same(to_numpy(y)[i][mask[i]], alone[0], 1e-5)
        same([state[i] for state in states], [state[0] for state in own_states], 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_cut_sequence_with_explicit_state(network):
    layer = built(network, return_sequences=True, return_state=True)
    x = sequences()
    y, *states = layer(x)
    first, *carried = layer(x[:, :2])
    second, *last = layer(x[:, 2:], initial_state=carried)
    same([np.concatenate([to_numpy(first), to_numpy(second)], axis=1), *last], [y, *states], 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_cut_sequence_stateful(network):
    """Through `predict`, whose JAX version keeps only the variables that Keras tracks."""
    if network.arguments.get("learn_initial_state"):
        pytest.skip("a learned first state is carried from no batch to the next")
    x = sequences()
    whole = built(network, return_sequences=True)
    inputs = keras.Input((None, D), batch_size=3)
    layer = network.make_layer(return_sequences=True, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights(whole.get_weights())
    pieces = [model.predict(x[:, cut], verbose=0, batch_size=3) for cut in (slice(2), slice(2, 6))]
    same(np.concatenate(pieces, axis=1), whole(x), 1e-5)
    layer.reset_state()
    same(model.predict(x, verbose=0, batch_size=3), whole(x), 1e-5)


def test_stateful_training_carries_state():
    inputs = keras.Input((None, D), batch_size=3)
    layer = kdr.DeepTransitionRNN(H, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = sequences()
    model.fit(x, np.zeros((3, H)), batch_size=3, epochs=2, shuffle=False, verbose=0)
    twice = kdr.DeepTransitionRNN(H)
    twice.build(x.shape)
    twice.set_weights(layer.get_weights())
    same(layer.states[0], twice(np.concatenate([x, x], axis=1)), 1e-5)


def test_reset_starts_chosen_rows_anew():
    layer = built(BY_NAME["rnn"], return_sequences=True)
    x, states = sequences(), first_states(built(BY_NAME["rnn"]))
    reset = np.array([[1], [0], [1]])
    states_after = [s * (1 - reset) for s in states]
    same(
        layer(x, initial_state=states, reset=reset),
        layer(x, initial_state=[s.astype("float32") for s in states_after]),
    )
    states[0][0] = np.inf
    assert np.isfinite(to_numpy(layer(x, initial_state=states, reset=reset))).all()


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_shapes_are_known_beforehand(network):
    for flags in ({}, {"return_sequences": True}, {"return_state_sequences": True}):
        layer = network.make_layer(return_state=True, **flags)
        inputs = keras.Input((6, D), batch_size=3)
        symbolic = [tuple(t.shape) for t in layer(inputs)]
        real = [tuple(t.shape) for t in layer(sequences())]
        assert symbolic == real == list(layer.compute_output_shape((3, 6, D)))


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_bidirectional(network):
    wrapper = keras.layers.Bidirectional(network.make_layer(return_sequences=True))
    x = sequences()
    y = to_numpy(wrapper(x, mask=MASK))
    forward = wrapper.forward_layer(x, mask=MASK)
    backward = np.flip(to_numpy(wrapper.backward_layer(x, mask=MASK)), axis=1)
    same(y, np.concatenate([to_numpy(forward), backward], axis=-1))


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_bidirectional_with_states(network):
    wrapper = keras.layers.Bidirectional(network.make_layer(return_state=True))
    x = sequences()
    states = [s for seed in (2, 3) for s in first_states(built(network), seed=seed)]
    y, *last = wrapper(x, initial_state=states)
    half = len(states) // 2
    forward, *forward_states = wrapper.forward_layer(x, initial_state=states[:half])
    backward, *backward_states = wrapper.backward_layer(x, initial_state=states[half:])
    same(y, np.concatenate([to_numpy(forward), to_numpy(backward)], axis=-1))
    same(last, [*forward_states, *backward_states])


def test_operators_of_the_users_own_class():
    """A subclass is called, and a ▷ need not know its shape beforehand."""

    class Doubled(kdr.Plus):
        def call(self, inputs):
            return 2 * super().call(inputs)

    class Squared(keras.layers.Layer):
        def call(self, h):
            return keras.ops.concatenate([h, h**2], axis=-1)

    inputs = keras.Input((None, D))
    layer = kdr.DeepRNN(Doubled(H), Squared(), return_sequences=True)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 2 * H)
    rnn = keras.layers.RNN(layer.cell, return_sequences=True)
    same(model(sequences()), rnn(sequences()), 1e-5)


def test_operator_that_draws_random_numbers():
    x_in, h_in = keras.Input((D,)), keras.Input((H,))
    joined = keras.layers.Dropout(0.5, seed=1)(keras.layers.Concatenate()([x_in, h_in]))
    plus = keras.Model([x_in, h_in], keras.layers.Dense(H, "tanh")(joined))
    layer = kdr.DeepRNN(plus, state_size=H)
    model = keras.Sequential([keras.Input((6, D)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(sequences(), np.zeros((3, 1))))


def test_activation_that_counts_axes():
    """`PReLU` learns one slope for each unit, also where it sees a whole sequence."""
    layer = kdr.DeepOutputTransitionRNN(
        H,
        transition_units=(4,),
        output_units=(7,),
        input_units=(6,),
        activation=keras.layers.PReLU(alpha_initializer="random_normal"),
        return_sequences=True,
    )
    x = sequences()
    y = layer(x)
    assert [w.shape for w in layer.weights if len(w.shape) == 1 and "alpha" in w.path] == [
        (6,),
        (4,),
        (H,),
        (7,),
    ]
    same(y, keras.layers.RNN(layer.cell, return_sequences=True)(x), 1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="a method of torch.nn.Module")
def test_torch_module():
    layer = built(BY_NAME["rnn"])
    parameters = {id(parameter) for parameter in layer.parameters()}
    assert {id(weight.value) for weight in layer.weights} <= parameters


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_time_distributed(network):
    wrapper = keras.layers.TimeDistributed(network.make_layer())
    x = np.stack([sequences(seed=1), sequences(seed=2)], axis=1)
    y = to_numpy(wrapper(x))
    same(y[:, 1], wrapper.layer(x[:, 1]))


def test_sequential_with_masking():
    model = keras.Sequential(
        [
            keras.layers.Masking(),
            kdr.DeepOutputTransitionRNN(
                H, transition_units=(4,), output_units=(7,), return_sequences=True
            ),
            kdr.StackedRNN(units=(4, 4)),
            keras.layers.Dense(1),
        ]
    )
    x = sequences()
    x[1, 3:] = 0
    cut = model(x[1:2, :3])
    same(model(x)[1:2], cut, 1e-5)


def test_the_mask_of_a_sequence_that_is_read_backwards():
    """It is turned round with the outputs, so that the next layer reads what is no padding."""
    x = sequences()
    x[:, 3:] = 0
    backwards = {"return_sequences": True, "go_backwards": True, "zero_output_for_mask": True}
    model = keras.Sequential(
        [keras.layers.Masking(), kdr.DeepTransitionRNN(H, **backwards), kdr.DeepTransitionRNN(4)]
    )
    same(model(x), model(x[:, :3]), 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: kdr.StackedRNN([kdr.DeepTransitionLSTMCell(3), kdr.DeepTransitionRNNCell(4)],
                                     return_sequences=True, return_state=True, dtype=dtype),
        lambda dtype: kdr.DeepRNN(kdr.Plus(3), return_sequences=True, return_state=True,
                                  dtype=dtype),
        lambda dtype: kdr.DeepRNN(kdr.DeepTransitionRNNCell(3, transition_units=(4,)),
                                  return_sequences=True, return_state=True, dtype=dtype),
        lambda dtype: kdr.StackedRNN([kdr.DeepTransitionRNNCell(3, dtype="mixed_bfloat16"),
                                      kdr.DeepTransitionRNNCell(4)],
                                     return_sequences=True, return_state=True, dtype=dtype),
    ],
)  # fmt: skip
def test_cells_of_another_dtype(make, dtype):
    layer = make(dtype)
    results = layer(sequences())
    named = {keras.backend.standardize_dtype(result.dtype) for result in results}
    assert named == {layer.compute_dtype}
    symbolic = layer(keras.Input((6, D)))
    assert [tuple(s.shape)[1:] for s in symbolic] == [tuple(r.shape)[1:] for r in results]
    assert all(np.isfinite(to_numpy(keras.ops.cast(r, "float32"))).all() for r in results)


def test_an_option_is_set_where_it_is_read():
    layer = kdr.DeepTransitionRNN(H, dropout=0.5, recurrent_dropout=0.5, seed=1)
    layer.dropout = layer.recurrent_dropout = 0.0
    assert (layer.dropout, layer.cell.dropout, layer.get_config()["dropout"]) == (0.0, 0.0, 0.0)
    x = sequences()
    same(layer(x, training=True), layer(x))


def test_what_keras_takes_too():
    """Classes of initializers, and objects by name in `from_config`."""
    layer = kdr.DeepTransitionRNN(H, kernel_initializer=keras.initializers.HeNormal)
    layer.build((None, None, D))
    assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)

    def swish(z):
        return z * keras.ops.sigmoid(z)

    config = kdr.DeepTransitionRNN(H, activation=swish).get_config()
    again = kdr.DeepTransitionRNN.from_config(config, custom_objects={"swish": swish})
    assert again.activation is swish


def test_user_operators():
    """Any Keras layer can be ⊕ or ▷; here ⊕ is a functional model, ▷ a `Sequential`."""
    x_in, h_in = keras.Input((D,)), keras.Input((H,))
    joined = keras.layers.Concatenate()([x_in, h_in])
    plus = keras.Model([x_in, h_in], keras.layers.Dense(H, "tanh")(joined))
    predict = keras.Sequential([keras.layers.Dense(7, "relu"), keras.layers.LayerNormalization()])
    layer = kdr.DeepRNN(plus, predict, state_size=H, return_sequences=True, return_state=True)
    x, h = sequences(), np.zeros((3, H), "float32")
    y, last = layer(x)
    for t in range(6):
        h = plus([keras.ops.convert_to_tensor(x[:, t]), keras.ops.convert_to_tensor(h)])
        same(y[:, t], predict(h), 1e-5)
    same(last, h, 1e-5)


def test_layers_of_keras_as_operators_and_levels():
    layer = kdr.DeepRNN(keras.layers.Add(), state_size=D)
    x = sequences()
    same(layer(x), x.sum(axis=1), 1e-5)

    stack = kdr.StackedRNN(
        [keras.layers.LSTMCell(4), kdr.DeepTransitionRNNCell(H), keras.layers.GRUCell(3)],
        return_sequences=True,
    )
    keras_own = keras.layers.RNN(
        keras.layers.StackedRNNCells(stack.cell.cells), return_sequences=True
    )
    same(stack(x), keras_own(x), 1e-5)
    assert stack.state_size == [4, 4, H, 3]
    # Keras's loop on JAX cannot mask an output that is not the first state.
    if BACKEND != "jax":
        same(stack(x, mask=MASK), keras_own(x, mask=MASK), 1e-5)


@pytest.mark.parametrize("network", EVERY, ids=str)
def test_arguments_are_attributes_and_documented(network):
    layer = network.make_layer()
    documented = network.layer.__doc__ + kdr.DeepRNN.__doc__ + kdr.Plus.__doc__
    for name in network.layer.arguments():
        assert name in documented, name
        if network.layer is not kdr.StackedRNN:
            assert hasattr(layer, name), name
    for name, parameter in inspect.signature(network.layer).parameters.items():
        if parameter.kind != parameter.VAR_KEYWORD:
            assert name in network.layer.__doc__, name
    for name, value in network.arguments.items():
        if network.layer is kdr.StackedRNN and name not in ("units", "skip"):
            continue  # options of the levels, or the levels, made anew for each layer
        if name == "normalization":
            continue  # a name that stands for a layer
        if network.layer is kdr.DeepRNN:
            continue  # operators, made anew for each layer
        assert getattr(getattr(layer, name), "__name__", getattr(layer, name)) == value


def test_public_names():
    assert set(kdr.__all__) == {
        "Affine",
        "Operator",
        "DeepTransitionGRU",
        "DeepTransitionGRUCell",
        "DeepTransitionLSTM",
        "DeepTransitionLSTMCell",
        "RecurrentHighway",
        "RecurrentHighwayCell",
        "DeepInputRNN",
        "DeepInputRNNCell",
        "DeepOutputRNN",
        "DeepOutputRNNCell",
        "DeepOutputTransitionRNN",
        "DeepOutputTransitionRNNCell",
        "DeepRNN",
        "DeepRNNCell",
        "DeepTransitionRNN",
        "DeepTransitionRNNCell",
        "FastDropoutDense",
        "FastDropoutRNN",
        "FastDropoutRNNCell",
        "ClippedMomentum",
        "HoldCosineDecay",
        "InverseDecay",
        "LpUnit",
        "Maxout",
        "NADE",
        "Plus",
        "Predict",
        "SparseInitializer",
        "StackedRNN",
        "StackedRNNCell",
        "TiedEmbedding",
        "WeightNoise",
        "build_network",
        "inspect",
        "load",
        "preset",
        "save",
        "trained",
    }


def test_order_of_weights():
    layer = kdr.DeepOutputTransitionRNN(
        5,
        transition_units=(4,),
        output_units=(7,),
        input_units=(6,),
        shortcut=True,
        input_to="all",
    )
    layer.build((None, None, 3))
    names = [w.path.split("/", 2)[-1] for w in layer.weights]
    plus, predict = layer.cell.plus.name, layer.cell.predict.name
    assert names == [
        f"{plus}/deep_input_to_hidden_1",
        f"{plus}/deep_input_bias_1",
        f"{plus}/input_to_hidden_1",
        f"{plus}/hidden_to_hidden_1",
        f"{plus}/bias_1",
        f"{plus}/input_to_hidden_2",
        f"{plus}/hidden_to_hidden_2",
        f"{plus}/shortcut_2",
        f"{plus}/bias_2",
        f"{predict}/hidden_to_output_1",
        f"{predict}/bias_1",
    ]


def test_no_two_weights_start_equal():
    layer = kdr.StackedRNN(
        units=(4, 4),
        transition_units=(4, 4),
        shortcut=True,
        recurrent_initializer=keras.initializers.Orthogonal(seed=1),
        kernel_initializer=keras.initializers.GlorotUniform(seed=1),
    )
    layer.build((None, None, 4))
    kernels = [w.numpy() for w in layer.weights if len(w.shape) == 2]
    for i, kernel in enumerate(kernels):
        for other in kernels[:i]:
            assert not np.allclose(kernel, other)


def test_paths_into_a_layer_keep_the_gain_of_one():
    layer = kdr.DeepTransitionRNN(30, transition_units=(30,), shortcut=True)
    layer.build((None, None, 4))
    by_name = {w.path.rsplit("/", 1)[-1]: w.numpy() for w in layer.weights}
    for name, gain in (("hidden_to_hidden_1", 1), ("hidden_to_hidden_2", 0.5), ("shortcut_2", 0.5)):
        kernel = by_name[name]
        same(kernel @ kernel.T, gain * np.eye(30), 1e-5)


def test_regularizers_and_constraints_reach_the_weights():
    layer = kdr.DeepOutputTransitionRNN(
        5,
        transition_units=(4,),
        output_units=(7,),
        kernel_regularizer=keras.regularizers.L2(1.0),
        recurrent_constraint=keras.constraints.MaxNorm(0.1),
        bias_constraint=keras.constraints.NonNeg(),
    )
    layer.build((None, None, 3))
    kernels = [w for w in layer.weights if w.regularizer]
    assert [w.path.rsplit("/", 1)[-1] for w in kernels] == [
        "input_to_hidden_1",
        "hidden_to_output_1",
    ]
    same(sum(layer.losses), sum((w.numpy() ** 2).sum() for w in kernels), 1e-4)
    assert {w.path.rsplit("/", 1)[-1] for w in layer.weights if w.constraint} == {
        "hidden_to_hidden_1",
        "hidden_to_hidden_2",
        "bias_1",
        "bias_2",
    }


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_stateless_call_takes_x_in_any_type(precision):
    """Keras casts what a layer is called with, but not what `stateless_call` is."""
    layer = kdr.DeepTransitionRNN(4, (5,), True, return_sequences=True, dtype=precision)
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 3, 4)), "float32")
    expected = layer(x)
    values = [
        [v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables)
    ]
    found, _ = layer.stateless_call(*values, x)
    assert keras.backend.standardize_dtype(found.dtype) == layer.compute_dtype
    np.testing.assert_array_equal(
        *(to_numpy(keras.ops.cast(y, "float32")) for y in (found, expected))
    )

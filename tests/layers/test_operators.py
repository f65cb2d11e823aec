"""User-defined operators: affine maps and a step, which every loop runs."""

import keras
import numpy as np
import pytest
from descriptors import D, H, randomize, sequences, to_numpy
from keras import ops
from loops import ALL, MASK, both, differentiated_at

import keras_deep_rnn as kdr
from keras_deep_rnn import Affine
from keras_deep_rnn.utils.errors import UserError

BACKEND = keras.backend.backend()


class Highway(kdr.Operator):
    """A recurrent highway layer, arXiv:1607.03474, with an activation of its own and a scale."""

    def __init__(self, units, depth=2, **options):
        super().__init__(units, **options)
        self.depth = depth

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="ones")

    def affine_maps(self):
        return [Affine(2 * self.units, (self.units,), x=i == 0) for i in range(self.depth)]

    def step(self, affine, h):
        for i in range(self.depth):
            candidate, gate = ops.split(affine(i, h), 2, axis=-1)
            gate = ops.sigmoid(gate)
            h = gate * self.activation(candidate) * self.scale + (1 - gate) * h
        return h


class Pair(kdr.Operator):
    """Two states of different widths."""

    @property
    def state_size(self):
        return [self.units, 3]

    def affine_maps(self):
        return [
            Affine(self.units, (self.units, 3), x=True, activation=keras.ops.tanh),
            Affine(3, (self.units,)),
        ]

    def step(self, affine, states):
        h, c = states
        h = affine(0, h, c)
        return [h, 0.5 * c + ops.sigmoid(affine(1, h))]


class Chain(kdr.Operator):
    """Two states; the new value of the first, which is that of a map, feeds the second."""

    @property
    def state_size(self):
        return [self.units, 4]

    def affine_maps(self):
        n = self.units
        return [
            Affine(n, (n,), x=True, activation=keras.activations.tanh),
            Affine(4, (n, 4), activation=keras.activations.tanh),
        ]

    def step(self, affine, states):
        h, c = states
        h = affine(0, h)
        return [h, affine(1, h, c)]


class Pieces(kdr.Operator):
    """Gates of a map with an activation, of maps without one, and a source that is code."""

    def affine_maps(self):
        n = self.units
        return [
            Affine(2 * n, (n,), x=True, activation=ops.sigmoid, pieces=2),
            Affine(3 * n, (n, n), dropped=(1,), pieces=3),
            Affine(2 * n, x=True, pieces=2, bias=False),
        ]

    def step(self, affine, h):
        update, reset = affine(0, h)
        a, b, c = affine(1, reset * h, h)
        d, e = affine(2)
        return update * h + (1 - update) * ops.tanh(a + b * d) * (c + e)


class Doubled(kdr.Plus):
    """Overrides the equation, which the fast loop runs too."""

    def step(self, affine, h):
        return 0.5 * super().step(affine, h)


ACTIVATIONS = {
    "lambda": lambda z: z / (1 + ops.abs(z)),
    "leaky": keras.layers.LeakyReLU(0.1),
    "prelu": keras.layers.PReLU(),
    "norm": keras.layers.LayerNormalization(),
    "lp": kdr.LpUnit(2),
}
MAKE = {
    "highway": lambda **o: kdr.DeepRNN(Highway(H), **o),
    "pair": lambda **o: kdr.DeepRNN(Pair(H), **o),
    "chain": lambda **o: kdr.DeepRNN(Chain(H), **o),
    "pieces": lambda **o: kdr.DeepRNN(Pieces(H), **o),
    "normalized pieces": lambda **o: kdr.DeepRNN(Pieces(H, normalization="layer"), **o),
    "doubled": lambda **o: kdr.DeepRNN(Doubled(H, (4,), True), **o),
    **{
        name: lambda activation=activation, **o: kdr.DeepTransitionRNN(
            H, (4,), True, activation=activation, **o
        )
        for name, activation in ACTIVATIONS.items()
    },
    "layer norm": lambda **o: kdr.DeepTransitionRNN(H, (4,), True, normalization="layer", **o),
    "gated prelu": lambda **o: kdr.DeepTransitionGRU(
        H, depth=2, activation=keras.layers.PReLU(), **o
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("remat", [None, 4], ids=["", "remat"])
@pytest.mark.parametrize("name", MAKE)
def test_any_code_between_the_maps_is_fast(name, remat):
    def make():
        layer = MAKE[name](remat=remat, recurrent_dropout=0.3, seed=1, **ALL)
        return layer

    layer = make()
    layer.build((3, 6, D))
    assert layer.recurrence == "fast"
    both(make, sequences(), MASK)


@pytest.mark.parametrize("name", MAKE)
def test_cell_and_layer_run_the_same_step(name):
    layer = MAKE[name](return_sequences=True)
    layer.build((3, 6, D))
    randomize(layer)
    x = sequences()
    expected = to_numpy(keras.layers.RNN(layer.cell, return_sequences=True)(x))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)


def test_masked_inputs_do_not_matter():
    """Not even NaN, neither forward nor in a gradient."""
    layer = kdr.DeepTransitionRNN(H, (4,), True, return_sequences=True)
    layer.build((3, 6, D))
    x = sequences()
    expected = differentiated_at(layer, x, [], MASK)
    x[~MASK] = np.nan
    for found, right in zip(differentiated_at(layer, x, [], MASK), expected, strict=True):
        np.testing.assert_array_equal(found, right)


class Wrong(kdr.Operator):
    def affine_maps(self):
        return [Affine(self.units, (self.units,), x=True), Affine(self.units, (self.units,))]

    def step(self, affine, h):
        return self.use(affine, h)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda affine, h: affine(0, h), "`step` must use each of its 2 affine maps, got 1."),
        (
            lambda affine, h: affine(0, h) + affine(0, h),
            "`step` must use each of its 2 affine maps once, got number 0 again.",
        ),
        (lambda affine, h: affine(2, h), "each of its 2 affine maps once, got number 2."),
        (lambda affine, h: affine(0, h, h), "affine map 0 must have 1 source(s), got 2."),
    ],
)
def test_a_step_that_does_not_fit_its_maps(use, message):
    plus = Wrong(H)
    plus.use = use
    plus.build([(None, D), (None, H)])
    with pytest.raises(UserError) as error:
        plus.structure  # noqa: B018
    assert message in str(error.value)


@pytest.mark.parametrize("pieces", [0, 3])
def test_pieces_that_do_not_divide_a_map(pieces):
    class Cut(kdr.Operator):
        def affine_maps(self):
            return [Affine(2 * self.units, (self.units,), x=True, pieces=pieces)]

    with pytest.raises(
        UserError, match=f"`pieces` of affine map 0 must divide its 8 units, got {pieces}"
    ):
        kdr.DeepRNN(Cut(4)).build((None, None, 3))


def test_an_overridden_call_is_used():
    class Halved(kdr.Plus):
        def call(self, inputs, **options):
            return super().call(inputs, **options) / 2

    class Leaky(kdr.DeepTransitionRNNCell):
        def call(self, inputs, states, training=False):
            _, (h,) = super().call(inputs, states, training)
            h = 0.9 * states[0] + 0.1 * h
            return h, [h]

    x = sequences()
    for layer, cell in (
        (kdr.DeepRNN(Halved(H)), None),
        (kdr.StackedRNN([Leaky(H)]), None),
    ):
        assert "of its own" in str(layer.recurrence)
        found = to_numpy(layer(x))
        cell = layer.cell.cells[0] if isinstance(layer, kdr.StackedRNN) else layer.cell
        np.testing.assert_allclose(found, to_numpy(keras.layers.RNN(cell)(x)), atol=1e-6)


def test_an_overridden_initial_state_in_a_stack():
    class Ones(kdr.DeepTransitionRNNCell):
        def get_initial_state(self, batch_size=None):
            return ops.ones((batch_size, self.units))

    layer = kdr.StackedRNN([Ones(H)])
    x = sequences()
    layer.build(x.shape)
    randomize(layer)
    expected = to_numpy(keras.layers.RNN(layer.cell.cells[0])(x))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-6)


def test_subclass_without_a_constructor():
    class Mine(kdr.DeepTransitionRNN):
        """Takes its parent's arguments."""

    class Five(kdr.DeepTransitionRNN):
        def __init__(self, units=5, **options):
            super().__init__(units, **options)

    assert Mine(7, (3,)).transition_units == (3,)
    layer = Five(transition_units=(3,), return_sequences=True, activation="relu")
    assert layer.units == 5
    again = Five.from_config(layer.get_config())
    assert (again.units, again.transition_units, again.return_sequences) == (5, (3,), True)
    assert again.activation is keras.activations.relu


def test_many_steps_of_a_frozen_operator_are_one_loop():
    """The loop carries the variables that ⊕ updates, also where its weights are frozen."""
    x, h = keras.Input((D,)), keras.Input((H,))
    both_ = keras.layers.Concatenate()([x, h])
    new = keras.layers.Dropout(0.5, seed=1)(keras.layers.Dense(H, "tanh")(both_))
    layer = kdr.DeepRNN(keras.Model([x, h], new), state_size=H, return_sequences=True)
    layer.trainable = False
    values = sequences(2, 40)
    first, second = (to_numpy(layer(values, training=True)) for _ in range(2))
    assert (first != second).any()
    assert ((first == 0).mean(axis=(0, 1)) > 0.2).all()  # each unit is dropped now and then
    assert (first[0, 0] == 0).tolist() != (first[0, 1] == 0).tolist() or (
        (first[0, 1] == 0).tolist() != (first[0, 2] == 0).tolist()
    )


@pytest.mark.skipif(BACKEND != "torch", reason="is PyTorch's own")
def test_transforms_and_second_derivatives_of_pytorch():
    import torch

    layer = kdr.DeepTransitionRNN(H, transition_units=(4,), shortcut=True)
    x = torch.tensor(sequences())
    layer(x)
    plain = kdr.DeepTransitionRNN(H, transition_units=(4,), shortcut=True, unroll=True)
    plain(x)
    plain.set_weights(layer.get_weights())

    def second(layer):
        z = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(layer(z).pow(2).sum(), z, create_graph=True)
        g.pow(2).sum().backward()
        return z.grad

    for transform in (
        lambda layer: torch.func.grad(lambda z: layer(z).sum())(x),
        lambda layer: torch.func.vmap(lambda z: layer(z[None])[0])(x),
        lambda layer: torch.func.jacrev(layer)(x),
        lambda layer: ops.vectorized_map(lambda z: layer(z[None])[0], x),
        second,
    ):
        np.testing.assert_allclose(
            to_numpy(transform(layer)), to_numpy(transform(plain)), atol=1e-5
        )


@pytest.mark.skipif(BACKEND != "jax", reason="is JAX's own")
def test_forward_mode_of_jax():
    import jax

    x = jax.numpy.asarray(sequences())
    layer = kdr.DeepTransitionRNN(H)
    layer(x)
    with pytest.raises(UserError, match="forward-mode .* is only supported with `unroll=True`"):
        jax.jvp(layer, (x,), (x,))
    unrolled = kdr.DeepTransitionRNN(H, unroll=True)
    unrolled(x)
    jax.jvp(unrolled, (x,), (x,))
    jax.hessian(lambda z: layer(z).sum())(x)  # the gradient's forward mode works


def test_state_in_a_list_of_inputs():
    with pytest.raises(UserError, match="`sequences` must be one tensor .* `initial_state=`"):
        kdr.DeepTransitionRNN(5)([sequences(), np.ones((3, 5))])


@pytest.mark.parametrize("family", [kdr.DeepTransitionRNN, kdr.StackedRNN])
def test_stateful_batch_of_another_size(family):
    layer = family(units=5 if family is kdr.DeepTransitionRNN else (5,), stateful=True)
    x = sequences()
    layer(x)
    before = to_numpy(layer.states[0])
    with pytest.raises(UserError, match="the batch size of the carried states, 3, got 1"):
        layer(x[:1])
    np.testing.assert_array_equal(to_numpy(layer.states[0]), before)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_tokens_given_as_floats_are_not_rounded(dtype):
    tokens = np.array([[[257], [1025], [2049]]])
    layer = kdr.DeepTransitionRNN(5, num_tokens=3000, dtype=dtype, return_sequences=True)
    by_float = keras.Sequential([keras.Input((None, 1)), layer])
    by_int = keras.Sequential([keras.Input((None, 1), dtype="int32"), layer])
    expected = by_int.predict(tokens, verbose=0)
    found = by_float.predict(tokens.astype("float32"), verbose=0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_fast_dropout_in_float16(activation, rate):
    options = {"activation": activation, "dropout": rate, "recurrent_dropout": rate}
    layer = kdr.FastDropoutRNN(5, dtype="mixed_float16", **options)
    x = sequences()
    x[0] = 0
    for result in differentiated_at(layer, x, []):
        assert np.isfinite(result).all()


@pytest.mark.slow
@pytest.mark.parametrize("remat", [None, 4], ids=["", "remat"])
@pytest.mark.parametrize("name", ["pair", "chain"])
def test_gradient_of_zoneout_of_several_states(name, remat):
    """One state may keep its value while another reads the new one."""
    both(lambda: MAKE[name](zoneout=0.5, seed=3, remat=remat, **ALL), sequences(), MASK)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_step_takes_tokens_as_they_are(dtype):
    layer = kdr.DeepTransitionRNN(5, num_tokens=3000, dtype=dtype)
    x = np.array([[[257]], [[2049]]])
    y, _ = layer.step(x[:, 0])
    np.testing.assert_array_equal(to_numpy(y), to_numpy(ops.cast(layer(x), "float32")))
    different, _ = layer.step(x[:, 0] - 1)
    assert (to_numpy(different) != to_numpy(y)).any(axis=1).all()


def test_gradient_of_zoneout_in_inference(monkeypatch):
    """Zoneout changes the state after the step, whose result is the value of a map."""
    monkeypatch.setattr("loops.loss_of", in_inference)

    def make():
        return kdr.DeepTransitionRNN(H, (4,), True, zoneout=0.3, **ALL)

    both(make, sequences(), MASK)


def in_inference(layer, x, states, mask):
    results = keras.tree.flatten(layer(x, initial_state=states or None, mask=mask))
    return sum(ops.sum(ops.square(result - 0.1)) for result in results), results


@pytest.mark.skipif(BACKEND != "torch", reason="is of PyTorch")
def test_a_simplified_step_computes_the_same():
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    from keras_deep_rnn.recurrence.fast_loop.torch_loop import simplify

    def step(u, w, p, b, half):
        z = torch.mm(u, w) + p + torch.zeros_like(p)
        twice = torch.mm(u, w)
        return b + torch.mm(u, w), z.detach() * 2, twice + twice, half + torch.mm(u, w)

    given = [torch.randn(*shape) for shape in ((3, 4), (4, 5), (3, 5), (5,), (5,))]
    given[-1] = given[-1].to(torch.bfloat16)
    traced = make_fx(step)(*given)
    expected = traced(*given)
    simplify(traced.graph)
    traced.recompile()
    for a, b in zip(traced(*given), expected):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b)
    names = [str(node.target) for node in traced.graph.nodes]
    assert names.count("aten.addmm.default") == 2
    assert "aten.zeros_like.default" not in names
    assert "aten.detach.default" not in names

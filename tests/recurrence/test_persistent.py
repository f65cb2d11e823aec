"""The persistent kernel, run by Triton's interpreter."""

import dataclasses
import multiprocessing
import os
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import keras_deep_rnn as kdr
from keras_deep_rnn.recurrence import Loop, persistent
from keras_deep_rnn.utils.errors import UserError

on_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Triton's interpreter takes tensors of PyTorch"
)
PROCESSORS = 132


@pytest.fixture
def on_chip(monkeypatch):
    """Makes Triton's interpreter the GPU, with one program for each tile of the batch."""
    pytest.importorskip("triton")
    from keras_deep_rnn.recurrence import torch as torch_backend

    layout = persistent.layout

    def interpreted(chain, batch, dtype, processors, exact):
        found = layout(chain, batch, dtype, processors, exact)
        return found and persistent.Layout(chain, found.K, found.P, 16, found.K, "interpreted")

    monkeypatch.setattr(torch_backend, "processors", lambda _: (PROCESSORS, True))
    monkeypatch.setattr(persistent, "layout", interpreted)
    calls = []
    launch = torch_backend.launch
    monkeypatch.setattr(torch_backend, "launch", lambda *a: calls.append(a[0]) or launch(*a))
    return calls


def results(options, masked, dtype="float32"):
    """y, the last state and all gradients of a layer with these options."""
    import torch

    keras.utils.set_random_seed(0)
    layer = kdr.DeepTransitionRNN(
        14, return_sequences=True, return_state=True, dtype=dtype, **options
    )
    rng = np.random.default_rng(1)
    x = torch.tensor(rng.normal(size=(18, 4, 6)), dtype=torch.float32, requires_grad=True)
    first = torch.tensor(rng.normal(size=(18, 14)), dtype=torch.float32, requires_grad=True)
    mask = torch.tensor(rng.random((18, 4)) > 0.3) if masked else None
    y, state = layer(x, initial_state=[first], mask=mask)
    ((y.float() * torch.arange(14.0)).sum() + state.float().sum()).backward()
    gradients = [x.grad, first.grad, *(w.value.grad for w in layer.trainable_variables)]
    return [keras.ops.convert_to_numpy(v.detach().float()) for v in (y, state, *gradients)]


NETWORKS = [
    {},
    {"transition_units": (12,)},
    {"transition_units": (20, 24), "shortcut": True, "activation": "sigmoid"},
    {"transition_units": (20,), "shortcut": True, "input_to": "all", "activation": "relu"},
    {"transition_units": (12,), "use_bias": False},
]


@on_torch
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_equals_the_fast_loop(on_chip, options, masked):
    expected = results({**options, "persistent": False}, masked)
    assert on_chip == []
    found = results(options, masked)
    assert on_chip == ["forward", "backward"]
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@on_torch
def test_16_bits(on_chip):
    options = {"transition_units": (20,), "shortcut": True}
    of_loop = {**options, "persistent": False}
    expected, of_loop = results(of_loop, True), results(of_loop, True, "mixed_bfloat16")
    found = results(options, True, "mixed_bfloat16")
    assert on_chip == ["forward", "backward"]
    for a, b, c in zip(found, of_loop, expected):
        # The interpreter cuts off the bits that a chip rounds.
        assert np.linalg.norm(a - c) < 2 * np.linalg.norm(b - c)


@on_torch
def test_inference_and_recurrence(on_chip):
    layer = kdr.DeepTransitionRNN(8, transition_units=(8,))
    assert layer.recurrence == "fast"  # not built
    keras.ops.convert_to_numpy(layer(np.ones((2, 3, 4), "float32")))
    assert set(on_chip) == {"forward"}
    assert layer.recurrence == "persistent"
    assert layer.get_config()["persistent"] is True
    layer.persistent = False
    assert layer.recurrence == "fast"


@on_torch
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "softplus"},
        {"normalization": "layer"},
        {"recurrent_dropout": 0.3},
        {"zoneout": 0.3},
        {"remat": 2},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_falls_back_where_it_does_not_fit(on_chip, options):
    layer = kdr.DeepTransitionRNN(8, transition_units=(8,), **options)
    layer(np.ones((2, 3, 4), "float32"), training=True)
    assert on_chip == []


@on_torch
def test_nan_propagates(on_chip):
    """NaN has other bits than `UNSET`, so that no program waits for ever."""
    x = np.ones((2, 3, 4), "float32")
    x[0, 1] = np.nan
    x[1, 1] = -np.float32(np.nan)
    y = kdr.DeepTransitionRNN(8, return_sequences=True)(x)
    y = keras.ops.convert_to_numpy(y.detach())
    assert on_chip == ["forward"]
    assert np.isfinite(y[:, 0]).all()
    assert np.isnan(y[:, 1:]).all()


def program(kernel, place, inputs, outputs, sizes, constants):
    """One program of a kernel, beside the others."""
    import torch
    from triton.runtime.interpreter import interpreter_builder as builder

    from keras_deep_rnn.recurrence import kernels

    torch.set_num_threads(1)
    set_dim, set_place = builder.set_grid_dim, builder.set_grid_idx
    builder.set_grid_dim = lambda *_: set_dim(64, 64, 1)
    builder.set_grid_idx = lambda *_: set_place(*place, 0)
    getattr(kernels, kernel)[(1, 1)](*inputs, *outputs, *sizes, *outputs, **constants)
    os._exit(0)


def launch_programs(kernel, inputs, outputs, sizes, layout, constants):
    """As `torch.launch`, each program in a process of its own: they wait for each other."""
    grid, constants = persistent.constants_of(sizes[1], layout, constants)
    inputs = [x.contiguous() for x in inputs]
    outputs = [x.contiguous().share_memory_() for x in outputs]
    fork = multiprocessing.get_context("fork")
    places = [(i, j) for i in range(grid[0]) for j in range(grid[1])]
    shared = (inputs, outputs, sizes, constants)
    processes = [fork.Process(target=program, args=(kernel, p, *shared)) for p in places]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert len(places) > 1
    assert codes == [0] * len(places)
    return outputs


@on_torch
@pytest.mark.parametrize(
    ("widths", "receives_input", "masked"),
    [((40, 40), (True, False), False), ((20, 50, 33), (True, True, True), True)],
    ids=str,
)
def test_programs_side_by_side(widths, receives_input, masked):
    """Rows and columns of several programs, which wait for each other."""
    pytest.importorskip("triton")
    import torch

    rng = np.random.default_rng(0)

    def tensor(*shape):
        return torch.tensor(rng.normal(size=shape) / shape[0] ** 0.5, dtype=torch.float32)

    T, B, L, H = 3, 18, len(widths), widths[-1]
    chain = persistent.Chain(widths, ("tanh",) * L, receives_input, True)
    layout = persistent.layout(chain, B, "float32", PROCESSORS, True)
    layout = dataclasses.replace(layout, PRECISION="interpreted")
    kernels = [
        [tensor(widths[i - 1], n), *([tensor(H, n)] if i else [])] for i, n in enumerate(widths)
    ]
    projections = [tensor(T, B, n).requires_grad_() for n, x in zip(widths, receives_input) if x]
    biases = [[] if x else [tensor(n)] for n, x in zip(widths, receives_input)]
    masks = [torch.tensor(rng.random((T, B, 1)) > 0.3).float()] if masked else []
    first, gradient = tensor(B, H).requires_grad_(), tensor(T, B, H)

    h, states = first, []
    for t in range(T):
        a, rest = h, iter(projections)
        for i in range(L):
            p = next(rest)[t] if receives_input[i] else biases[i][0]
            z = a @ kernels[i][0] + p
            a = torch.tanh(z + h @ kernels[i][1] if i else z)
        h = torch.where(masks[0][t] > 0, a, h) if masked else a
        states.append(h)
    expected = torch.stack(states)
    expected.backward(gradient)

    with torch.no_grad():
        found, *values = persistent.forward(
            launch_programs, layout, projections, first, masks, [kernels, biases]
        )
        d_first, dz = persistent.backward(
            launch_programs, layout, gradient, [*values, found], masks, kernels
        )
    np.testing.assert_allclose(found, expected.detach(), atol=1e-5)
    np.testing.assert_allclose(d_first, first.grad, atol=1e-5)
    for d, p in zip([d for d, x in zip(dz, receives_input) if x], projections):
        np.testing.assert_allclose(d, p.grad, atol=1e-5)


# Compiles a kernel and compares its shared memory with the bound of `layout`.
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from keras_deep_rnn.recurrence import kernels, persistent
for kernel, dtype, widths, exact in {cases}:
    chain = persistent.Chain(widths, ("tanh",) * len(widths), (True,) * len(widths), True)
    layout = persistent.layout(chain, 16, dtype, 132, exact)
    constants = {{"MASKED": True}}
    if kernel == "forward":
        constants["RECEIVES_INPUT"] = chain.receives_input
    _, constants = persistent.constants_of(16, layout, constants)
    how = {{name: constants.pop(name) for name in ("num_warps", "num_stages")}}
    function = getattr(kernels, kernel)
    bits = {{"forward": ("h_unset", "a_unset", "h", "a"), "backward": ("d_unset", "d")}}[kernel]
    number, bit = ("fp32", "i32") if dtype == "float32" else ("bf16", "i16")
    signature = {{
        name: "constexpr" if name in constants
        else "i32" if name in ("T", "B")
        else "*fp32" if name == "mask"
        else "*" + (bit if name in bits else number)
        for name in function.arg_names
    }}
    source = ASTSource(
        fn=function,
        signature=signature,
        constexprs={{(function.arg_names.index(n),): v for n, v in constants.items()}},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=how)
    assert len(compiled.asm["cubin"]) > 1000
    bytes_ = persistent.BYTES[layout.PRECISION]
    most = (chain.matrices + 1) * layout.K * layout.BN * bytes_
    assert compiled.metadata.shared <= most, (compiled.metadata.shared, most)
print("compiled")
"""


@on_torch
def test_compiles_without_a_gpu():
    pytest.importorskip("triton")
    cases = [
        ("forward", "float32", (200, 200), True),
        ("backward", "float32", (400, 400), True),
        ("backward", "bfloat16", (256, 512, 512), True),
    ]
    environment = {**os.environ, "KERAS_BACKEND": "torch", "TRITON_INTERPRET": "0"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE.format(cases=cases)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip().endswith("compiled"), result.stderr


CHAIN = persistent.Chain((200, 200), ("tanh", "tanh"), (True, False), True)


@pytest.mark.parametrize(
    ("batch", "dtype", "exact", "precision"),
    [
        (16, "float32", True, "tf32x3"),
        (16, "float32", False, "tf32"),
        (16, "bfloat16", True, "ieee"),
        (160, "float32", True, "tf32x3"),
        (161, "float32", True, None),  # 11 tiles of 13 programs each
        (16, "float16", True, None),
    ],
)
def test_layout(batch, dtype, exact, precision):
    found = persistent.layout(CHAIN, batch, dtype, PROCESSORS, exact)
    assert (found and found.PRECISION) == precision


def test_layout_without_a_gpu():
    assert persistent.layout(CHAIN, 16, "float32", 0, True) is None


def test_layout_of_many_weights():
    deep = persistent.Chain((400,) * 4, ("tanh",) * 4, (True,) * 4, True)
    assert persistent.layout(deep, 16, "float32", PROCESSORS, True) is None
    assert persistent.layout(deep, 16, "bfloat16", PROCESSORS, True).K == 512


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: kdr.Plus(8, (9, 7, 8), shortcut=True), persistent.Chain(
            (9, 7, 8, 8), ("tanh",) * 4, (True, False, False, False), True)),
        (lambda: kdr.Plus(8, input_to="all"), persistent.Chain((8,), ("tanh",), (True,), False)),
        (lambda: kdr.Plus(8, (520,)), None),
    ],
)  # fmt: skip
def test_chain_of_an_operator(make, expected):
    plus = make()
    plus.build([(None, 5), (None, 8)])
    assert persistent.chain_of(plus.maps, plus.structure, Loop()) == expected
    assert persistent.chain_of(plus.maps, plus.structure, Loop(persistent=False)) is None


def test_no_chain():
    layer = kdr.DeepTransitionGRU(8, depth=2)
    layer.build((None, 3, 4))
    assert layer.recurrence == "fast"


@pytest.fixture
def on_chip_of_jax(monkeypatch):
    """A kernel of h(t) = tanh(h(t-1) W + p(t)) that JAX can neither differentiate nor batch."""
    jax = pytest.importorskip("jax")
    from keras_deep_rnn.recurrence import jax as jax_backend

    calls = []

    def forward(p, h, W):
        states = []
        for p_t in p:
            h = np.tanh(h @ W + p_t)
            states.append(h)
        return np.stack(states)

    def backward(gradient, h, W):
        d, dz = np.zeros_like(gradient[0]), []
        for d_t, h_t in zip(gradient[::-1], h[::-1]):
            dz.append((d + d_t) * (1 - h_t * h_t))
            d = dz[-1] @ W.T
        return d, np.stack(dz[::-1])

    def run_forward(launch, layout, projections, h, masks, weights):
        calls.append("forward")
        p, W = projections[0], weights[0][0][0]
        return [jax.pure_callback(forward, jax.ShapeDtypeStruct(p.shape, p.dtype), p, h, W)]

    def run_backward(launch, layout, gradient, values, masks, kernels):
        calls.append("backward")
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (gradient[0], gradient)]
        d, dz = jax.pure_callback(backward, shapes, gradient, values[0], kernels[0][0])
        return d, [dz]

    monkeypatch.setattr(jax_backend, "processors", lambda _: (PROCESSORS, True))
    monkeypatch.setattr(persistent, "forward", run_forward)
    monkeypatch.setattr(persistent, "backward", run_backward)
    return calls


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="runs on JAX")
def test_derivatives_and_batches_on_jax(on_chip_of_jax):
    """Those that the kernel does not have are those of the steps."""
    import jax

    def evaluate(persistent):
        keras.utils.set_random_seed(0)
        layer = kdr.DeepTransitionRNN(5, persistent=persistent)
        x = np.random.default_rng(1).normal(size=(3, 2, 4, 3)).astype("float32")
        layer.build((None, 4, 3))
        variables = [v.value for v in layer.trainable_variables]
        others = [v.value for v in layer.non_trainable_variables]

        def loss(x):
            return (layer.stateless_call(variables, others, x)[0] ** 2).sum()

        gradient = jax.grad(loss)
        called = list(on_chip_of_jax)
        first = jax.jit(gradient)(x[0])
        assert on_chip_of_jax[len(called) :] == ["forward", "backward"] * persistent
        second = jax.jit(jax.grad(lambda x: (gradient(x) ** 2).sum()))(x[0])
        return [first, second, jax.vmap(loss)(x), jax.jit(jax.vmap(gradient))(x)]

    for found, expected in zip(evaluate(True), evaluate(False), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="runs on JAX")
def test_no_kernel_off_the_gpu_or_over_several_devices(monkeypatch):
    import jax

    from keras_deep_rnn.recurrence import jax as jax_backend

    monkeypatch.setattr(jax_backend, "_processors", lambda: PROCESSORS)
    assert jax_backend.processors(None) == (PROCESSORS, False)
    with jax.default_device(jax.devices("cpu")[0]):
        assert jax_backend.processors(None)[0] == 0
    with keras.distribution.DataParallel(devices=["cpu:0"], auto_shard_dataset=False).scope():
        assert jax_backend.processors(None)[0] == 0


@on_torch
def test_no_kernel_on_other_gpus_of_pytorch(monkeypatch):
    """There ROCm counts as CUDA, with versions that are other numbers."""
    import torch

    from keras_deep_rnn.recurrence import torch as torch_backend

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert torch_backend._processors.__wrapped__() == 0


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="runs on JAX")
def test_no_kernel_on_other_gpus_of_jax(monkeypatch):
    import jax

    from keras_deep_rnn.recurrence import jax as jax_backend

    chip = types.SimpleNamespace(device_kind="AMD Instinct MI300X", compute_capability="gfx942")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [chip])
    monkeypatch.setattr(jax_backend.importlib.util, "find_spec", lambda _: True)
    assert jax_backend._processors.__wrapped__() == 0
    chip.device_kind, chip.compute_capability, chip.core_count = "NVIDIA H200", "9.0", PROCESSORS
    assert jax_backend._processors.__wrapped__() == PROCESSORS


def test_persistent_must_be_a_flag():
    with pytest.raises(UserError, match="`persistent` must be True or False, got 2"):
        kdr.DeepTransitionRNN(8, persistent=2)

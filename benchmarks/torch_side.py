"""The contestants that run on PyTorch."""

import os

import torch

from .network import LAYERS, RATE, build, products

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TF32 = "BENCHMARKS_TF32" in os.environ
torch.set_float32_matmul_precision("high" if TF32 else "highest")
torch.backends.cudnn.allow_tf32 = TF32


def facts():
    """What is known about the framework."""
    gpu = DEVICE == "cuda"
    return {
        "torch": torch.__version__,
        "devices": [torch.cuda.get_device_name() if gpu else "cpu"],
        "threads": torch.get_num_threads(),
        "accelerator": gpu,
    }


def make(name, case):
    """A function that runs a contestant once and gives the loss, and the calls that are in it."""
    if name.startswith("matmul"):

        def full(shape, number, dtype):
            return torch.full(shape, number, device=DEVICE, dtype=getattr(torch, dtype))

        return products(name, full, torch.matmul, facts()["accelerator"])
    make_loss = _of_layer if name in LAYERS else PEERS[name]
    loss, weights, x, y = make_loss(name, case)
    x, y = (torch.as_tensor(a, device=DEVICE) for a in (x, y))
    optimizer = torch.optim.SGD(weights, RATE)

    def forward():
        with torch.no_grad():
            return loss(x, y).item()

    def train():
        optimizer.zero_grad()
        value = loss(x, y)
        value.backward()
        optimizer.step()
        return value.item()

    run = train if case.mode == "train" else forward
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run.mib = lambda: (torch.cuda.max_memory_allocated() - before) / 2**20
    return run, 1


def _of_layer(name, case):
    layer, x, y, _ = build(name, case)

    def loss(x, y):
        return torch.mean(torch.square(layer(x, training=case.mode == "train") - y))

    return loss, [variable.value for variable in layer.trainable_variables], x, y


def _of_loop(name, case):
    """The network as one writes it in PyTorch: the input's projection, then a loop over time."""
    weights = [
        torch.nn.Parameter(torch.as_tensor(weight, device=DEVICE)) for weight in case.weights()
    ]

    def loss(x, y):
        U, W, b, *later = weights
        h, hs = x.new_zeros(case.B, case.H), []
        for projection in (x @ U + b).unbind(1):
            a, rest = torch.tanh(torch.addmm(projection, h, W)), later
            while rest:
                W_l, S_l, b_l, *rest = rest
                a = torch.tanh(torch.addmm(torch.addmm(b_l, a, W_l), h, S_l))
            h = a
            hs.append(h)
        return torch.mean(torch.square(torch.stack(hs, 1) - y))

    return loss, weights, *case.arrays()


def _compiled(name, case):
    loss, weights, x, y = _of_loop(name, case)
    return torch.compile(loss), weights, x, y


def _of_library(name, case):
    """As many levels of PyTorch's own layer: with tanh, as many products of H x H in a step."""
    layer_class = {"nn.RNN": torch.nn.RNN, "nn.LSTM": torch.nn.LSTM}[name]
    layer = layer_class(case.D, case.H, num_layers=case.L, batch_first=True, device=DEVICE)

    def loss(x, y):
        return torch.mean(torch.square(layer(x)[0] - y))

    return loss, list(layer.parameters()), *case.arrays()


PEERS = {
    "eager": _of_loop,
    "torch.compile": _compiled,
    "nn.RNN": _of_library,
    "nn.LSTM": _of_library,
}

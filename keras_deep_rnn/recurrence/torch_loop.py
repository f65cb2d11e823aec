"""The loop primitive on PyTorch, and how a function gets a gradient of its own."""

import functools

import keras
import torch

from . import number_of_parts
from . import unrolled_scan as scan  # noqa: F401  (PyTorch runs step by step anyway)


def with_gradient(result, forward, backward):
    """See `tensorflow_loop.with_gradient`."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, *arguments):
            value, kept = forward(*arguments)
            context.structure = keras.tree.map_structure(lambda _: 0, kept)
            context.kept = len(keras.tree.flatten(kept))
            context.save_for_backward(*keras.tree.flatten(kept), *arguments)
            # PyTorch lets nobody write into a result that is a view.
            return value.clone(memory_format=torch.contiguous_format)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, gradient):
            saved = context.saved_tensors
            kept = keras.tree.pack_sequence_as(context.structure, saved[: context.kept])
            arguments = list(saved[context.kept :])
            with torch.no_grad():
                return tuple(backward(gradient, kept, arguments))

    return lambda *arguments: (Function.apply if torch.is_grad_enabled() else result)(*arguments)


def pull_back(function, x, gradient):
    """See `tensorflow_loop.pull_back`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, gradient)[0]


def compiled(function):
    """`function` as it is: compiling a loop of PyTorch takes longer than it gains."""
    return function


def single_step(cell, xla):
    """See `tensorflow_loop.single_step`."""
    return torch.no_grad()(functools.partial(cell, training=False))


def parts_side_by_side():
    """Into how many parts a batch is split: PyTorch runs one operation after the other."""
    return 1


def split(tensors, parts, least):
    """See `tensorflow_loop.split`."""
    parts = number_of_parts(tensors[0].shape[0], parts, least)
    return list(zip(*(torch.tensor_split(tensor, parts) for tensor in tensors)))


def accelerated():
    """See `tensorflow_loop.accelerated`."""
    return torch.accelerator.is_available()


def exporting():
    """See `tensorflow_loop.exporting`; here nothing depends on it."""
    return False

"""The loop primitive on PyTorch, and how a function gets a gradient of its own."""

import torch

from . import unrolled_scan as scan  # noqa: F401  (PyTorch runs step by step anyway)


def with_gradient(forward, backward):
    """See `tensorflow_loop.with_gradient`."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, *arguments):
            kept = forward(*arguments)
            context.kept = len(kept)
            context.save_for_backward(*kept, *arguments)
            return kept[0]

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, gradient):
            saved = context.saved_tensors
            with torch.no_grad():
                return tuple(backward(gradient, saved[: context.kept], saved[context.kept :]))

    return Function.apply


def compiled(function):
    """`function` as it is: compiling a loop of PyTorch takes longer than it gains."""
    return function


def exporting():
    """See `tensorflow_loop.exporting`; here nothing depends on it."""
    return False

"""The loop primitive on PyTorch, and how a function gets a custom gradient."""

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch

from . import persistent
from .loop import split_with
from .loop import unrolled as looped  # noqa: F401  (PyTorch runs eagerly)


def with_gradient(
    result: Callable, forward: Callable, backward: Callable, plain: Callable
) -> Callable:
    """See `tensorflow.with_gradient`."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *arguments: Any) -> tuple:
            values, residuals = forward(*arguments)
            context.structure = keras.tree.map_structure(lambda _: 0, residuals)
            flat = keras.tree.flatten(residuals)
            context.count = len(flat)
            context.save_for_backward(*flat, *arguments)
            # PyTorch forbids in-place changes of a result that is a view or saved.
            return tuple(value.clone() for value in values)

        @staticmethod
        def backward(context: Any, *gradients: Any) -> tuple:  # pyright: ignore -- as PyTorch says
            saved = context.saved_tensors
            arguments = list(saved[context.count :])
            if torch.is_grad_enabled():  # a gradient of the gradient is asked for
                return _differentiable(plain, arguments, gradients, context.needs_input_grad)
            residuals = keras.tree.pack_sequence_as(context.structure, list(saved[: context.count]))
            return tuple(backward(list(gradients), residuals, arguments))

    def call(*arguments: Any) -> list:
        # No public name says whether torch.func transforms the call, which a custom gradient
        # cannot follow.
        functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
        if functorch.peek_interpreter_stack() is not None:
            return plain(*arguments)
        if not torch.is_grad_enabled() or not any(x.requires_grad for x in arguments):
            return result(*arguments)
        return list(Function.apply(*arguments))

    return call


def _differentiable(
    plain: Callable, arguments: list, gradients: Sequence, needed: Sequence
) -> tuple:
    """The gradients of the arguments by the plain loop, which are differentiable themselves."""
    sources = [x for x, asked in zip(arguments, needed) if asked]
    values = plain(*arguments)
    found = torch.autograd.grad(
        values, sources, list(gradients), create_graph=True, allow_unused=True
    )
    found = iter(found)
    return tuple(next(found) if asked else None for asked in needed)


class Replayed(torch.autograd.Function):
    """See `tensorflow.replay`."""

    @staticmethod
    def forward(
        context: Any, kernels: list, slope: Any, residual: Any, probe: Any, *us: Any
    ) -> Any:
        context.kernels, context.slope, context.residual = kernels, slope, residual
        return residual.view_as(residual)

    @staticmethod
    def backward(context: Any, gradient: Any) -> tuple:  # pyright: ignore -- as PyTorch says
        dz = gradient if context.slope is None else gradient * context.slope(context.residual)
        return None, None, None, dz, *(torch.mm(dz, kernel) for kernel in context.kernels)


def replay(kernels: list, slope: Callable | None) -> Callable:
    """See `tensorflow.replay`."""
    return functools.partial(Replayed.apply, kernels, slope)


def vjp(function: Callable, inputs: list, gradients: list) -> list:
    """See `tensorflow.vjp`."""
    with torch.enable_grad():
        inputs = keras.tree.map_structure(lambda x: x.detach().requires_grad_(), inputs)
        flat = keras.tree.flatten(inputs)
        found = torch.autograd.grad(function(*inputs), flat, gradients, allow_unused=True)
    found = [torch.zeros_like(x) if g is None else g for g, x in zip(found, flat)]
    return keras.tree.pack_sequence_as(inputs, found)


def compiled(function: Callable) -> Callable:
    """See `tensorflow.compiled`; compiling a loop of PyTorch takes longer than it gains."""
    return function


def single_step(inference: Callable, cell: Any, xla: bool) -> Callable:
    """See `tensorflow.single_step`."""
    return torch.no_grad()(inference)


def from_numpy(values: Any, dtype: str) -> Any:
    """See `tensorflow.from_numpy`."""
    return keras.ops.convert_to_tensor(values, dtype)


def default_parts() -> int:
    """See `tensorflow.default_parts`; PyTorch runs one operation after the other."""
    return 1


def split(tensors: list, parts: int, least: int, axis: int = 0) -> list:
    """See `tensorflow.split`."""
    return split_with(torch.tensor_split, tensors, parts, least, axis)


def accelerated() -> bool:
    """See `tensorflow.accelerated`."""
    return torch.accelerator.is_available()


@functools.cache
def _processors() -> int:
    nvidia = torch.cuda.is_available() and torch.version.cuda is not None
    if not nvidia or importlib.util.find_spec("triton") is None:
        return 0
    chip = torch.cuda.get_device_properties()
    return chip.multi_processor_count if chip.major >= persistent.CAPABILITY else 0


def processors(tensor: Any) -> tuple[int, bool]:
    """What the persistent kernel can use.

    Args:
        tensor: One of the layer's, which is where the layer runs.

    Returns:
        The number of multiprocessors of its GPU, and whether products of float32 are in float32.
    """
    here = tensor.is_cuda and not torch.compiler.is_compiling()
    return _processors() if here else 0, torch.get_float32_matmul_precision() == "highest"


def with_kernel(kernel: Callable, steps: Callable) -> Callable:
    """The function that a kernel computes, where it can be differentiated as that of the steps."""
    return kernel  # `with_gradient` takes the plain loop for a gradient of the gradient


def launch(
    kernel: str,
    inputs: list,
    outputs: list,
    sizes: tuple,
    layout: persistent.Layout,
    constants: dict,
) -> list:
    """Runs a kernel of `kernels`.

    Args:
        kernel: Its name.
        inputs: The tensors that it reads.
        outputs: The tensors that it writes, with their initial values.
        sizes: T and B.
        layout: How the kernel lies on the chip.
        constants: Its other constants.

    Returns:
        The outputs.
    """
    from . import kernels  # needs Triton

    grid, constants = persistent.constants_of(sizes[1], layout, constants)
    # Programs wait for each other: they start together or not at all.
    cooperative = {} if kernels.INTERPRETED else {"launch_cooperative_grid": True}
    with torch.cuda.device(inputs[0].device) if inputs[0].is_cuda else contextlib.nullcontext():
        getattr(kernels, kernel)[grid](
            *(x.contiguous() for x in inputs),
            *outputs,
            *sizes,
            *outputs,
            **constants,
            **cooperative,
        )
    return outputs


def splits_slowly() -> bool:
    """See `jax.splits_slowly`."""
    return False


def exporting(batch: int | None = 1) -> bool:
    """See `tensorflow_tracing.exporting`; only TensorFlow exports."""
    return False


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """See `jax.explained`."""
    yield

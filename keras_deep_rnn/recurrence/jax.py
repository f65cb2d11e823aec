"""The loop primitive on JAX, and how a function gets a custom gradient."""

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ..utils.errors import UserError
from . import persistent
from .loop import split_with

# A GPU waits for the host between the steps of a loop: that many steps are one.
UNROLL = 8


def looped(body: Callable, shapes: Sequence, reverse: bool = False, xla: bool = False) -> Callable:
    """See `loop`."""

    def loop(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        def one_step(carry: list, inputs: list) -> tuple[list, list]:
            carry, outputs = body(carry, inputs, constants)
            return list(carry), list(outputs)

        unroll = UNROLL if accelerated() else 1
        return jax.lax.scan(one_step, list(carry), list(inputs), reverse=reverse, unroll=unroll)

    return loop


def with_gradient(
    result: Callable, forward: Callable, backward: Callable, plain: Callable
) -> Callable:
    """See `tensorflow.with_gradient`."""
    function = jax.custom_vjp(lambda *arguments: result(*arguments))

    def with_residuals(*arguments: Any) -> tuple:
        value, residuals = forward(*arguments)
        return value, (residuals, list(arguments))

    function.defvjp(with_residuals, lambda saved, gradients: tuple(backward(gradients, *saved)))
    return function


def replay(kernels: list, slope: Callable | None) -> Callable:
    """See `tensorflow.replay`."""

    def forward(residual: Any, probe: Any, *us: Any) -> tuple:
        return residual, residual

    def backward(residual: Any, gradient: Any) -> tuple:
        dz = gradient if slope is None else gradient * slope(residual)
        return jnp.zeros_like(residual), dz, *(dz @ kernel for kernel in kernels)

    function = jax.custom_vjp(lambda residual, probe, *us: residual)
    function.defvjp(forward, backward)
    return function


def vjp(function: Callable, inputs: list, gradients: list) -> list:
    """See `tensorflow.vjp`."""
    return list(jax.vjp(function, *inputs)[1](gradients))


def compiled(function: Callable) -> Callable:
    """See `tensorflow.compiled`; JAX compiles both loops with all around them."""
    return jax.jit(function)


def single_step(inference: Callable, cell: Any, xla: bool) -> Callable:
    """See `tensorflow.single_step`."""

    # Listing the variables of a layer takes longer than the step.
    variables = cell.variables

    def call(values: list, x: Any, states: list) -> tuple:
        with keras.StatelessScope(list(zip(variables, values))):
            return inference(x, states)

    call = jax.jit(call) if xla else call

    def step(x: Any, states: list) -> tuple:
        return call([variable.value for variable in variables], x, states)

    return step


def from_numpy(values: Any, dtype: str) -> Any:
    """See `tensorflow.from_numpy`; a compiled function takes an array fastest."""
    return np.asarray(values, jnp.dtype(dtype))


def default_parts() -> int:
    """See `tensorflow.default_parts`; JAX runs the parts of a program one after the other."""
    return 1


def split(tensors: list, parts: int, least: int, axis: int = 0) -> list:
    """See `tensorflow.split`."""
    return split_with(jnp.array_split, tensors, parts, least, axis)


def accelerated() -> bool:
    """See `tensorflow.accelerated`."""
    return jax.default_backend() != "cpu"


@functools.cache
def _processors() -> int:
    if jax.default_backend() != "gpu" or importlib.util.find_spec("jax_triton") is None:
        return 0
    chip: Any = jax.devices()[0]
    if not chip.device_kind.startswith("NVIDIA"):
        return 0
    major = int(str(chip.compute_capability).split(".", maxsplit=1)[0])
    return chip.core_count if major >= persistent.CAPABILITY else 0


def processors(tensor: Any) -> tuple[int, bool]:
    """See `torch.processors`; JAX computes in TF32 by default."""
    # A tensor that is traced is nowhere yet. A kernel has no parts for several devices.
    asked: Any = jax.config.values["jax_default_device"]
    elsewhere = asked is not None and getattr(asked, "platform", asked) not in ("gpu", "cuda")
    if elsewhere or keras.distribution.distribution() is not None:
        return 0, True
    precision = jax.config.values["jax_default_matmul_precision"]
    return _processors(), precision in ("float32", "highest")


def with_kernel(kernel: Callable, steps: Callable) -> Callable:
    """See `torch.with_kernel`; the kernel has neither derivatives nor batches of its own."""
    function = jax.custom_batching.custom_vmap(kernel)

    @function.def_vmap
    def batches(size: int, batched: Any, *arguments: Any) -> tuple:
        axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(batched))
        values = jax.vmap(steps, axes, axis_size=size)(*arguments)
        return values, jax.tree.map(lambda _: True, values)

    differentiable = jax.custom_jvp(function)
    differentiable.defjvp(functools.partial(jax.jvp, steps))
    return differentiable


def launch(
    kernel: str,
    inputs: list,
    outputs: list,
    sizes: tuple,
    layout: persistent.Layout,
    constants: dict,
) -> list:
    """See `torch.launch`."""
    import jax_triton

    from . import kernels

    grid, constants = persistent.constants_of(sizes[1], layout, constants)
    return jax_triton.triton_call(
        *inputs,
        *outputs,
        *sizes,
        kernel=getattr(kernels, kernel),
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in outputs],
        grid=grid,
        input_output_aliases={len(inputs) + i: i for i in range(len(outputs))},
        **constants,
    )


def splits_slowly() -> bool:
    """Whether to split no tensor in a loop.

    On a processor XLA reads a part of the columns of a tensor in as much time as a product takes.
    """
    return not accelerated()


def exporting(batch: int | None = 1) -> bool:
    """See `tensorflow_tracing.exporting`; only TensorFlow exports."""
    return False


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """In the block, an error of the backend about the custom gradient becomes a `UserError`."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" in str(error):
            raise UserError(
                "forward-mode differentiation (jvp, jacfwd, linearize) is only supported with "
                "`unroll=True`."
            ) from error
        raise

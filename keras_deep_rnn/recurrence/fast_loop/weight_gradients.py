"""The gradient of each weight: one product over all steps after the backward loop, u_ij^T dz_i."""

from collections.abc import Callable
from typing import Any

from keras import ops

from .step_program import StepProgram


def weight_gradients(
    program: StepProgram,
    dz: list,
    before: list,
    residuals: list,
    recurrent_mask: list,
    weights: list,
) -> tuple[list, list]:
    """The gradients of the kernels and the biases, each from all steps at once.

    Args:
        program: The step.
        dz: Of each map, (T, B, width of z_i).
        before: The states at t-1, (T, B, H) each.
        residuals: Of each map, (T, B, width of z_i or a_i).
        recurrent_mask: Mask of recurrent dropout, (B, H), in a list, or an empty one.
        weights: Kernels, biases and values of the variables, see `FastLoop`.
    """
    sources = _sources(program, before, residuals, weights[2])
    d_kernels = []
    for i, part in enumerate(program.maps):
        us = [part.drop(j, u, recurrent_mask) for j, u in enumerate(sources[i])]
        d_kernels.append(
            [ops.matmul(ops.transpose(flatten_time(u)), flatten_time(dz[i])) for u in us]
        )
    d_biases = [[ops.sum(flatten_time(dz[i]), axis=0) for _ in b] for i, b in enumerate(weights[1])]
    return d_kernels, d_biases


def _sources(program: StepProgram, before: list, residuals: list, learned: list) -> list[list]:
    """u_ij of every step; where code stands before one, the step is run on all steps at once."""
    maps, origins = program.maps, program.structure.sources
    values: dict[int, Any] = {}

    def at(origin: tuple) -> Any:
        kind, number = origin
        if kind == "state":
            return before[number]
        if number not in values:
            residual, part = residuals[number], maps[number]
            with program.values_of(learned):
                values[number] = residual if part.slope else time_distributed(part.value, residual)
        return values[number]

    if not any(None in of_map for of_map in origins.values()):
        return [[at(origin) for origin in origins[i]] for i in range(len(maps))]
    found = {}

    def affine(i: int, *us: Any) -> Any:
        found[i] = us
        return maps[i].split(maps[i].replay(flatten_time(residuals[i])))

    with program.values_of(learned):
        program.step(affine, [flatten_time(state) for state in before])
    steps = ops.shape(before[0])[0]
    return [[ops.reshape(u, (steps, -1, u.shape[-1])) for u in found[i]] for i in range(len(maps))]


def flatten_time(x: Any) -> Any:
    """(T, B, n) as (T * B, n)."""
    return ops.reshape(x, (-1, x.shape[-1]))


def time_distributed(function: Callable, x: Any) -> Any:
    """`function` of (B, n) at all steps of x, (T, B, n), at once."""
    y = function(flatten_time(x))
    return ops.reshape(y, (*ops.shape(x)[:-1], *y.shape[1:]))

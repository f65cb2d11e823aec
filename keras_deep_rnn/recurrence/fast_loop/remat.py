"""Gradient checkpointing: the backward pass from the states alone, in chunks of time."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ..affine import affine_of
from ..loop import backend
from .weight_gradients import flatten_time, weight_gradients


def backward_in_chunks(
    loop: Any, gradient: list, after: list, per_step: list, per_row: list, weights: list
) -> tuple[list, list, list]:
    """The gradients of the projections, of the first states and of the weights.

    As every s(t-1) is known, the affine maps of a chunk are products over all its steps. Where the
    chunks do not fill the time, the first reaches into the second, whose steps it masks.

    Args:
        loop: The `FastLoop`, with `remat` steps to a chunk.
        gradient: Of the states at every step, (T, B, H) each.
        after: The states at every step, (T, B, H) each.
        per_step: See `FastLoop`, as for the next two.
        per_row: The states before the first step, and the mask of recurrent dropout.
        weights: Kernels, biases and values of the variables.
    """
    (projections, masks), (states, recurrent_mask) = per_step, per_row
    program, (kernels, biases, learned) = loop.program, weights
    rows, length = ops.shape(states[0])[0], ops.shape(gradient[0])[0]
    known = isinstance(length, int)
    steps = min(loop.remat, length) if known else ops.minimum(loop.remat, length)
    steps_of_first = (length - 1) % steps + 1
    filled = known and steps_of_first == steps
    count = len(states)

    def cut(x: Any, start: Any, size: Any) -> Any:
        return ops.slice(x, (start, 0, 0), (size, rows, x.shape[-1]))

    def residuals_of(before: list, chunk: Callable) -> list:
        """The residuals of a chunk from the states at t-1."""
        stored: dict[int, Any] = {}
        tiled = [ops.tile(mask, (steps, 1)) for mask in recurrent_mask]
        affine = affine_of(
            program.maps, [flatten_time(chunk(p)) for p in projections], kernels, biases, *tiled,
            stored=stored,
        )  # fmt: skip
        with program.values_of(learned):
            program.step(affine, [flatten_time(state) for state in before])
        return [
            ops.reshape(stored[i], (steps, rows, stored[i].shape[-1]))
            for i in range(len(program.maps))
        ]

    def one_chunk(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        d_states, sums = carry[:count], carry[count:]
        (end,) = inputs
        start = ops.maximum(end - steps, 0)
        chunk = functools.partial(cut, start=start, size=steps)
        before = []
        for first, later in zip(states, after):
            found = ops.where(start > 0, cut(later, ops.maximum(start - 1, 0), 1), first)
            before.append(ops.concatenate([found, cut(later, start, steps - 1)], axis=0))
        residuals = residuals_of(before, chunk)
        d_chunk, chunk_masks = [chunk(g) for g in gradient], [chunk(mask) for mask in masks]
        if not filled:
            own = ops.reshape(start + ops.arange(steps) < end, (-1, 1, 1))
            d_chunk = [ops.where(own, d, ops.zeros_like(d)) for d in d_chunk]
            own = ops.cast(own, states[0].dtype)
            ones = ops.ones((1, rows, 1), own.dtype)
            chunk_masks = [own * mask for mask in chunk_masks or [ones]]
        sequences = [d_chunk, before, residuals, chunk_masks]
        d_states, d_learned, dz = loop.deltas(d_states, sequences, recurrent_mask, weights)
        more = weight_gradients(program, dz, before, residuals, recurrent_mask, weights)
        sums = [a + b for a, b in zip(sums, keras.tree.flatten([*more, d_learned]))]
        return [*d_states, *sums], [dz[i] for i in program.input_maps]

    ends = ops.arange(steps_of_first, length + 1, steps, dtype="int32")
    carry = [ops.zeros_like(x) for x in keras.tree.flatten([states, weights])]
    size = steps if known else None
    shapes = [(size, states[0].shape[0], program.maps[i].width) for i in program.input_maps]
    carry, d_projections = backend().looped(one_chunk, shapes, reverse=True)(carry, [ends], [])
    joined = []
    for d in d_projections:
        d = ops.reshape(d, (-1, rows, d.shape[-1]))
        joined.append(d if filled else ops.concatenate([d[:steps_of_first], d[steps:]], axis=0))
    d_weights = keras.tree.pack_sequence_as(weights, carry[count:])
    return joined, carry[:count], d_weights

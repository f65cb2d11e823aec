"""The loop over time of one step, with a custom gradient."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from .. import persistent
from ..affine import AffineMap, affine_of
from ..loop import Loop, backend, run
from .remat import backward_in_chunks
from .step_program import StepProgram
from .structure import Structure
from .weight_gradients import weight_gradients


class FastLoop:
    """The loop over time of one step.

    Its methods share these arguments:

        per_step: [projections, masks]: p_i, (T, B, width of z_i), of the maps that x feeds; masks
            (T, B, 1) or (T, B, H): none, one for all states, or one for each. Where a mask is 0,
            the state stays as it is.
        per_row: [states, recurrent_mask]: the states before the first step, (B, H) each; the mask
            of recurrent dropout, (B, H), in a list, or an empty one.
        weights: [kernels, biases, learned]: see `affine_of`; learned are the values of `variables`.

    Args:
        maps: The affine maps of the step.
        step: Function of `affine` and the list of states at t-1; gives the list of states at t.
        structure: That of the step.
        variables: Those that the step reads beside its kernels and biases.
        dtype: The type that is computed in.
        loop: How to run.
        xla: Whether XLA compiles the loops.
    """

    def __init__(
        self,
        maps: Sequence[AffineMap],
        step: Callable,
        structure: Structure,
        variables: Sequence[keras.Variable],
        dtype: str,
        loop: Loop,
        xla: bool,
    ) -> None:
        self.program = StepProgram(maps, step, structure, variables, dtype, loop.one_product())
        self.remat = loop.remat
        self._chain = persistent.chain_of(self.program.maps, structure, loop)
        self._parts = loop.parts()

        widths = [part.width for part in self.program.maps]
        stored = [widths[i] for i in self.program.stored]
        looped = functools.partial(backend().looped, xla=xla)
        states_alone = functools.partial(self.program.forward, residuals=False)
        self._loop_states = looped(states_alone, structure.widths)
        self._loop_forward = looped(self.program.forward, [*structure.widths, *stored])
        self._loop_backward = looped(self.program.backward, widths, reverse=True)
        compiled = backend().compiled
        forward_loop = self._loop_states if self.remat else self._loop_forward
        self._forward_states = compiled(functools.partial(self._forward_part, self._loop_states))
        self._forward_residuals = compiled(functools.partial(self._forward_part, forward_loop))
        backward = functools.partial(backward_in_chunks, self) if self.remat else self._backward
        self._backward_part = compiled(backward)

    def __call__(
        self, projections: list, states: list, masks: Sequence, recurrent_mask: Any, weights: list
    ) -> list:
        """The states at every step, (T, B, H) each; `recurrent_mask` may be None."""
        masks = [ops.cast(mask, states[0].dtype) for mask in masks]
        recurrent_mask = [] if recurrent_mask is None else [recurrent_mask]
        arguments = [[list(projections), masks], [list(states), recurrent_mask], weights]

        def packed(function: Callable) -> Callable:
            return lambda *flat: function(*keras.tree.pack_sequence_as(arguments, list(flat)))

        def gradients(gradient: list, residuals: list, flat: list) -> list:
            return keras.tree.flatten(packed(self._gradients)(*flat)(gradient, residuals))

        function = backend().with_gradient(
            packed(lambda *parts: self._forward(self._forward_states, *parts)[0]),
            packed(functools.partial(self._forward, self._forward_residuals)),
            gradients,
            packed(self._plain),
        )
        return function(*keras.tree.flatten(arguments))

    def _plain(self, per_step: list, per_row: list, weights: list) -> list:
        """The same by the plain loop, for what a custom gradient cannot do."""
        (projections, masks), (states, recurrent_mask) = per_step, per_row
        kernels, biases, learned = weights
        program = self.program

        def step(inputs: list, states: list) -> list:
            affine = affine_of(program.maps, inputs, kernels, biases, *recurrent_mask)
            with program.values_of(learned):
                return program.step(affine, states)

        return run(step, projections, states, [mask > 0 for mask in masks])

    def _split_batch(self, per_step: list, per_row: list) -> list:
        """The pairs (per_step, per_row) of the parts of the batch."""
        parts, least = self._parts
        if parts == 1:
            return [(per_step, per_row)]
        split = functools.partial(backend().split, parts=parts, least=least)
        return [
            (
                keras.tree.pack_sequence_as(per_step, list(steps)),
                keras.tree.pack_sequence_as(per_row, list(rows)),
            )
            for steps, rows in zip(
                split(keras.tree.flatten(per_step), axis=1),
                split(keras.tree.flatten(per_row), axis=0),
            )
        ]

    def _layout(self, sequence: Any, masks: list, recurrent_mask: list) -> Any:
        """The layout of the persistent kernel for a sequence, (T, B, n); None without it."""
        if self._chain is None or recurrent_mask or any(mask.shape[-1] > 1 for mask in masks):
            return None
        if not all(isinstance(size, int) for size in sequence.shape):
            return None
        batch, dtype = sequence.shape[1], self.program.dtype
        return persistent.layout(self._chain, batch, dtype, *backend().processors(sequence))

    # Forward

    def _forward(self, part: Callable, per_step: list, per_row: list, weights: list) -> tuple:
        """The states at every step, and the outputs of the loop of each part of the batch."""
        found = [part(*of_part, weights) for of_part in self._split_batch(per_step, per_row)]
        count = len(per_row[0])
        return [_join([outputs[k] for outputs in found], 1) for k in range(count)], found

    def _forward_part(self, loop: Callable, per_step: list, per_row: list, weights: list) -> list:
        (projections, masks), (_, recurrent_mask) = per_step, per_row
        layout = projections and self._layout(projections[0], masks, recurrent_mask)
        steps = functools.partial(self._forward_steps, loop)
        if not layout:
            return steps(per_step, per_row, weights)

        def kernel(per_step: list, per_row: list, weights: list) -> list:
            (projections, masks), ((first,), _) = per_step, per_row
            launch = backend().launch
            found = persistent.forward(launch, layout, projections, first, masks, weights[:2])
            return found if loop is self._loop_forward else found[:1]

        return backend().with_kernel(kernel, steps)(per_step, per_row, weights)

    def _forward_steps(self, loop: Callable, per_step: list, per_row: list, weights: list) -> list:
        (projections, masks), (states, recurrent_mask) = per_step, per_row
        constants = self.program.forward_constants(weights, recurrent_mask)
        return loop(states, [*projections, *masks], constants)[1]

    # Backward

    def _gradients(self, per_step: list, per_row: list, weights: list) -> Callable:
        """The function from the gradients of the states and the residuals to those of all else."""

        def gradients(gradient: list, residuals: list) -> list:
            parts = self._split_batch([gradient, *per_step], per_row)
            found = [
                self._backward_part(gradient, outputs, per_step, per_row, weights)
                for ((gradient, *per_step), per_row), outputs in zip(parts, residuals)
            ]
            d_projections, d_states, d_weights = zip(*found)
            return [
                [[_join(x, 1) for x in zip(*d_projections)], zeros_like(per_step[1])],
                [[_join(x, 0) for x in zip(*d_states)], zeros_like(per_row[1])],
                keras.tree.map_structure(lambda *x: functools.reduce(operator.add, x), *d_weights),
            ]

        return gradients

    def _backward(
        self, gradient: list, outputs: list, per_step: list, per_row: list, weights: list
    ) -> tuple[list, list, list]:
        """The gradients of the projections, of the first states and of the weights."""
        (projections, masks), (states, recurrent_mask) = per_step, per_row
        after, stored = outputs[: len(states)], outputs[len(states) :]
        before = [
            ops.concatenate([ops.expand_dims(first, 0), later[:-1]], axis=0)
            for first, later in zip(states, after)
        ]
        residuals = self.program.residuals(projections, after, stored)
        layout = self._layout(gradient[0], masks, recurrent_mask)
        deltas = self.deltas

        def kernel(_: list, sequences: list, __: list, weights: list) -> tuple:
            (gradient,), _, residuals, masks = sequences
            launch = backend().launch
            first, dz = persistent.backward(launch, layout, gradient, residuals, masks, weights[0])
            return [first], [], dz

        if layout:
            deltas = backend().with_kernel(kernel, deltas)
        sequences = [gradient, before, residuals, masks]
        d_states, d_learned, dz = deltas(zeros_like(states), sequences, recurrent_mask, weights)
        d_kernels, d_biases = weight_gradients(
            self.program, dz, before, residuals, recurrent_mask, weights
        )
        d_projections = [dz[i] for i in self.program.input_maps]
        return d_projections, d_states, [d_kernels, d_biases, d_learned]

    def deltas(
        self, d_states: list, sequences: list, recurrent_mask: list, weights: list
    ) -> tuple[list, list, list]:
        """The backward loop.

        Args:
            d_states: The gradients of the states after the last step, (B, H) each.
            sequences: Four lists of tensors (T, B, n): the gradients of the states from outside the
                loop, the states at t-1, the residuals, and the masks.
            recurrent_mask: See `per_row` of the class.
            weights: See the class.

        Returns:
            The gradients of the states before the first step, of the variables, and dz_i of every
            step.
        """
        carry = [*d_states, *zeros_like(weights[2])]
        constants = self.program.backward_constants(weights, recurrent_mask)
        inputs = [x for tensors in sequences for x in tensors]
        carry, dz = self._loop_backward(carry, inputs, constants)
        return carry[: len(d_states)], carry[len(d_states) :], dz


def _join(parts: Sequence, axis: int) -> Any:
    """The results of the parts of a batch as those of the whole."""
    return parts[0] if len(parts) == 1 else ops.concatenate(list(parts), axis=axis)


def zeros_like(tensors: list) -> list:
    """A tensor of zeros for each."""
    return [ops.zeros_like(x) for x in tensors]

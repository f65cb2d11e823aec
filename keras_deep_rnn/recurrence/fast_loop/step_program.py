"""One step of the fast loop: forward, and backward by replaying it.

The forward step stores the residual of each affine map: a_i where the slope of phi_i follows from
it, else z_i. The backward step runs the step once more with the value of each map taken from its
residual, so that it computes no product of the forward step again and the backend differentiates
only what stands between the products. dz_i reaches the sources of a map as dz_i W_ij^T.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ...utils.keras_compat import autocast
from ..affine import AffineMap, affine_of
from ..loop import backend, for_each
from .structure import Structure


class StepProgram:
    """The two bodies that the loops run, and what they store for each other.

    Args:
        maps: The affine maps of the step.
        step: Function of `affine` and the list of states at t-1; gives the list of states at t.
        structure: That of the step.
        variables: Those that the step reads beside its kernels and biases.
        dtype: The type that is computed in.
        one_product: Whether all products with a state are one.

    Attributes:
        input_maps: The maps that x feeds.
        as_state: {map: state} of the maps whose residual is the state, where it is the only one. Of
            several, zoneout can refuse the new values of one, which others may read all the same.
        as_projection: {map: number among `input_maps`} of those whose residual is a projection.
        stored: The other maps, whose residuals are stored as such.
        state_products: (k, whether recurrent dropout applies, [(map, source), ...]): the products
            of state k, each with the kernels of its pairs side by side.
    """

    def __init__(
        self,
        maps: Sequence[AffineMap],
        step: Callable,
        structure: Structure,
        variables: Sequence[keras.Variable],
        dtype: str,
        one_product: bool,
    ) -> None:
        self.maps, self.step, self.structure = list(maps), step, structure
        self.variables, self.dtype = list(variables), dtype
        self.input_maps = [i for i, part in enumerate(self.maps) if part.x]
        self.as_state: dict[int, int] = {}
        first, *others = structure.results
        if not others and first and first[0] == "map" and self.maps[first[1]].slope:
            self.as_state[first[1]] = 0
        # Where x alone feeds a map, its projection is z.
        self.as_projection = {
            i: number
            for number, i in enumerate(self.input_maps)
            if not self.maps[i].sources and not self.maps[i].slope
        }
        known = {*self.as_state, *self.as_projection}
        self.stored = [i for i in range(len(self.maps)) if i not in known]
        self.state_products = []
        for k in range(len(structure.results)):
            for drops in (False, True):
                pairs = [
                    (i, j)
                    for i, j in structure.maps_reading_state(k)
                    if (j in self.maps[i].dropped) == drops
                ]
                groups = [pairs] if one_product else [[pair] for pair in pairs]
                self.state_products += [(k, drops, group) for group in groups if group]
        self._in_state_products = {pair for *_, group in self.state_products for pair in group}

    def values_of(self, learned: list) -> contextlib.AbstractContextManager:
        """In the block, the variables of the step have these values."""
        if not self.variables:
            return contextlib.nullcontext()
        stack = contextlib.ExitStack()
        stack.enter_context(keras.StatelessScope(list(zip(self.variables, learned))))
        stack.enter_context(autocast(self.dtype))
        return stack

    # Forward

    def forward_constants(self, weights: list, recurrent_mask: list) -> list:
        """What `forward` reads in every step."""
        kernels, biases, learned = weights
        matrices = [
            side_by_side([kernels[i][j] for i, j in group]) for *_, group in self.state_products
        ]
        return [matrices, kernels, biases, learned, recurrent_mask]

    def forward(
        self, states: list, inputs: list, constants: list, residuals: bool = True
    ) -> tuple[list, list]:
        """One step: the new states, and the same with the residuals of `stored` after them.

        Args:
            states: Those at t-1, (B, H) each.
            inputs: The projections at t, then the masks at t.
            constants: See `forward_constants`.
            residuals: Whether to give out the residuals too.
        """
        matrices, kernels, biases, learned, recurrent_mask = constants
        projections, masks = inputs[: len(self.input_maps)], inputs[len(self.input_maps) :]
        products, stored = {}, {}
        for (k, drops, group), matrix in zip(self.state_products, matrices):
            source = states[k] * recurrent_mask[0] if drops and recurrent_mask else states[k]
            products |= zip(group, self._split_columns(ops.matmul(source, matrix), group))
        affine = affine_of(
            self.maps, projections, kernels, biases, *recurrent_mask,
            products=products, stored=stored,
        )  # fmt: skip
        with self.values_of(learned):
            new = self.step(affine, states)
        if masks:
            live = [mask > 0 for mask in for_each(masks, new)]
            new = [ops.where(*values) for values in zip(live, new, states)]
        return list(new), [*new, *(stored[i] for i in self.stored if residuals)]

    def _split_columns(self, product: Any, group: list) -> list:
        """The products of a group, which stand side by side."""
        if len(group) == 1:
            return [product]
        ends = list(itertools.accumulate(self.maps[i].width for i, _ in group))
        return [product[..., start:end] for start, end in zip([0, *ends], ends)]

    def residuals(self, projections: list, after: list, stored: list) -> list:
        """The residual of each map, from the projections, the states and what was stored."""
        found = dict(zip(self.stored, stored))
        found |= {i: projections[number] for i, number in self.as_projection.items()}
        found |= {i: after[k] for i, k in self.as_state.items()}
        return [found[i] for i in range(len(self.maps))]

    # Backward

    def backward_constants(self, weights: list, recurrent_mask: list) -> list:
        """What `backward` reads in every step."""
        kernels, _, learned = weights
        # Laid out before the loop: a product with a matrix that stands transposed in memory takes
        # up to twice as long.
        matrices = [
            ops.transpose(side_by_side([kernels[i][j] for i, j in group]))
            for *_, group in self.state_products
        ]
        others = [
            [ops.transpose(w) for j, w in enumerate(ws) if (i, j) not in self._in_state_products]
            for i, ws in enumerate(kernels)
        ]
        return [matrices, others, learned, recurrent_mask]

    def backward(self, carry: list, inputs: list, constants: list) -> tuple[list, list]:
        """One step backward: the gradients at t-1, and dz_i.

        Args:
            carry: The gradients of the states, then those of the variables.
            inputs: The gradients of the states from outside, the states at t-1, the residuals and
                the masks, all at t.
            constants: See `backward_constants`.
        """
        matrices, others, learned, recurrent_mask = constants
        count = len(self.structure.widths)
        gradient, before = inputs[:count], inputs[count : 2 * count]
        residuals = inputs[2 * count : 2 * count + len(self.maps)]
        masks = inputs[2 * count + len(self.maps) :]
        d_states = [ds + g for ds, g in zip(carry, gradient)]
        passed = []
        if masks:
            live = [mask > 0 for mask in for_each(masks, d_states)]
            passed = [ops.where(on, ops.zeros_like(ds), ds) for on, ds in zip(live, d_states)]
            d_states = [ops.where(on, ds, ops.zeros_like(ds)) for on, ds in zip(live, d_states)]
        replays = [
            backend().replay(transposed, part.slope) for transposed, part in zip(others, self.maps)
        ]

        def replay(states: list, probes: list, learned: list) -> list:
            def affine(i: int, *us: Any) -> Any:
                part = self.maps[i]
                sources = [
                    part.drop(j, u, recurrent_mask)
                    for j, u in enumerate(us)
                    if (i, j) not in self._in_state_products
                ]
                return part.split(part.replay(replays[i](residuals[i], probes[i], *sources)))

            with self.values_of(learned):
                return list(self.step(affine, states))

        probes = [ops.zeros_like(residual) for residual in residuals]
        d_before, dz, d_learned = backend().vjp(replay, [before, probes, learned], d_states)
        for (k, drops, group), matrix in zip(self.state_products, matrices):
            found = ops.matmul(side_by_side([dz[i] for i, _ in group]), matrix)
            if drops and recurrent_mask:
                found = found * recurrent_mask[0]
            d_before[k] = d_before[k] + found
        if masks:
            d_before = [d + more for d, more in zip(d_before, passed)]
        return [*d_before, *(a + b for a, b in zip(carry[count:], d_learned))], dz


def side_by_side(values: list) -> Any:
    """Tensors joined along their last axis."""
    return values[0] if len(values) == 1 else ops.concatenate(values, axis=-1)

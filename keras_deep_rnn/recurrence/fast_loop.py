"""The fast loop: one loop with a custom gradient for any step of affine maps.

    z_i(t) = sum_j u_ij(t) W_ij + p_i(t),     a_i(t) = phi_i(z_i(t))
    s(t) = step(affine, s(t-1))

A step names its products, `affine(i, u_1, u_2, ...)` for a_i, and may have any differentiable code
between them. p_i is x(t) U_i + b_i where x feeds the map, else b_i. Three things make it fast:

- x U of the whole sequence is one product before it.
- The backward loop computes no product of the forward loop again. It *replays* the step with the
  value of each affine map taken from the residuals, so that the backend differentiates only what
  stands between them; the gradient of z_i reaches its sources u_ij as dz_i W_ij^T.
- The gradient of each W_ij is one product over all steps after the loop: u_ij^T dz_i.

Inside the loops time is the first axis.
"""

import contextlib
import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import activations, ops

from ..utils.errors import UserError
from ..utils.keras_compat import autocast, without_autocast
from . import persistent
from .loop import Loop, backend, for_each, run


@dataclasses.dataclass(frozen=True)
class Affine:
    """One affine map of a step: a = phi(u_1 W_1 + u_2 W_2 + ... + x U + b).

    Attributes:
        units: Width of a.
        sources: Widths of u_1, u_2, ...
        x: Whether the input feeds the map.
        activation: phi; None for the identity.
        dropped: Which of the sources recurrent dropout drops units of; they have the width of h.
        bias: Whether there is a bias; None: as the operator's `use_bias` says.
        pieces: In how many pieces of equal width a comes, such as gates; with more than one,
            `affine` gives their list.
    """

    units: int
    sources: Sequence[int] = ()
    x: bool = False
    activation: Callable | None = None
    dropped: Sequence[int] = (0,)
    bias: bool | None = None
    pieces: int = 1


# phi'(z) of the activations where it follows from a = phi(z), so that a is all that is stored.
SLOPES = {
    activations.tanh: lambda a: 1 - a * a,
    activations.sigmoid: lambda a: a * (1 - a),
    activations.relu: lambda a: ops.cast(a > 0, a.dtype),
}


@dataclasses.dataclass(frozen=True)
class AffineMap:
    """An affine map as the loop needs it: width of z, number of sources, see `Affine`."""

    width: int
    sources: int
    x: bool
    activation: Callable | None
    dropped: tuple[int, ...]
    pieces: int = 1

    @property
    def slope(self) -> Callable | None:
        """phi' as a function of a; None where z is stored and phi is replayed."""
        return next((s for phi, s in SLOPES.items() if phi is self.activation), None)

    def drop(self, j: int, u: Any, dropped: Sequence) -> Any:
        """Source j, with the units dropped that recurrent dropout drops of it, if any."""
        return u * dropped[0] if dropped and j in self.dropped else u

    def value(self, z: Any) -> Any:
        """a from z."""
        return z if self.activation is None else self.activation(z)

    def replayed(self, residual: Any) -> Any:
        """a from what was stored."""
        return residual if self.slope else self.value(residual)

    def cut(self, a: Any) -> Any:
        """a as a step sees it: whole, or the list of its pieces."""
        return a if self.pieces == 1 else list(ops.split(a, self.pieces, axis=-1))


class Apart:
    """Affine maps of which each piece is a map of its own, for a backend that cuts slowly.

    Attributes:
        maps: The maps of the pieces, in the order of their maps.
        of_map: Of each map the numbers of its pieces.
    """

    def __init__(self, maps: Sequence[AffineMap]) -> None:
        self.maps: list[AffineMap] = []
        self.of_map: list[range] = []
        for part in maps:
            # What is computed from the whole z, such as its normalization, keeps it whole.
            count = part.pieces if part.activation is None else 1
            piece = dataclasses.replace(
                part, width=part.width // count, pieces=part.pieces // count
            )
            self.of_map.append(range(len(self.maps), len(self.maps) + count))
            self.maps += [piece] * count

    def step(self, step: Callable) -> Callable:
        """The step with the maps of the pieces."""

        def step_of_pieces(affine: Callable, states: list) -> list:
            def whole(i: int, *us: Any) -> Any:
                found = [affine(k, *us) for k in self.of_map[i]]
                return found if len(found) > 1 else found[0]

            return step(whole, states)

        return step_of_pieces

    def cut(self, of_maps: Sequence[Sequence]) -> list[list]:
        """Of each piece what it has of the tensors of its map."""
        found = []
        for numbers, tensors in zip(self.of_map, of_maps):
            count = len(numbers)
            pieces = [ops.split(x, count, axis=-1) if count > 1 else [x] for x in tensors]
            found += [[x[k] for x in pieces] for k in range(count)]
        return found


def affine_of(
    maps: Sequence[AffineMap],
    projections: Sequence,
    kernels: Sequence[Sequence],
    biases: Sequence[Sequence],
    dropped: Any = None,
    arriving: dict | None = None,
    stored: dict | None = None,
) -> Callable:
    """What a step is called with: the function from i and its sources to a_i.

    Args:
        maps: The affine maps.
        projections: p_i of the maps that x feeds, in their order.
        kernels: Of each map the list of its W_ij.
        biases: Of each map b_i in a list, which is empty where p_i holds it or there is none.
        dropped: Factors of the sources that recurrent dropout drops, or None.
        arriving: u_ij W_ij by (i, j), as far as they are computed already.
        stored: Filled with what the backward pass needs of each map: a_i, or z_i.
    """
    fed = dict(zip((i for i, part in enumerate(maps) if part.x), projections))
    masks = [] if dropped is None else [dropped]

    def affine(i: int, *us: Any) -> Any:
        part, terms = maps[i], []
        for j, u in enumerate(us):
            if arriving and (i, j) in arriving:
                terms.append(arriving[i, j])
            else:
                terms.append(ops.matmul(part.drop(j, u, masks), kernels[i][j]))
        terms += [fed[i]] if part.x else []
        terms += biases[i]
        z = functools.reduce(operator.add, terms)
        a = part.value(z)
        if stored is not None:
            stored[i] = a if part.slope else z
        return part.cut(a)

    return affine


class Structure:
    """What a step does with its affine maps, found by one run of it.

    Attributes:
        sources: Of each map and source where it comes from: ("state", k), ("map", i), or None
            where code stands between.
        results: The same of each new state.
        order: The maps in the order of their use.
        updated: Names of the variables that the step updates.
    """

    def __init__(
        self, step: Callable, maps: list[AffineMap], widths: list[int], dtype: str, variables: list
    ) -> None:
        zeros = [ops.zeros((1, width), dtype) for width in widths]
        made: dict[int, Any] = {}
        self.sources: dict[int, list] = {}

        def place(u: Any) -> tuple | None:
            for kind, known in (("state", dict(enumerate(zeros))), ("map", made)):
                for number, value in known.items():
                    if u is value:
                        return kind, number
            return None

        def affine(i: int, *us: Any) -> Any:
            if not 0 <= i < len(maps) or i in made:
                raise UserError(
                    f"`step` must use each of its {len(maps)} affine maps once, got number {i}"
                    f"{' again' if i in made else ''}."
                )
            if len(us) != maps[i].sources:
                raise UserError(
                    f"affine map {i} must have {maps[i].sources} source(s), got {len(us)}."
                )
            self.sources[i] = [place(u) for u in us]
            made[i] = maps[i].value(ops.zeros((1, maps[i].width), dtype))
            return maps[i].cut(made[i])

        # JAX's trainer empties the variables while it runs; their values are in the scope outside.
        with without_autocast():
            values = [(variable, ops.convert_to_tensor(variable)) for variable in variables]
        with keras.StatelessScope(state_mapping=values) as scope, autocast(dtype):
            before = [scope.get_current_value(variable) for variable in variables]
            new = step(affine, zeros)
        if len(made) != len(maps):
            raise UserError(
                f"`step` must use each of its {len(maps)} affine maps, got {len(made)}."
            )
        self.widths = widths
        self.order = list(made)
        self.results = [place(state) for state in new]
        self.updated = [
            variable.path
            for variable, value in zip(variables, before)
            if scope.get_current_value(variable) is not value
        ]

    def reads_state(self, k: int) -> list[tuple[int, int]]:
        """The pairs (map, source) that are state k itself."""
        return [
            (i, places.index(("state", k)))
            for i, places in sorted(self.sources.items())
            if ("state", k) in places
        ]

    @property
    def without_code(self) -> bool:
        """Whether nothing stands between the affine maps and the states."""
        places = [*self.results, *(place for found in self.sources.values() for place in found)]
        return None not in places and all(place and place[0] == "map" for place in self.results)


class FastLoop:
    """The loop over time of one step.

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
        self.maps, self.step, self.structure = list(maps), step, structure
        self.variables, self.dtype, self.remat = list(variables), dtype, loop.remat
        self.chain = persistent.chain_of(self.maps, structure, loop)
        self.parts = loop.parts()
        self.fed = [i for i, part in enumerate(self.maps) if part.x]
        # A state that is the value of a map is stored as the state alone.
        self.as_state = {
            place[1]: k
            for k, place in enumerate(structure.results)
            if place and place[0] == "map" and self.maps[place[1]].slope
        }
        # Where x alone feeds a map, its projection is z.
        self.as_projection = {
            i: number
            for number, i in enumerate(self.fed)
            if not self.maps[i].sources and not self.maps[i].slope
        }
        known = {*self.as_state, *self.as_projection}
        self.stored = [i for i in range(len(self.maps)) if i not in known]
        # (k, whether units are dropped, the maps and sources that are state k): one product each.
        self.groups = []
        for k in range(len(structure.results)):
            for drops in (False, True):
                reads = [
                    (i, j)
                    for i, j in structure.reads_state(k)
                    if (j in self.maps[i].dropped) == drops
                ]
                groups = [reads] if loop.one_product() else [[read] for read in reads]
                self.groups += [(k, drops, group) for group in groups if group]
        self.arriving = {read for *_, group in self.groups for read in group}

        widths = [part.width for part in self.maps]
        looped = functools.partial(backend().looped, xla=xla)
        states_alone = functools.partial(self._step_forward, residuals=False)
        self._loop_alone = looped(states_alone, structure.widths)
        stored = [widths[i] for i in self.stored]
        self._loop_forward = looped(self._step_forward, [*structure.widths, *stored])
        self._loop_backward = looped(self._step_backward, widths, reverse=True)
        compiled = backend().compiled
        self._forward_alone = compiled(functools.partial(self._forward_part, self._loop_alone))
        self._forward_kept = compiled(
            functools.partial(
                self._forward_part, self._loop_alone if self.remat else self._loop_forward
            )
        )
        self._backward_part = compiled(self._chunks_backward if self.remat else self._backward)

    def __call__(
        self, projections: list, states: list, keep: Sequence, dropped: Any, weights: list
    ) -> list:
        """The states at every step.

        Args:
            projections: p_i, (T, B, width of z_i), of the maps that x feeds.
            states: Those before the first step, (B, H) each.
            keep: Masks (T, B, 1) or (T, B, H): none, one for all states, or one for each. Where it
                is 0, the state stays as it is.
            dropped: Factors of the sources that recurrent dropout drops, (B, H), or None.
            weights: The list of the kernels, of the biases (see `affine_of`), and of the values of
                `variables`.

        Returns:
            List of tensors (T, B, H).
        """
        keep = [ops.cast(mask, states[0].dtype) for mask in keep]
        dropped = [] if dropped is None else [dropped]
        arguments = [[list(projections), keep], [list(states), dropped], weights]

        def packed(function: Callable) -> Callable:
            return lambda *flat: function(*keras.tree.pack_sequence_as(arguments, list(flat)))

        def gradients(gradient: list, residuals: list, flat: list) -> list:
            return keras.tree.flatten(packed(self._gradients)(*flat)(gradient, residuals))

        function = backend().with_gradient(
            packed(lambda *parts: self._forward(self._forward_alone, *parts)[0]),
            packed(functools.partial(self._forward, self._forward_kept)),
            gradients,
            packed(self._plain),
        )
        return function(*keras.tree.flatten(arguments))

    def _plain(self, over_time: list, batched: list, weights: list) -> list:
        """The same by the plain loop, for what a custom gradient cannot do."""
        (projections, keep), (states, dropped) = over_time, batched
        kernels, biases, learned = weights

        def step(inputs: list, states: list) -> list:
            with self._values(learned):
                return self.step(affine_of(self.maps, inputs, kernels, biases, *dropped), states)

        return run(step, projections, states, [mask > 0 for mask in keep])

    def _values(self, learned: list) -> contextlib.AbstractContextManager:
        """In the block, the variables of the step have these values."""
        if not self.variables:
            return contextlib.nullcontext()
        stack = contextlib.ExitStack()
        stack.enter_context(keras.StatelessScope(list(zip(self.variables, learned))))
        stack.enter_context(autocast(self.dtype))
        return stack

    # Forward

    def _forward(self, part: Callable, over_time: list, batched: list, weights: list) -> tuple:
        """The states at every step, and of each part of the batch what its loop has put out."""
        found = [part(*of_part, weights) for of_part in self._split(over_time, batched)]
        count = len(batched[0])
        return [_joined([outputs[k] for outputs in found], 1) for k in range(count)], found

    def _on_chip(self, sequence: Any, keep: list, dropped: list) -> persistent.Layout | None:
        """How one kernel runs all steps of a sequence, (T, B, n); None where none does."""
        if self.chain is None or dropped or any(mask.shape[-1] > 1 for mask in keep):
            return None
        if not all(isinstance(size, int) for size in sequence.shape):
            return None
        return persistent.layout(self.chain, sequence.shape[1], self.dtype, *backend().processors())

    def _forward_part(self, loop: Callable, over_time: list, batched: list, weights: list) -> list:
        (projections, keep), (states, dropped) = over_time, batched
        on_chip = projections and self._on_chip(projections[0], keep, dropped)
        if not on_chip:
            return self._forward_steps(loop, over_time, batched, weights)
        found = persistent.forward(
            backend().launch, on_chip, projections, states[0], keep, weights[:2]
        )
        return found if loop is self._loop_forward else found[:1]

    def _forward_steps(self, loop: Callable, over_time: list, batched: list, weights: list) -> list:
        (projections, keep), (states, dropped) = over_time, batched
        kernels, biases, learned = weights
        matrices = [_side_by_side([kernels[i][j] for i, j in group]) for *_, group in self.groups]
        constants = [matrices, kernels, biases, learned, dropped]
        return loop(states, [*projections, *keep], constants)[1]

    def _step_forward(
        self, states: list, inputs: list, constants: list, residuals: bool = True
    ) -> tuple[list, list]:
        matrices, kernels, biases, learned, dropped = constants
        projections, keep = inputs[: len(self.fed)], inputs[len(self.fed) :]
        arriving, stored = {}, {}
        for (k, drops, group), matrix in zip(self.groups, matrices):
            source = states[k] * dropped[0] if drops and dropped else states[k]
            arriving |= zip(group, self._cut(ops.matmul(source, matrix), group))
        affine = affine_of(
            self.maps, projections, kernels, biases, *dropped, arriving=arriving, stored=stored
        )
        with self._values(learned):
            new = self.step(affine, states)
        if keep:
            live = [mask > 0 for mask in for_each(keep, new)]
            new = [ops.where(*values) for values in zip(live, new, states)]
        return list(new), [*new, *(stored[i] for i in self.stored if residuals)]

    # Backward

    def _gradients(self, over_time: list, batched: list, weights: list) -> Callable:
        """The function from the gradients of the states and the residuals to those of all else."""

        def gradients(gradient: list, residuals: list) -> list:
            parts = self._split([gradient, *over_time], batched)
            found = [
                self._backward_part(gradient, outputs, over_time, batched, weights)
                for ((gradient, *over_time), batched), outputs in zip(parts, residuals)
            ]
            d_projections, d_states, d_weights = zip(*found)
            return [
                [[_joined(x, 1) for x in zip(*d_projections)], _zeros(over_time[1])],
                [[_joined(x, 0) for x in zip(*d_states)], _zeros(batched[1])],
                keras.tree.map_structure(lambda *x: functools.reduce(operator.add, x), *d_weights),
            ]

        return gradients

    def _backward(
        self, gradient: list, outputs: list, over_time: list, batched: list, weights: list
    ) -> tuple[list, list, list]:
        """The gradients of the projections, of the first states and of the weights."""
        (projections, keep), (states, dropped) = over_time, batched
        after, stored = outputs[: len(states)], outputs[len(states) :]
        before = [
            ops.concatenate([ops.expand_dims(first, 0), later[:-1]], axis=0)
            for first, later in zip(states, after)
        ]
        residuals = self._residuals(projections, after, stored)
        on_chip = self._on_chip(gradient[0], keep, dropped)
        if on_chip:
            d_first, dz = persistent.backward(
                backend().launch, on_chip, gradient[0], residuals, keep, weights[0]
            )
            d_states, d_learned = [d_first], []
        else:
            d_states, d_learned, dz = self._deltas(
                _zeros(states), gradient, before, residuals, keep, dropped, weights
            )
        d_kernels, d_biases = self._products(dz, before, residuals, dropped, weights)
        return [dz[i] for i in self.fed], d_states, [d_kernels, d_biases, d_learned]

    def _residuals(self, projections: list, after: list, stored: list) -> list:
        """What is known of each map: a_i or z_i."""
        found = dict(zip(self.stored, stored))
        found |= {i: projections[number] for i, number in self.as_projection.items()}
        found |= {i: after[k] for i, k in self.as_state.items()}
        return [found[i] for i in range(len(self.maps))]

    def _deltas(
        self,
        d_states: list,
        gradient: list,
        before: list,
        residuals: list,
        keep: list,
        dropped: list,
        weights: list,
    ) -> tuple[list, list, list]:
        """The loop backward in time from the gradient after the last step.

        Returns:
            The gradients of the states before the first step, of the variables, and dz_i of every
            step.
        """
        kernels, _, learned = weights
        # Laid out before the loop: a product with a matrix that stands transposed in memory takes
        # up to twice as long.
        matrices = [
            ops.transpose(_side_by_side([kernels[i][j] for i, j in group]))
            for *_, group in self.groups
        ]
        others = [
            [ops.transpose(w) for j, w in enumerate(ws) if (i, j) not in self.arriving]
            for i, ws in enumerate(kernels)
        ]
        inputs = [*gradient, *before, *residuals, *keep]
        constants = [matrices, others, learned, dropped]
        carry = [*d_states, *_zeros(learned)]
        carry, dz = self._loop_backward(carry, inputs, constants)
        return carry[: len(d_states)], carry[len(d_states) :], dz

    def _step_backward(self, carry: list, inputs: list, constants: list) -> tuple[list, list]:
        matrices, others, learned, dropped = constants
        count = len(self.structure.widths)
        gradient, before = inputs[:count], inputs[count : 2 * count]
        residuals = inputs[2 * count : 2 * count + len(self.maps)]
        keep = inputs[2 * count + len(self.maps) :]
        d_states = [ds + g for ds, g in zip(carry, gradient)]
        passed = []
        if keep:
            live = [mask > 0 for mask in for_each(keep, d_states)]
            passed = [ops.where(on, ops.zeros_like(ds), ds) for on, ds in zip(live, d_states)]
            d_states = [ops.where(on, ds, ops.zeros_like(ds)) for on, ds in zip(live, d_states)]
        replays = [
            backend().replay(transposed, part.slope) for transposed, part in zip(others, self.maps)
        ]

        def replay(states: list, probes: list, learned: list) -> list:
            def affine(i: int, *us: Any) -> Any:
                part = self.maps[i]
                others = [
                    part.drop(j, u, dropped)
                    for j, u in enumerate(us)
                    if (i, j) not in self.arriving
                ]
                return part.cut(part.replayed(replays[i](residuals[i], probes[i], *others)))

            with self._values(learned):
                return list(self.step(affine, states))

        probes = [ops.zeros_like(residual) for residual in residuals]
        d_before, dz, d_learned = backend().vjp(replay, [before, probes, learned], d_states)
        for (k, drops, group), matrix in zip(self.groups, matrices):
            found = ops.matmul(_side_by_side([dz[i] for i, _ in group]), matrix)
            d_before[k] = d_before[k] + (found * dropped[0] if drops and dropped else found)
        if keep:
            d_before = [d + more for d, more in zip(d_before, passed)]
        return [*d_before, *(a + b for a, b in zip(carry[count:], d_learned))], dz

    def _products(
        self, dz: list, before: list, residuals: list, dropped: list, weights: list
    ) -> tuple[list, list]:
        """The gradients of the kernels and the biases, each from all steps at once."""
        sources = self._sources(before, residuals, weights[2])
        d_kernels = []
        for i, part in enumerate(self.maps):
            us = [part.drop(j, u, dropped) for j, u in enumerate(sources[i])]
            d_kernels.append([ops.matmul(ops.transpose(_rows(u)), _rows(dz[i])) for u in us])
        d_biases = [[ops.sum(_rows(dz[i]), axis=0) for _ in b] for i, b in enumerate(weights[1])]
        return d_kernels, d_biases

    def _sources(self, before: list, residuals: list, learned: list) -> list[list]:
        """u_ij of every step; where code stands before one, `step` is run on all steps at once."""
        places = self.structure.sources
        values: dict[int, Any] = {}

        def at(place: tuple) -> Any:
            kind, number = place
            if kind == "state":
                return before[number]
            if number not in values:
                residual, part = residuals[number], self.maps[number]
                with self._values(learned):
                    values[number] = residual if part.slope else over_rows(part.value, residual)
            return values[number]

        if not any(None in found for found in places.values()):
            return [[at(place) for place in places[i]] for i in range(len(self.maps))]
        found = {}

        def affine(i: int, *us: Any) -> Any:
            found[i] = us
            return self.maps[i].cut(self.maps[i].replayed(_rows(residuals[i])))

        with self._values(learned):
            self.step(affine, [_rows(state) for state in before])
        steps = ops.shape(before[0])[0]
        return [
            [ops.reshape(u, (steps, -1, u.shape[-1])) for u in found[i]]
            for i in range(len(self.maps))
        ]

    def _chunks_backward(
        self, gradient: list, outputs: list, over_time: list, batched: list, weights: list
    ) -> tuple[list, list, list]:
        """As `_backward` with the affine maps computed again, chunk by chunk of time.

        As every s(t-1) is known, those of a chunk are products over all its steps. Where the chunks
        do not fill the time, the first reaches into the second, whose steps it masks.
        """
        (projections, keep), (states, dropped) = over_time, batched
        after, (kernels, biases, learned) = outputs, weights
        rows, length = ops.shape(states[0])[0], ops.shape(gradient[0])[0]
        known = isinstance(length, int)
        chunk_steps = self.remat or 1
        steps = min(chunk_steps, length) if known else ops.minimum(chunk_steps, length)
        steps_of_first = (length - 1) % steps + 1
        filled = known and steps_of_first == steps
        count = len(states)

        def cut(x: Any, start: Any, size: Any) -> Any:
            return ops.slice(x, (start, 0, 0), (size, rows, x.shape[-1]))

        def chunk(carry: list, inputs: list, constants: list) -> tuple[list, list]:
            d_states, sums = carry[:count], carry[count:]
            (end,) = inputs
            start = ops.maximum(end - steps, 0)
            here = functools.partial(cut, start=start, size=steps)
            before = []
            for first, later in zip(states, after):
                found = ops.where(start > 0, cut(later, ops.maximum(start - 1, 0), 1), first)
                before.append(ops.concatenate([found, cut(later, start, steps - 1)], axis=0))
            stored: dict[int, Any] = {}
            factors = [ops.tile(factor, (steps, 1)) for factor in dropped]
            affine = affine_of(
                self.maps, [_rows(here(p)) for p in projections], kernels, biases, *factors,
                stored=stored,
            )  # fmt: skip
            with self._values(learned):
                self.step(affine, [_rows(state) for state in before])
            residuals = [
                ops.reshape(stored[i], (steps, rows, stored[i].shape[-1]))
                for i in range(len(self.maps))
            ]
            d_here, keep_here = [here(g) for g in gradient], [here(k) for k in keep]
            if not filled:
                own = ops.reshape(start + ops.arange(steps) < end, (-1, 1, 1))
                d_here = [ops.where(own, d, ops.zeros_like(d)) for d in d_here]
                own = ops.cast(own, states[0].dtype)
                ones = ops.ones((1, rows, 1), own.dtype)
                keep_here = [own * mask for mask in keep_here or [ones]]
            d_states, d_learned, dz = self._deltas(
                d_states, d_here, before, residuals, keep_here, dropped, weights
            )
            more = [*self._products(dz, before, residuals, dropped, weights), d_learned]
            sums = [a + b for a, b in zip(sums, keras.tree.flatten(more))]
            return [*d_states, *sums], [dz[i] for i in self.fed]

        ends = ops.arange(steps_of_first, length + 1, steps, dtype="int32")
        carry = [*_zeros(states), *_zeros(keras.tree.flatten(weights))]
        size = steps if known else None
        shapes = [(size, states[0].shape[0], self.maps[i].width) for i in self.fed]
        carry, d_projections = backend().looped(chunk, shapes, reverse=True)(carry, [ends], [])
        joined = []
        for d in d_projections:
            d = ops.reshape(d, (-1, rows, d.shape[-1]))
            joined.append(d if filled else ops.concatenate([d[:steps_of_first], d[steps:]], axis=0))
        d_weights = keras.tree.pack_sequence_as(weights, carry[count:])
        return joined, carry[:count], d_weights

    def _cut(self, wide: Any, group: list) -> list:
        """The products of a group, which stand side by side."""
        if len(group) == 1:
            return [wide]
        ends = list(itertools.accumulate(self.maps[i].width for i, _ in group))
        return [wide[..., start:end] for start, end in zip([0, *ends], ends)]

    def _split(self, over_time: list, batched: list) -> list:
        """What is over time and what is not, of each part of the batch."""
        if self.parts[0] == 1:
            return [(over_time, batched)]
        split = functools.partial(backend().split, parts=self.parts[0], least=self.parts[1])
        flat = (
            split(keras.tree.flatten(over_time), axis=1),
            split(keras.tree.flatten(batched), axis=0),
        )
        return [
            (
                keras.tree.pack_sequence_as(over_time, list(steps)),
                keras.tree.pack_sequence_as(batched, list(rows)),
            )
            for steps, rows in zip(*flat)
        ]


def _side_by_side(values: list) -> Any:
    return values[0] if len(values) == 1 else ops.concatenate(values, axis=-1)


def _joined(parts: Sequence, axis: int) -> Any:
    """The results of the parts of a batch as those of the whole."""
    return parts[0] if len(parts) == 1 else ops.concatenate(list(parts), axis=axis)


def _rows(x: Any) -> Any:
    """All steps of (T, B, n) one below the other."""
    return ops.reshape(x, (-1, x.shape[-1]))


def over_rows(function: Callable, x: Any) -> Any:
    """`function` of (B, n) at all steps of x, (T, B, n), at once."""
    y = function(_rows(x))
    return ops.reshape(y, (*ops.shape(x)[:-1], *y.shape[1:]))


def _zeros(tensors: list) -> list:
    return [ops.zeros_like(x) for x in tensors]


def fast_loop(*arguments: Any) -> FastLoop:
    """The fast loop of the backend; see `FastLoop` for the arguments."""
    if keras.backend.backend() == "torch":
        from .torch import TorchLoop

        return TorchLoop(*arguments)
    return FastLoop(*arguments)

"""The fast loop on PyTorch: in its own operations, or with a step that is traced once."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import torch
from keras import activations
from torch.fx.experimental.proxy_tensor import make_fx

from ..loop import for_each
from .fast_loop import FastLoop

# In-place operations of the activations whose slope follows from their value.
IN_PLACE = [
    (activations.tanh, torch.Tensor.tanh_),
    (activations.sigmoid, torch.Tensor.sigmoid_),
    (activations.relu, torch.Tensor.relu_),
]


def in_place(activation: Any) -> Callable:
    """The in-place operation of an activation whose slope follows from its value."""
    return next(operation for phi, operation in IN_PLACE if phi is activation)


def simplify(graph: torch.fx.Graph) -> None:
    """Removes needless operations from a traced step: most of their cost is the launch.

    Nothing is differentiated, so `detach` is not needed; neither is adding zeros; and the sum of a
    product and another term is one `addmm`.
    """
    aten = torch.ops.aten

    def value(node: torch.fx.Node) -> torch.Tensor:
        return node.meta["val"]

    for node in graph.find_nodes(op="call_function", target=aten.detach.default):
        node.replace_all_uses_with(node.args[0])
    for node in graph.find_nodes(op="call_function", target=aten.add.Tensor):
        if node.kwargs or not all(isinstance(x, torch.fx.Node) for x in node.args):
            continue
        for one, other in (node.args, node.args[::-1]):
            if one is other or len({value(x).dtype for x in (one, other, node)}) > 1:
                break
            same = [value(x).shape == value(node).shape for x in (one, other)]
            if one.target is aten.zeros_like.default and same[1]:
                node.replace_all_uses_with(other)
                break
            if one.target is aten.mm.default and len(one.users) == 1 and same[0]:
                with graph.inserting_before(node):
                    added = graph.call_function(aten.addmm.default, (other, *one.args))
                added.meta = node.meta
                node.replace_all_uses_with(added)
                break
    graph.eliminate_dead_code()


def traced_loop(body: Callable, reverse: bool = False) -> Callable:
    """See `loop`; the body is traced once for each set of shapes into PyTorch's operations.

    Otherwise autograd and the overhead of Keras's operations would take several times as long as
    the computation itself.
    """
    programs: dict[tuple, Callable] = {}

    def loop(carry: list, inputs: list, constants: list) -> tuple[list, list]:
        fixed = [x.detach() for x in keras.tree.flatten(constants)]
        steps = list(zip(*(x.detach().unbind() for x in inputs)))
        carry = [x.detach() for x in carry]
        count, size = len(carry), len(inputs)
        example = [*carry, *steps[0], *fixed]

        def flat_body(*flat: Any) -> list:
            own = keras.tree.pack_sequence_as(constants, list(flat[count + size :]))
            new, outputs = body(list(flat[:count]), list(flat[count : count + size]), own)
            return [*new, *outputs]

        key = tuple((x.shape, x.dtype, x.device) for x in example)
        if key not in programs:
            program = make_fx(flat_body)(*example)
            simplify(program.graph)
            program.recompile()
            programs[key] = program.forward
        run, history = programs[key], []
        for now in reversed(steps) if reverse else steps:
            found = run(*carry, *now, *fixed)
            carry = found[:count]
            history.append(found[count:])
        if reverse:
            history.reverse()
        return carry, [torch.stack(values) for values in zip(*history)]

    return loop


class TorchLoop(FastLoop):
    """The fast loop with outputs that are allocated once, and slopes that are computed once.

    Where code stands between the affine maps, both loops run a traced step instead.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        program = self.program
        slopes = all(part.slope for part in program.maps)
        # Which has one state, see `StepProgram.as_state`.
        self._affine_only = program.structure.affine_only and slopes and bool(program.as_state)
        states_alone = functools.partial(program.forward, residuals=False)
        self._traced = {
            self._loop_states: traced_loop(states_alone),
            self._loop_forward: traced_loop(program.forward),
        }
        self._loop_backward = traced_loop(program.backward, reverse=True)

    def _forward_steps(self, loop: Callable, per_step: list, per_row: list, weights: list) -> list:
        if not self._affine_only:
            return super()._forward_steps(self._traced[loop], per_step, per_row, weights)
        (projections, masks), (states, recurrent_mask) = per_step, per_row
        kernels, biases, _ = weights
        program, maps = self.program, self.program.maps
        length, batch = projections[0].shape[:2]
        new = functools.partial(states[0].new_empty, dtype=states[0].dtype)
        after = [new((length, batch, width)) for width in program.structure.widths]
        # Without a backward pass, all steps write their residuals into the same memory.
        residuals = loop is self._loop_forward
        stored = {
            i: new((length if residuals else 1, batch, maps[i].width)) for i in program.stored
        }
        outputs = [x.unbind() for x in after]
        rows = {i: x.unbind() if residuals else x.unbind() * length for i, x in stored.items()}
        # A map whose value is a state is written into the states, unless a mask may refuse it.
        as_state = program.as_state
        spare = {i: new((batch, maps[i].width)) for i in as_state} if masks else {}
        rows |= {i: [spare[i]] * length if masks else outputs[k] for i, k in as_state.items()}
        by_map = {i: p.unbind() for i, p in zip(program.input_maps, projections)}
        live = [(mask > 0).unbind() for mask in for_each(masks, states)] if masks else []
        parts = [
            (
                kernels[i],
                [j in part.dropped for j in range(part.sources)],
                biases[i][0] if biases[i] else None,
                in_place(part.activation),
            )
            for i, part in enumerate(maps)
        ]
        t = 0

        def affine(i: int, *us: Any) -> Any:
            matrices, drops, bias, activate = parts[i]
            z, first = rows[i][t], by_map[i][t] if i in by_map else bias
            for u, matrix, drop in zip(us, matrices, drops):
                u = u * recurrent_mask[0] if drop and recurrent_mask else u
                if first is z:
                    z.addmm_(u, matrix)
                elif first is None:
                    torch.mm(u, matrix, out=z)
                else:
                    torch.addmm(first, u, matrix, out=z)
                first = z
            if first is not z:
                z.copy_(first)
            return activate(z)

        for t in range(length):
            for k, value in enumerate(program.step(affine, states)):
                if live:
                    value = torch.where(live[k][t], value, states[k])
                if value is not outputs[k][t]:
                    outputs[k][t].copy_(value)
            states = [output[t] for output in outputs]
        return [*after, *(stored[i] for i in program.stored if residuals)]

    def deltas(
        self, d_states: list, sequences: list, recurrent_mask: list, weights: list
    ) -> tuple[list, list, list]:
        if not self._affine_only:
            return super().deltas(d_states, sequences, recurrent_mask, weights)
        # A step without code between its maps: each dz is da phi'(z).
        gradient, _, residuals, masks = sequences
        maps, structure = self.program.maps, self.program.structure
        transposed = [[w.t().contiguous() for w in ws] for ws in weights[0]]
        slopes = [part.slope(x) for part, x in zip(maps, residuals) if part.slope]
        live = [mask > 0 for mask in for_each(masks, gradient)] if masks else []
        # dz of a map whose value is a state: the part that comes from outside the loop.
        of_state = {origin[1]: k for k, origin in enumerate(structure.results) if origin}
        for i, k in of_state.items() if masks else ():
            slopes[i] = torch.where(live[k], slopes[i], torch.zeros_like(slopes[i]))
        held = [torch.where(on, torch.zeros_like(g), g) for on, g in zip(live, gradient)]
        outside = {i: (gradient[k] * slopes[i]).unbind() for i, k in of_state.items()}
        slopes = [slope.unbind() for slope in slopes]
        dz = [torch.empty_like(residual) for residual in residuals]
        rows = [x.unbind() for x in dz]
        readers: dict[tuple, list] = {}
        for i, origins in structure.sources.items():
            for j, origin in enumerate(origins):
                drop = j in maps[i].dropped and bool(recurrent_mask)
                readers.setdefault(origin, []).append((i, transposed[i][j], drop))
        order = [
            (i, of_state.get(i), readers.get(("map", i), [])) for i in reversed(structure.order)
        ]
        d_states = [d.clone() for d in d_states]
        for t in reversed(range(len(gradient[0]))):
            for i, k, reading in order:
                d = rows[i][t]
                if k is not None:
                    torch.addcmul(outside[i][t], d_states[k], slopes[i][t], out=d)
                # The first product is written, what follows is added to it.
                for number, (reader, matrix, drop) in enumerate(reading):
                    if drop or (k is not None):
                        found = torch.mm(rows[reader][t], matrix)
                        found = found * recurrent_mask[0] if drop else found
                        found.mul_(slopes[i][t])
                        d.add_(found) if number or k is not None else d.copy_(found)
                    elif number:
                        d.addcmul_(torch.mm(rows[reader][t], matrix), slopes[i][t])
                    else:
                        torch.mm(rows[reader][t], matrix, out=d).mul_(slopes[i][t])
            for k, d in enumerate(d_states):
                passed = None
                if masks:
                    passed = torch.where(live[k][t], torch.zeros_like(d), d) + held[k][t]
                for number, (reader, matrix, drop) in enumerate(readers.get(("state", k), [])):
                    if drop:
                        found = torch.mm(rows[reader][t], matrix).mul_(recurrent_mask[0])
                        d.add_(found) if number else d.copy_(found)
                    elif number:
                        d.addmm_(rows[reader][t], matrix)
                    else:
                        torch.mm(rows[reader][t], matrix, out=d)
                if passed is not None:
                    d.add_(passed)
        return d_states, [torch.zeros_like(value) for value in weights[2]], dz

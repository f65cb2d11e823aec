"""The loop on PyTorch, in its own operations, and how a function gets a custom gradient."""

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch
from keras import activations
from torch.fx.experimental.proxy_tensor import make_fx

from . import persistent
from .fast_loop import FastLoop
from .loop import for_each, number_of_parts
from .loop import unrolled as looped  # noqa: F401  (PyTorch runs step by step anyway)

# Operations in place of the activations whose slope follows from their value.
IN_PLACE = [
    (activations.tanh, torch.Tensor.tanh_),
    (activations.sigmoid, torch.Tensor.sigmoid_),
    (activations.relu, torch.Tensor.relu_),
]


def in_place(activation: Any) -> Callable:
    """The operation in place of an activation whose slope follows from its value."""
    return next(operation for phi, operation in IN_PLACE if phi is activation)


def simplify(graph: torch.fx.Graph) -> None:
    """Takes out of a traced step what only costs time: starting an operation is most of its cost.

    Nothing is differentiated, so nothing need be detached; adding zeros changes nothing; and what a
    product is added to can be the start of its sum.
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
    """See `loop`: the body is traced once for each set of shapes, into PyTorch's own operations.

    Where code stands between the affine maps, autograd and the calls of Keras's operations would
    take several times as long in every step as what they compute.
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
        without = self.structure.without_code and all(part.slope for part in self.maps)
        self._products_are_all = without
        alone = functools.partial(self._step_forward, residuals=False)
        self._traced = {
            self._loop_alone: traced_loop(alone),
            self._loop_forward: traced_loop(self._step_forward),
        }
        self._loop_backward = traced_loop(self._step_backward, reverse=True)

    def _forward_steps(self, loop: Callable, over_time: list, batched: list, weights: list) -> list:
        if not self._products_are_all:
            return super()._forward_steps(self._traced[loop], over_time, batched, weights)
        (projections, keep), (states, dropped) = over_time, batched
        kernels, biases, _ = weights
        length, batch = over_time[0][0].shape[:2]
        new = functools.partial(states[0].new_empty, dtype=states[0].dtype)
        after = [new((length, batch, width)) for width in self.structure.widths]
        kept = loop is self._loop_forward
        stored = {i: new((length if kept else 1, batch, self.maps[i].width)) for i in self.stored}
        outputs = [x.unbind() for x in after]
        # A map whose value is a state is written where that stays, unless it may be kept back.
        rows = {i: x.unbind() if kept else x.unbind() * length for i, x in stored.items()}
        spare = {i: new((batch, self.maps[i].width)) for i in self.as_state} if keep else {}
        rows |= {i: [spare[i]] * length if keep else outputs[k] for i, k in self.as_state.items()}
        fed = {i: p.unbind() for i, p in zip(self.fed, projections)}
        live = [(mask > 0).unbind() for mask in for_each(keep, states)] if keep else []
        parts = [
            (*self._affine_parts(i, kernels, biases), in_place(part.activation))
            for i, part in enumerate(self.maps)
        ]
        t = 0

        def affine(i: int, *us: Any) -> Any:
            matrices, drops, bias, activate = parts[i]
            z, first = rows[i][t], fed[i][t] if i in fed else bias
            for u, matrix, drop in zip(us, matrices, drops):
                u = u * dropped[0] if drop and dropped else u
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
            for k, value in enumerate(self.step(affine, states)):
                if live:
                    value = torch.where(live[k][t], value, states[k])
                if value is not outputs[k][t]:
                    outputs[k][t].copy_(value)
            states = [output[t] for output in outputs]
        return [*after, *(stored[i] for i in self.stored if kept)]

    def _affine_parts(self, i: int, kernels: list, biases: list) -> tuple:
        part = self.maps[i]
        drops = [j in part.dropped for j in range(part.sources)]
        return kernels[i], drops, (biases[i] or [None])[0]

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
        if self._products_are_all:
            return self._products_alone(d_states, gradient, residuals, keep, dropped, weights)
        return super()._deltas(d_states, gradient, before, residuals, keep, dropped, weights)

    def _products_alone(
        self,
        d_states: list,
        gradient: list,
        residuals: list,
        keep: list,
        dropped: list,
        weights: list,
    ) -> tuple[list, list, list]:
        """`_deltas` of a step without code between its maps: each is da phi'(z)."""
        kernels, places = weights[0], self.structure.sources
        transposed = [[w.t().contiguous() for w in ws] for ws in kernels]
        slopes = [part.slope(x) for part, x in zip(self.maps, residuals) if part.slope]
        live = [mask > 0 for mask in for_each(keep, gradient)] if keep else []
        # dh of a state that is a map's value: what comes from outside, times the slope, is at hand.
        of_state = {place[1]: k for k, place in enumerate(self.structure.results) if place}
        for i, k in of_state.items() if keep else ():
            slopes[i] = torch.where(live[k], slopes[i], torch.zeros_like(slopes[i]))
        held = [torch.where(on, torch.zeros_like(g), g) for on, g in zip(live, gradient)]
        outside = {i: (gradient[k] * slopes[i]).unbind() for i, k in of_state.items()}
        slopes = [slope.unbind() for slope in slopes]
        dz = [torch.empty_like(residual) for residual in residuals]
        rows = [x.unbind() for x in dz]
        readers: dict[tuple, list] = {}
        for i, found in places.items():
            for j, place in enumerate(found):
                drop = j in self.maps[i].dropped and bool(dropped)
                readers.setdefault(place, []).append((i, transposed[i][j], drop))
        order = [
            (i, of_state.get(i), readers.get(("map", i), []))
            for i in reversed(self.structure.order)
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
                        found = found * dropped[0] if drop else found
                        found.mul_(slopes[i][t])
                        d.add_(found) if number or k is not None else d.copy_(found)
                    elif number:
                        d.addcmul_(torch.mm(rows[reader][t], matrix), slopes[i][t])
                    else:
                        torch.mm(rows[reader][t], matrix, out=d).mul_(slopes[i][t])
            for k, d in enumerate(d_states):
                kept_back = None
                if keep:
                    kept_back = torch.where(live[k][t], torch.zeros_like(d), d) + held[k][t]
                for number, (reader, matrix, drop) in enumerate(readers.get(("state", k), [])):
                    if drop:
                        found = torch.mm(rows[reader][t], matrix).mul_(dropped[0])
                        d.add_(found) if number else d.copy_(found)
                    elif number:
                        d.addmm_(rows[reader][t], matrix)
                    else:
                        torch.mm(rows[reader][t], matrix, out=d)
                if kept_back is not None:
                    d.add_(kept_back)
        return d_states, [torch.zeros_like(value) for value in weights[2]], dz


def with_gradient(
    result: Callable, forward: Callable, backward: Callable, plain: Callable
) -> Callable:
    """See `tensorflow.with_gradient`."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *arguments: Any) -> tuple:
            values, residuals = forward(*arguments)
            context.structure = keras.tree.map_structure(lambda _: 0, residuals)
            kept = keras.tree.flatten(residuals)
            context.kept = len(kept)
            context.save_for_backward(*kept, *arguments)
            # PyTorch lets nobody write into a result that is a view or saved.
            return tuple(value.clone() for value in values)

        @staticmethod
        def backward(context: Any, *gradients: Any) -> tuple:  # pyright: ignore -- as PyTorch says
            saved = context.saved_tensors
            arguments = list(saved[context.kept :])
            if torch.is_grad_enabled():  # a gradient of the gradient is asked for
                return _differentiable(plain, arguments, gradients, context.needs_input_grad)
            residuals = keras.tree.pack_sequence_as(context.structure, list(saved[: context.kept]))
            return tuple(backward(list(gradients), residuals, arguments))

    def call(*arguments: Any) -> list:
        # What torch.func transforms, a custom gradient cannot follow; no public name says so.
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
    """The gradients of the arguments by the plain loop, which can be differentiated once more."""
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
    """`function` as it is: compiling a loop of PyTorch takes longer than it gains."""
    return function


def single_step(inference: Callable, cell: Any, xla: bool) -> Callable:
    """See `tensorflow.single_step`."""
    return torch.no_grad()(inference)


def from_numpy(values: Any, dtype: str) -> Any:
    """See `tensorflow.from_numpy`."""
    return keras.ops.convert_to_tensor(values, dtype)


def parts_side_by_side() -> int:
    """Into how many parts a batch is split: PyTorch runs one operation after the other."""
    return 1


def split(tensors: list, parts: int, least: int, axis: int = 0) -> list:
    """See `tensorflow.split`."""
    parts = number_of_parts(tensors[0].shape[axis], parts, least)
    if parts == 1:
        return [list(tensors)]
    return list(zip(*(torch.tensor_split(tensor, parts, axis) for tensor in tensors)))


def accelerated() -> bool:
    """See `tensorflow.accelerated`."""
    return torch.accelerator.is_available()


@functools.cache
def _processors() -> int:
    if not torch.cuda.is_available() or importlib.util.find_spec("triton") is None:
        return 0
    chip = torch.cuda.get_device_properties()
    return chip.multi_processor_count if chip.major >= persistent.CAPABILITY else 0


def processors() -> tuple[int, bool]:
    """How many multiprocessors a GPU has for the persistent kernel, and whether products of 32-bit
    numbers shall have 32 bits."""
    return _processors(), torch.get_float32_matmul_precision() == "highest"


def launch(
    kernel: str,
    inputs: list,
    outputs: list,
    sizes: tuple,
    on_chip: persistent.Layout,
    constants: dict,
) -> list:
    """Runs a kernel of `kernels`.

    Args:
        kernel: Its name.
        inputs: What it reads.
        outputs: What it writes, as it is before.
        sizes: T and B.
        on_chip: How the kernel lies on the chip.
        constants: Its other constants.

    Returns:
        The outputs after it.
    """
    from . import kernels  # needs Triton

    grid, constants = persistent.constants_of(sizes[1], on_chip, constants)
    # Programs wait for each other: they start together or not at all.
    together = {} if kernels.INTERPRETED else {"launch_cooperative_grid": True}
    with torch.cuda.device(inputs[0].device) if inputs[0].is_cuda else contextlib.nullcontext():
        getattr(kernels, kernel)[grid](
            *(x.contiguous() for x in inputs), *outputs, *sizes, *outputs, **constants, **together
        )
    return outputs


def cuts_slowly() -> bool:
    """See `jax.cuts_slowly`."""
    return False


def exporting(batch: int | None = 1) -> bool:
    """See `tensorflow.exporting`; here nothing depends on it."""
    return False


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """In the block, what the backend says of a custom gradient that it cannot use is explained."""
    yield

"""The persistent kernel, which keeps the weights on a GPU's chip: where it fits, and its calls.

It runs a step whose affine maps are a chain with nothing between them, as in the deep transition:

    a_1 = phi_1(h W_1 + p_1),    a_l = phi_l(a_(l-1) W_l + h S_l + p_l),    h = a_L

The kernel itself is in `kernels`, which needs Triton.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import activations, ops

UNSET = -1  # every bit set, which no kernel stores as a number
NAMES = {activations.tanh: "tanh", activations.sigmoid: "sigmoid", activations.relu: "relu"}
BITS = {"float32": "int32", "bfloat16": "int16"}
LARGEST_WIDTH = 512
CAPABILITY = 9  # the first major compute capability with enough shared memory
TILE = 16  # rows and columns of a program, the smallest that tensor cores multiply
WARPS = 4
PARTS = 8  # of a product over K, at most
# Bytes of a number on the chip: 16-bit types, TF32, and float32 as a sum of TF32 or bfloat16
# numbers whose products are as exact as float32.
BYTES = {"ieee": 2, "tf32": 4, "tf32x3": 8, "bf16x6": 6}
EXACT = ("tf32x3", "bf16x6")  # the fastest first
SHARED_MEMORY = 227 * 1024  # of a program, on the chips from compute capability 9.0 on


def padded(width: int) -> int:
    """A width at which all rows are aligned to 16 bytes."""
    return width + -width % 16


@dataclasses.dataclass(frozen=True)
class Chain:
    """The affine maps of a step that is a chain.

    Attributes:
        widths: n_l of each; the last is H.
        activations: Name of each phi_l.
        receives_input: Whether x feeds each.
        shortcut: Whether h feeds all of them.
    """

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    receives_input: tuple[bool, ...]
    shortcut: bool

    @property
    def matrices(self) -> int:
        """The number of W_l and S_l."""
        return len(self.widths) * (1 + self.shortcut) - self.shortcut


def chain_of(maps: Sequence, structure: Any, loop: Any) -> Chain | None:
    """The chain of a step's affine maps; None if it is none, or `loop` asks for no kernel."""
    if not loop.persistent or loop.remat:
        return None
    last = len(maps) - 1
    names = tuple(
        next((name for phi, name in NAMES.items() if phi is part.activation), "") for part in maps
    )
    sources = [structure.sources[i] for i in range(len(maps))]
    shortcut = last > 0 and len(sources[1]) == 2
    above = [[("map", i)] + [("state", 0)] * shortcut for i in range(last)]
    if (
        len(structure.widths) != 1
        or "" in names
        or structure.results != [("map", last)]
        or sources != [[("state", 0)], *above]
        or not any(part.x for part in maps)
        or max(part.width for part in maps) > LARGEST_WIDTH
    ):
        return None
    widths = tuple(part.width for part in maps)
    return Chain(widths, names, tuple(part.x for part in maps), shortcut)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a chain is laid out on the chip, see the constants of `kernels.forward`."""

    chain: Chain
    K: int
    P: int
    BM: int
    BN: int
    PRECISION: str


def layout(chain: Chain, batch: int, dtype: str, processors: int, exact: bool) -> Layout | None:
    """The layout on a chip of so many multiprocessors; None where the kernel does not fit.

    Args:
        chain: The maps.
        batch: Rows.
        dtype: Type of the numbers.
        processors: Number of multiprocessors; each runs one program.
        exact: Whether products of float32 are in float32.
    """
    if dtype not in BITS:
        return None
    columns = padded(max(chain.widths))
    if math.ceil(batch / TILE) * (columns // TILE) > processors:
        return None
    K = max(TILE, 1 << (columns - 1).bit_length())
    precisions = EXACT if exact else ("tf32",)
    for precision in precisions if dtype == "float32" else ("ieee",):
        if (chain.matrices + 1) * K * TILE * BYTES[precision] <= SHARED_MEMORY:
            return Layout(chain, K, min(PARTS, K // TILE), TILE, TILE, precision)
    return None


def constants_of(batch: int, layout: Layout, constants: dict) -> tuple[tuple[int, int], dict]:
    """The grid and all constants of a kernel."""
    chain = layout.chain
    columns = padded(max(chain.widths))
    grid = math.ceil(batch / layout.BM), math.ceil(columns / layout.BN)
    return grid, {
        **constants,
        "WIDTHS": chain.widths,
        "PHI": ",".join(chain.activations),
        "SHORTCUT": chain.shortcut,
        "K": layout.K,
        "P": layout.P,
        "BM": layout.BM,
        "BN": layout.BN,
        "PRECISION": layout.PRECISION,
        "num_warps": WARPS,
        "num_stages": 1,
    }


def forward(
    launch: Any, layout: Layout, projections: list, h: Any, masks: list, weights: list
) -> list:
    """h(t) and the a_l(t) below it of all steps, (T, B, n) each.

    Args:
        launch: The backend's, see `torch.launch`.
        layout: How the chain is laid out on the chip.
        projections: p_l, (T, B, n_l), of the maps that x feeds.
        h: That before the first step, (B, H).
        masks: The mask (T, B, 1) in a list, or an empty one.
        weights: The kernels and the biases of each map.
    """
    chain, (kernels, biases) = layout.chain, weights
    length, batch = projections[0].shape[:2]
    dtype = keras.backend.standardize_dtype(h.dtype)
    by_map, p = iter(projections), []
    for of_map, x, width in zip(biases, chain.receives_input, chain.widths):
        p.append(next(by_map) if x else (of_map[0] if of_map else ops.zeros((width,), dtype)))
    first = ops.view(ops.pad(h, ((0, 0), (0, padded(h.shape[-1]) - h.shape[-1]))), BITS[dtype])
    steps = _unset((length, *first.shape), dtype)
    inner = [(length, batch, padded(n)) for n in chain.widths[:-1]]
    found = launch(
        "forward",
        [_flatten(p), _flatten_weights(kernels), _mask(masks, h)],
        [
            ops.concatenate([ops.expand_dims(first, 0), steps]),
            _unset((max(1, sum(math.prod(shape) for shape in inner)),), dtype),
        ],
        (length, batch),
        layout,
        {"RECEIVES_INPUT": chain.receives_input, "MASKED": bool(masks)},
    )
    states, values = (ops.view(bits, dtype) for bits in found)
    values = _unflatten(values, inner)
    return [states[1:, :, : h.shape[-1]], *(v[..., :n] for v, n in zip(values, chain.widths))]


def backward(
    launch: Any,
    layout: Layout,
    gradient: Any,
    values: list,
    masks: list,
    kernels: list,
) -> tuple[Any, list]:
    """The gradients of h before the first step, (B, H), and of z_l of all steps, (T, B, n) each.

    Args:
        launch: The backend's, see `torch.launch`.
        layout: How the chain is laid out on the chip.
        gradient: That of h(t) from outside the loop, (T, B, H).
        values: a_l(t) of all maps; the last is h(t).
        masks: The mask (T, B, 1) in a list, or an empty one.
        kernels: Those of each map.
    """
    chain = layout.chain
    length, batch, width = gradient.shape
    dtype = keras.backend.standardize_dtype(gradient.dtype)
    *below, h = values
    shapes = [(length, batch, padded(n)) for n in chain.widths]
    bits, d_first = launch(
        "backward",
        [
            gradient,
            _flatten_weights(kernels),
            _mask(masks, gradient),
            h,
            _flatten(below) if below else gradient,
        ],
        [
            _unset((sum(math.prod(shape) for shape in shapes),), dtype),
            ops.zeros((batch, width), dtype),
        ],
        (length, batch),
        layout,
        {"MASKED": bool(masks)},
    )
    found = _unflatten(ops.view(bits, dtype), shapes)
    return d_first, [d[..., :n] for d, n in zip(found, chain.widths)]


def _unset(shape: tuple[int, ...], dtype: str) -> Any:
    return ops.full(shape, UNSET, BITS[dtype])


def _flatten(values: list) -> Any:
    """All tensors as one, flattened and concatenated."""
    flat = [ops.reshape(x, (-1,)) for x in values]
    return flat[0] if len(flat) == 1 else ops.concatenate(flat)


def _flatten_weights(kernels: list) -> Any:
    return _flatten([w for of_map in kernels for w in of_map])


def _mask(masks: list, unused: Any) -> Any:
    """The mask as (T, B); without one, a tensor that the kernel does not read."""
    return ops.cast(ops.squeeze(masks[0], -1), "float32") if masks else unused


def _unflatten(flat: Any, shapes: list) -> list:
    """The tensors of these shapes that `flat` concatenates."""
    found, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        found.append(ops.reshape(flat[start:end], shape))
        start = end
    return found

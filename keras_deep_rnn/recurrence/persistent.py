"""The kernel that keeps the weights on a GPU's chip: for which loops it is there, and its calls.

It is for a step whose affine maps are a chain with nothing between them, as in the deep transition:

    a_1 = phi_1(h W_1 + p_1),    a_l = phi_l(a_(l-1) W_l + h S_l + p_l),    h = a_L

See `kernels`, which needs Triton.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import activations, ops

UNSET = -1  # every bit set, which is no number that a kernel stores
NAMES = {activations.tanh: "tanh", activations.sigmoid: "sigmoid", activations.relu: "relu"}
BITS = {"float32": "int32", "bfloat16": "int16"}
LARGEST_WIDTH = 512
CAPABILITY = 9  # the first compute capability with so much memory on the chip
TILE = 16  # rows and columns of a program, the smallest that the chip's matrix units multiply
WARPS = 4
PARTS = 8  # of a product with K numbers, at most
# Bytes of a number on the chip: of 16 bits, in one piece (TF32), or in pieces whose products are
# together as exact as those of 32 bits.
BYTES = {"ieee": 2, "tf32": 4, "tf32x3": 8, "bf16x6": 6}
EXACT = ("tf32x3", "bf16x6")  # the fastest first
SHARED_MEMORY = 227 * 1024  # of a program, on the chips from compute capability 9.0 on


def padded(width: int) -> int:
    """A width at which all rows start at addresses that 16 bytes divide."""
    return width + -width % 16


@dataclasses.dataclass(frozen=True)
class Chain:
    """The maps of a step that are a chain.

    Attributes:
        widths: n_l of each; the last is H.
        activations: Name of each phi_l.
        fed: Whether x feeds each.
        shortcut: Whether h enters all of them.
    """

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    fed: tuple[bool, ...]
    shortcut: bool

    @property
    def matrices(self) -> int:
        """How many W_l and S_l there are."""
        return len(self.widths) * (1 + self.shortcut) - self.shortcut


def chain_of(maps: Sequence, structure: Any, loop: Any) -> Chain | None:
    """The chain that the affine maps of a step are; None if they are none, or none is asked for."""
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
    """How the kernels of a chain lie on the chip, see the constants of `kernels.forward`."""

    chain: Chain
    K: int
    P: int
    BM: int
    BN: int
    PRECISION: str


def layout(chain: Chain, batch: int, dtype: str, processors: int, exact: bool) -> Layout | None:
    """How the kernel lies on a chip of so many multiprocessors; None where it does not fit.

    Args:
        chain: The maps.
        batch: Rows.
        dtype: Type of the numbers.
        processors: How many programs are on the chip at once: one each.
        exact: Whether products of 32-bit numbers have 32 bits.
    """
    if dtype not in BITS:
        return None
    columns = padded(max(chain.widths))
    if math.ceil(batch / TILE) * (columns // TILE) > processors:
        return None
    K = max(TILE, 1 << (columns - 1).bit_length())
    of_float32 = EXACT if exact else ("tf32",)
    for precision in of_float32 if dtype == "float32" else ("ieee",):
        if (chain.matrices + 1) * K * TILE * BYTES[precision] <= SHARED_MEMORY:
            return Layout(chain, K, min(PARTS, K // TILE), TILE, TILE, precision)
    return None


def constants_of(batch: int, on_chip: Layout, constants: dict) -> tuple[tuple[int, int], dict]:
    """The grid and all constants of a kernel."""
    chain = on_chip.chain
    columns = padded(max(chain.widths))
    grid = math.ceil(batch / on_chip.BM), math.ceil(columns / on_chip.BN)
    return grid, {
        **constants,
        "WIDTHS": chain.widths,
        "PHI": ",".join(chain.activations),
        "SHORTCUT": chain.shortcut,
        "K": on_chip.K,
        "P": on_chip.P,
        "BM": on_chip.BM,
        "BN": on_chip.BN,
        "PRECISION": on_chip.PRECISION,
        "num_warps": WARPS,
        "num_stages": 1,
    }


def forward(
    launch: Any, on_chip: Layout, projections: list, h: Any, keep: list, weights: list
) -> list:
    """h(t) and the a_l(t) below it of all steps, (T, B, n) each.

    Args:
        launch: The backend's, see `torch.launch`.
        on_chip: How the kernel lies on the chip.
        projections: p_l, (T, B, n_l), of the maps that x feeds.
        h: That before the first step, (B, H).
        keep: The mask (T, B, 1) in a list, or nothing.
        weights: The kernels and the biases of each map.
    """
    chain, (kernels, biases) = on_chip.chain, weights
    length, batch = projections[0].shape[:2]
    dtype = keras.backend.standardize_dtype(h.dtype)
    fed, p = iter(projections), []
    for of_map, x, width in zip(biases, chain.fed, chain.widths):
        p.append(next(fed) if x else (of_map[0] if of_map else ops.zeros((width,), dtype)))
    first = ops.view(ops.pad(h, ((0, 0), (0, padded(h.shape[-1]) - h.shape[-1]))), BITS[dtype])
    steps = _unset((length, *first.shape), dtype)
    inner = [(length, batch, padded(n)) for n in chain.widths[:-1]]
    found = launch(
        "forward",
        [_flat(p), _flat_weights(kernels), _mask(keep, h)],
        [
            ops.concatenate([ops.expand_dims(first, 0), steps]),
            _unset((max(1, sum(math.prod(shape) for shape in inner)),), dtype),
        ],
        (length, batch),
        on_chip,
        {"FED": chain.fed, "MASKED": bool(keep)},
    )
    states, values = (ops.view(bits, dtype) for bits in found)
    values = _cut(values, inner)
    return [states[1:, :, : h.shape[-1]], *(v[..., :n] for v, n in zip(values, chain.widths))]


def backward(
    launch: Any,
    on_chip: Layout,
    gradient: Any,
    values: list,
    keep: list,
    kernels: list,
) -> tuple[Any, list]:
    """The gradients of h before the first step, (B, H), and of z_l of all steps, (T, B, n) each.

    Args:
        launch: The backend's, see `torch.launch`.
        on_chip: How the kernel lies on the chip.
        gradient: That of h(t) from outside, (T, B, H).
        values: a_l(t) of all maps; the last is h(t).
        keep: The mask (T, B, 1) in a list, or nothing.
        kernels: Those of each map.
    """
    chain = on_chip.chain
    length, batch, width = gradient.shape
    dtype = keras.backend.standardize_dtype(gradient.dtype)
    *below, h = values
    shapes = [(length, batch, padded(n)) for n in chain.widths]
    bits, d_first = launch(
        "backward",
        [
            gradient,
            _flat_weights(kernels),
            _mask(keep, gradient),
            h,
            _flat(below) if below else gradient,
        ],
        [
            _unset((sum(math.prod(shape) for shape in shapes),), dtype),
            ops.zeros((batch, width), dtype),
        ],
        (length, batch),
        on_chip,
        {"MASKED": bool(keep)},
    )
    found = _cut(ops.view(bits, dtype), shapes)
    return d_first, [d[..., :n] for d, n in zip(found, chain.widths)]


def _unset(shape: tuple[int, ...], dtype: str) -> Any:
    return ops.full(shape, UNSET, BITS[dtype])


def _flat(values: list) -> Any:
    """All numbers one after the other."""
    flat = [ops.reshape(x, (-1,)) for x in values]
    return flat[0] if len(flat) == 1 else ops.concatenate(flat)


def _flat_weights(kernels: list) -> Any:
    return _flat([w for of_map in kernels for w in of_map])


def _mask(keep: list, other: Any) -> Any:
    """The mask as (T, B), or anything where there is none."""
    return ops.cast(ops.squeeze(keep[0], -1), "float32") if keep else other


def _cut(flat: Any, shapes: list) -> list:
    """What lies one after the other, as tensors of their shapes."""
    found, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        found.append(ops.reshape(flat[start:end], shape))
        start = end
    return found

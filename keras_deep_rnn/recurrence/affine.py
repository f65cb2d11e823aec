"""The affine maps of a step, and the function `affine` that a step is called with.

    z_i = sum_j u_ij W_ij + p_i,     a_i = phi_i(z_i)

p_i, the projection, is x(t) U_i + b_i where x feeds the map, else b_i.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from keras import activations, ops


@dataclasses.dataclass(frozen=True)
class Affine:
    """One affine map of a step: a = phi(u_1 W_1 + u_2 W_2 + ... + x U + b).

    Attributes:
        units: Width of a.
        sources: Widths of u_1, u_2, ...
        x: Whether the input feeds the map.
        activation: phi; None for the identity.
        dropped: The sources to which recurrent dropout applies; they have the width of h.
        bias: Whether there is a bias; None: as the operator's `use_bias` says.
        pieces: Number of pieces of equal width that a consists of, such as gates; with more than
            one, `affine` gives their list.
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
    """An affine map as the loop needs it: width of z, number of sources; see `Affine`."""

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

    def drop(self, j: int, u: Any, masks: Sequence) -> Any:
        """Source j after recurrent dropout; `masks` is the list of its mask, or empty."""
        return u * masks[0] if masks and j in self.dropped else u

    def value(self, z: Any) -> Any:
        """a from z."""
        return z if self.activation is None else self.activation(z)

    def replay(self, residual: Any) -> Any:
        """a from the residual, which is a itself or z."""
        return residual if self.slope else self.value(residual)

    def split(self, a: Any) -> Any:
        """a as a step sees it: whole, or the list of its pieces."""
        return a if self.pieces == 1 else list(ops.split(a, self.pieces, axis=-1))


def affine_of(
    maps: Sequence[AffineMap],
    projections: Sequence,
    kernels: Sequence[Sequence],
    biases: Sequence[Sequence],
    recurrent_mask: Any = None,
    products: dict | None = None,
    stored: dict | None = None,
) -> Callable:
    """The function `affine` of a step: from i and the sources of map i to a_i.

    Args:
        maps: The affine maps.
        projections: p_i of the maps that x feeds, in their order.
        kernels: Of each map the list of its W_ij.
        biases: Of each map b_i in a list, which is empty where p_i holds it or there is none.
        recurrent_mask: Mask of recurrent dropout, (B, H), or None.
        products: u_ij W_ij by (i, j), as far as they are already computed.
        stored: Filled with the residual of each map: a_i, or z_i.
    """
    by_map = dict(zip((i for i, part in enumerate(maps) if part.x), projections))
    masks = [] if recurrent_mask is None else [recurrent_mask]

    def affine(i: int, *us: Any) -> Any:
        part, terms = maps[i], []
        for j, u in enumerate(us):
            if products and (i, j) in products:
                terms.append(products[i, j])
            else:
                terms.append(ops.matmul(part.drop(j, u, masks), kernels[i][j]))
        terms += [by_map[i]] if part.x else []
        terms += biases[i]
        z = functools.reduce(operator.add, terms)
        a = part.value(z)
        if stored is not None:
            stored[i] = a if part.slope else z
        return part.split(a)

    return affine


class SplitMaps:
    """Affine maps of which each piece is a map of its own, for a backend that splits slowly.

    Attributes:
        maps: The maps of the pieces, in the order of their maps.
        pieces_of: Of each map the numbers of its pieces.
    """

    def __init__(self, maps: Sequence[AffineMap]) -> None:
        self.maps: list[AffineMap] = []
        self.pieces_of: list[range] = []
        for part in maps:
            # What is computed from the whole z, such as its normalization, keeps it whole.
            count = part.pieces if part.activation is None else 1
            piece = dataclasses.replace(
                part, width=part.width // count, pieces=part.pieces // count
            )
            self.pieces_of.append(range(len(self.maps), len(self.maps) + count))
            self.maps += [piece] * count

    def step(self, step: Callable) -> Callable:
        """The step with the maps of the pieces."""

        def step_of_pieces(affine: Callable, states: list) -> list:
            def whole(i: int, *us: Any) -> Any:
                pieces = [affine(k, *us) for k in self.pieces_of[i]]
                return pieces if len(pieces) > 1 else pieces[0]

            return step(whole, states)

        return step_of_pieces

    def to_pieces(self, tensors_of: Sequence[Sequence]) -> list[list]:
        """The tensors of each piece from those of each map, split along their last axis."""
        found = []
        for numbers, tensors in zip(self.pieces_of, tensors_of):
            count = len(numbers)
            pieces = [ops.split(x, count, axis=-1) if count > 1 else [x] for x in tensors]
            found += [[x[k] for x in pieces] for k in range(count)]
        return found

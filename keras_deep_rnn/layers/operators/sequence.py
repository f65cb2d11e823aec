"""An operator over a whole sequence, by the fast or by the plain loop.

Both functions take: the `Operator`; its step with zoneout, and the rate of that; the projections,
kernels and biases of its maps, see `affine_of`; and the arguments of `Operator.run_sequence`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from ...recurrence import Loop, backend, run
from ...recurrence.affine import SplitMaps, affine_of
from ...recurrence.fast_loop import make_fast_loop


def run_fast(
    operator: Any, step: Callable, zoneout: float, weights: list,
    states: list, masks: Sequence, recurrent_mask: Any, loop: Loop,
) -> list:  # fmt: skip
    """The states at every step by the fast loop, which is made once for each way to run."""
    projections, kernels, biases = weights
    variables = operator.step_variables()
    learned = [ops.convert_to_tensor(v) for v in variables]
    maps = operator.maps
    if any(part.pieces > 1 for part in maps) and backend().splits_slowly():
        split = SplitMaps(maps)
        by_map = iter(projections)
        of_maps = [[next(by_map)] if part.x else [] for part in maps]
        projections = [p for of_piece in split.to_pieces(of_maps) for p in of_piece]
        kernels, biases = split.to_pieces(kernels), split.to_pieces(biases)
        maps, step = split.maps, split.step(step)
    xla = loop.compiled(states[0].shape[0])
    paths = tuple(variable.path for variable in variables)
    key = loop, xla, loop.parts(), loop.one_product(), zoneout, paths
    if key not in operator._loops:
        structure = operator.structure
        if zoneout or maps is not operator.maps:
            structure = operator.structure_of(step, maps)
        operator._loops[key] = make_fast_loop(
            maps, step, structure, variables, operator.compute_dtype, loop, xla
        )
    return operator._loops[key](
        projections, states, masks, recurrent_mask, [kernels, biases, learned]
    )


def run_plain(
    operator: Any, step: Callable, zoneout: float, weights: list,
    states: list, masks: Sequence, recurrent_mask: Any, loop: Loop,
) -> list:  # fmt: skip
    """The states at every step by the plain loop."""
    projections, kernels, biases = weights

    def one_step(projections: list, states: list) -> list:
        return step(affine_of(operator.maps, projections, kernels, biases, recurrent_mask), states)

    updated = operator.non_trainable_variables
    return run(one_step, projections, states, masks, loop.unroll, updated)

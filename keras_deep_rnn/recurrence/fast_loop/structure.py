"""The structure of a step: what its affine maps read, and where its states come from."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ...utils.errors import ArgumentError, UserError, Words
from ...utils.keras_compat import autocast, without_autocast
from ..affine import AffineMap


class Structure:
    """What a step does with its affine maps, found by one run of it.

    Attributes:
        sources: Of each map and source where it comes from: ("state", k), ("map", i), or None
            where code stands between.
        results: The same of each new state.
        order: The maps in the order of their use.
        widths: Widths of the states.
        updated: Paths of the variables that the step updates.

    Raises:
        UserError: The step does not use each of its maps once, with all of its sources.
    """

    def __init__(
        self, step: Callable, maps: list[AffineMap], widths: list[int], dtype: str, variables: list
    ) -> None:
        zeros = [ops.zeros((1, width), dtype) for width in widths]
        made: dict[int, Any] = {}
        self.sources: dict[int, list] = {}

        def origin(u: Any) -> tuple | None:
            for kind, known in (("state", dict(enumerate(zeros))), ("map", made)):
                for number, value in known.items():
                    if u is value:
                        return kind, number
            return None

        def affine(i: int, *us: Any) -> Any:
            if not 0 <= i < len(maps) or i in made:
                raise ArgumentError(
                    "step",
                    f"each of its {len(maps)} affine maps once",
                    Words(f"number {i}{' again' if i in made else ''}"),
                    verb="use",
                )
            if len(us) != maps[i].sources:
                raise UserError(
                    f"affine map {i} must have {maps[i].sources} source(s), got {len(us)}."
                )
            self.sources[i] = [origin(u) for u in us]
            made[i] = maps[i].value(ops.zeros((1, maps[i].width), dtype))
            return maps[i].split(made[i])

        # JAX's trainer empties the variables while it runs; their values are in the scope outside.
        with without_autocast():
            values = [(variable, ops.convert_to_tensor(variable)) for variable in variables]
        with keras.StatelessScope(state_mapping=values) as scope, autocast(dtype):
            before = [scope.get_current_value(variable) for variable in variables]
            new = step(affine, zeros)
        if len(made) != len(maps):
            raise ArgumentError(
                "step", f"each of its {len(maps)} affine maps", Words(len(made)), verb="use"
            )
        self.widths = widths
        self.order = list(made)
        self.results = [origin(state) for state in new]
        self.updated = [
            variable.path
            for variable, value in zip(variables, before)
            if scope.get_current_value(variable) is not value
        ]

    def maps_reading_state(self, k: int) -> list[tuple[int, int]]:
        """The pairs (map, source) that are state k itself."""
        return [
            (i, origins.index(("state", k)))
            for i, origins in sorted(self.sources.items())
            if ("state", k) in origins
        ]

    @property
    def affine_only(self) -> bool:
        """Whether no code stands between the affine maps and the states."""
        origins = [*self.results, *(one for of_map in self.sources.values() for one in of_map)]
        return None not in origins and all(one and one[0] == "map" for one in self.results)

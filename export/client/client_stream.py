"""Sequences that continue from call to call, with the state at the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..model.signature_specs import Arrays

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .client import Client


class Stream:
    """B sequences at a served model, made by `Client.stream`.

    The server is stateless: it may be restarted between two steps, or another one may answer. The
    state changes only with an answer, so that a call that has raised an error can be repeated. All
    calls go to one version, that of the state.

    Args:
        client: A `Client` of one version.
        state: Array (B, S).

    Attributes:
        state: The state after the last step; `client.stream(state=..., version=...)` continues
            from it, also in another process.
        version: Number of the version that it is of.
    """

    def __init__(self, client: Client, state: ArrayLike) -> None:
        self._client = client
        self.state = np.array(state, "float32")
        self.version = client.version

    def step(self, x_t: ArrayLike) -> Arrays:
        """One step with `x_t` (B, D), or tokens (B,): a dict with `y_t`, maybe `probabilities_t`"""
        return self._advanced(self._client.step(x_t, self.state))

    def prefill(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Arrays:
        """Many steps at once, as `Client.prefill`: a dict with `y`, maybe `probabilities`."""
        return self._advanced(self._client.prefill(x, self.state, lengths))

    def generate(
        self, x_t: ArrayLike, steps: ArrayLike, *, temperature: ArrayLike = 1.0, seed: ArrayLike = 0
    ) -> np.ndarray:
        """The samples of `Client.generate`, which begins with `x_t`."""
        outputs = self._client.generate(x_t, self.state, steps, temperature=temperature, seed=seed)
        return self._advanced(outputs)["samples"]

    def _advanced(self, outputs: Arrays) -> Arrays:
        self.state = outputs.pop("next_state")
        return outputs

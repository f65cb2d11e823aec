"""Client of TF Serving, or of the testing server, for the exports of this package."""

from __future__ import annotations

import copy
import importlib
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...utils.errors import ArgumentError, ServerError, Unreachable, UserError, Words, nearest
from ...utils.network import MAX_SECONDS, parse_address
from ...utils.validation import one_of
from ..model.signature_specs import Arrays, Specs
from .client_stream import Stream
from .status import Failure, one_line

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Backoff in seconds: of the first retry and at most.
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
_TRANSPORTS = {"grpc": "GrpcTransport", "rest": "RestTransport"}
_REFUSALS = frozenset(
    "INVALID_ARGUMENT FAILED_PRECONDITION NOT_FOUND OUT_OF_RANGE PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED UNAUTHENTICATED UNIMPLEMENTED".split()
)


class Client:
    """Calls a served model; thread-safe.

    No call changes anything at the server, so one that ends in UNAVAILABLE is retried with
    exponential backoff until `timeout` is over. Other errors are not retried.

    Args:
        address: "HOST:PORT" of the server, of its gRPC or of its REST side.
        model: Name under which the model is served.
        transport: `"grpc"` or `"rest"`, which needs no TensorFlow here.
        version: Number of the version to call; None for the server's choice, the highest.
        timeout: Time limit in seconds of each request to the server, retries included, at most
            1,000,000. The first call asks for the signatures before, and `prefill` without a state
            for the initial one.

    Raises:
        UserError: The address is malformed, or a package is missing.

    Every call raises:
        UserError: The server rejects the request, with its reason.
        Unreachable: There was no answer within `timeout`.
        ServerError: The server has failed.

    Example:

    >>> client = Client("localhost:8500", "bach")  # doctest: +SKIP
    >>> client.predict(x)["y"].shape  # doctest: +SKIP
    (1, 64, 88)
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        transport: str = "grpc",
        version: int | None = None,
        timeout: float = 30.0,
    ) -> None:
        host, port = parse_address(address, lowest=1)
        transport = one_of(tuple(_TRANSPORTS))("transport", transport)
        if not isinstance(model, str) or not model:
            raise ArgumentError("model", "the name of a model", model)
        if not 0 < timeout <= MAX_SECONDS:
            expected = f"above 0 and at most {MAX_SECONDS:,} seconds"
            raise ArgumentError("timeout", expected, timeout)
        self.address, self.model = f"{host}:{port}", model
        self.version, self.timeout = version, timeout
        module = importlib.import_module(f".{transport}_transport", __package__)
        self._transport = getattr(module, _TRANSPORTS[transport])(self.address, model)
        self._signatures = None

    def predict(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Arrays:
        """Outputs for whole sequences.

        Args:
            x: Array (B, T, D), or tokens (B, T).
            lengths: Steps of each row, (B,); None for all T. Outputs after them are 0.

        Returns:
            Dict with `y` (B, T, V) and, where the export has them, `probabilities`.
        """
        x = np.asarray(x)
        # With lengths also where all steps count: a server may pad the requests of a batch.
        name = "padded" if "padded" in self.signatures() else "serving_default"
        if "lengths" in self.signatures()[name]["inputs"]:
            return self.call(name, x=x, lengths=_lengths(x, lengths))
        if lengths is not None:
            raise ArgumentError("lengths", "None for an export without `padded`", Words("some"))
        return self.call(name, x=x)

    def initial_state(self, rows: int = 1) -> np.ndarray:
        """The state before the first step, (rows, S)."""
        return self.call("initial_state", rows=np.zeros(rows, "int32"))["state"]

    def step(self, x_t: ArrayLike, state: ArrayLike) -> Arrays:
        """One step: a dict with `y_t` (B, V), `next_state` (B, S), maybe `probabilities_t`."""
        return self.call("step", x_t=x_t, state=state)

    def prefill(
        self, x: ArrayLike, state: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> Arrays:
        """Many steps at once, from a given state.

        Args:
            x: As for `predict`.
            state: State before the first step, (B, S); None for the initial state.
            lengths: As for `predict`; a row's state is that after its last step.

        Returns:
            Dict as of `predict`, with `next_state` (B, S).
        """
        x = np.asarray(x)
        state = self.initial_state(len(x)) if state is None else state
        return self.call("prefill", x=x, lengths=_lengths(x, lengths), state=state)

    def generate(
        self,
        x_t: ArrayLike,
        state: ArrayLike,
        steps: ArrayLike,
        *,
        temperature: ArrayLike = 1.0,
        seed: ArrayLike = 0,
    ) -> Arrays:
        """Samples, each of which is fed back as the next input.

        Args:
            x_t: The input of the first step, (B, D), or tokens (B,).
            state: The state before it, (B, S).
            steps: Number of samples of each row, (B,), or one for all.
            temperature: The same; below 1: more of what is likely.
            seed: The same; a row's samples depend on its own seed only.

        Returns:
            Dict with `samples`, (B, largest of steps) tokens or (B, largest of steps, V), and
            `next_state`.
        """
        rows = np.shape(x_t)[:1]
        parts = {"steps": steps, "temperature": temperature, "seed": seed}
        parts = {k: np.broadcast_to(v, rows) if np.ndim(v) == 0 else v for k, v in parts.items()}
        return self.call("generate", x_t=x_t, state=state, **parts)

    def stream(
        self, rows: int = 1, *, state: ArrayLike | None = None, version: int | None = None
    ) -> Stream:
        """Opens a `Stream`: sequences that continue from call to call.

        Args:
            rows: Number of sequences, B.
            state: State to continue from, (B, S); None for the initial one.
            version: Version that the state is of; None for the client's, or the one served now.
        """
        version = version or self.version
        pinned = copy.copy(self)
        pinned.version, pinned._signatures = self._retried(
            "metadata", self._transport.metadata, version
        )
        return Stream(pinned, pinned.initial_state(rows) if state is None else state)

    def status(self) -> dict[int, str]:
        """The state of each version by number, such as {1: "AVAILABLE"}."""
        return self._retried("status", self._transport.status, self.version)

    def signatures(self) -> Specs:
        """Names, types and shapes of what each signature takes and returns."""
        if self._signatures is None:
            _, self._signatures = self._retried("metadata", self._transport.metadata, self.version)
        return self._signatures

    def call(self, signature: str, /, **inputs: ArrayLike) -> Arrays:
        """The outputs of any signature, by name.

        Args:
            signature: Its name.
            inputs: Its inputs by name, as arrays or lists of the right kind of numbers.
        """
        found = self.signatures().get(signature)
        if found is None:
            raise UserError(
                f"{self.model!r} at {self.address} has no signature {signature!r}: it has "
                f"{', '.join(sorted(self.signatures()))}"
                f"{nearest(signature, self.signatures()) or '.'}"
            )
        arrays = {
            name: _array(name, value, found["inputs"].get(name, {}).get("dtype"))
            for name, value in inputs.items()
        }
        return self._retried(signature, self._transport.predict, signature, arrays, self.version)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _retried(self, what: str, method: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `method`, retried while the server is unavailable."""
        deadline, wait = time.monotonic() + self.timeout, FIRST_WAIT
        while True:
            try:
                return method(*arguments, max(deadline - time.monotonic(), 0.001))
            except Failure as failure:
                # Jitter, so that the clients of a restarted server do not retry all at once.
                pause = random.uniform(wait / 2, wait)
                if failure.code != "UNAVAILABLE" or time.monotonic() + pause >= deadline:
                    raise self._error(what, failure) from None
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _error(self, what: str, failure: Failure) -> Exception:
        reason = one_line(failure.reason).rstrip(".")
        if failure.code in _REFUSALS:
            return UserError(f"{self.model!r} at {self.address} refuses {what!r}: {reason}.")
        if failure.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            return Unreachable(
                f"No answer to {what!r} of {self.model!r} at {self.address} within "
                f"{self.timeout:g} seconds: {reason}."
            )
        return ServerError(f"{self.address} has failed in {what!r}: {reason}; see its log.")


def _lengths(x: np.ndarray, lengths: ArrayLike | None) -> ArrayLike:
    if x.ndim not in (2, 3):
        raise ArgumentError("x", "an array (B, T) or (B, T, D)", Words(f"one of shape {x.shape}"))
    return np.full(x.shape[0], x.shape[1]) if lengths is None else lengths


def _array(name: str, value: ArrayLike, dtype: str | None) -> np.ndarray:
    """Casts to the type of the signature; an integer that it would change is refused."""
    array = np.asarray(value)
    if dtype is None:
        return array
    kinds = "iu" if dtype.startswith(("int", "uint")) else "biuf"
    if array.dtype.kind not in kinds and array.size:
        raise ArgumentError(name, f"an array of {dtype}", Words(f"one of {array.dtype}"))
    with np.errstate(over="ignore"):  # the server refuses infinities with its own words
        cast = array.astype(dtype)
    if array.dtype.kind in "iu" and not np.array_equal(cast, array):
        raise ArgumentError(name, f"into {dtype}", Words(f"values up to {array.max()}"), verb="fit")
    return cast

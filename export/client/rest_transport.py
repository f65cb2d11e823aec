"""A client's calls over REST, which need neither TensorFlow nor gRPC."""

import json
import threading
import urllib.parse
from typing import Any

import numpy as np

from ...utils.errors import ArgumentError, Words, missing_extra
from ..model.signature_specs import Arrays, Specs, specs
from .status import Failure, code_of_http

try:
    import requests
except ImportError:
    raise missing_extra("requests", "serving") from None


class RestTransport:
    """Calls of one model at a server.

    Args:
        address: "HOST:PORT".
        model: Name of the model.
    """

    def __init__(self, address: str, model: str) -> None:
        self._url = f"http://{address}/v1/models/{urllib.parse.quote(model, safe='')}"
        self._threads = threading.local()
        self._signatures = {}

    def predict(
        self, signature: str, inputs: Arrays, version: int | None, timeout: float
    ) -> Arrays:
        """Calls a signature: outputs by name, or `Failure`."""
        if version not in self._signatures:  # JSON says neither the names of single outputs
            self.metadata(version, timeout)  # nor types
        outputs = self._signatures[version][signature]["outputs"]
        tensors = {name: array.tolist() for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": tensors})
        found = self._call("POST", version, ":predict", "outputs", timeout, body)["outputs"]
        if len(outputs) == 1:
            found = {next(iter(outputs)): found}
        return {
            name: np.asarray(found[name], spec["dtype"]).reshape(_shape(found[name], spec))
            for name, spec in outputs.items()
        }

    def metadata(self, version: int | None, timeout: float) -> tuple[int, Specs]:
        """The number of the version that is served, and its signatures."""
        answer = self._call("GET", version, "/metadata", "metadata", timeout)
        signatures = self._signatures[version] = specs(answer["metadata"]["signature_def"])
        return int(answer["model_spec"]["version"]), signatures

    def status(self, version: int | None, timeout: float) -> dict[int, str]:
        """The state of each version, by number."""
        part = "model_version_status"
        entries = self._call("GET", version, "", part, timeout)[part]
        return {int(entry["version"]): entry["state"] for entry in entries}

    def close(self) -> None:
        """Closes the connection of this thread; those of others end with their threads."""
        if hasattr(self._threads, "session"):
            self._threads.session.close()

    def _call(
        self,
        method: str,
        version: int | None,
        what: str,
        part: str,
        timeout: float,
        body: str | None = None,
    ) -> Any:
        """The answer, which has `part`."""
        place = "" if version is None else f"/versions/{version}"
        try:
            answer = self._session().request(
                method, f"{self._url}{place}{what}", data=body, timeout=timeout
            )
        except requests.Timeout:
            raise Failure("DEADLINE_EXCEEDED", "no answer in time") from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise Failure("UNAVAILABLE", _reason(error)) from None
        except ValueError as error:
            raise ArgumentError("address", "HOST:PORT of a server", Words(error)) from None
        try:
            message = answer.json()
        except ValueError:
            message = {}
        if answer.status_code != 200:
            reason = message.get("error") if isinstance(message, dict) else None
            raise Failure(code_of_http(answer.status_code), reason or answer.reason)
        if not isinstance(message, dict) or part not in message:
            raise Failure("INTERNAL", f"the answer is no JSON with {part!r}")
        return message

    def _session(self) -> requests.Session:
        """A session for each thread: requests does not say that one may be shared."""
        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
            # No proxy, and no look-up in .netrc.
            self._threads.session.trust_env = False
        return self._threads.session


def _shape(value: Any, spec: dict[str, Any]) -> list[int]:
    """The shape of lists; where one is empty, JSON does not say what would be in it."""
    shape = list(np.shape(value))
    return shape + [max(size, 0) for size in spec["shape"][len(shape) :]]


def _reason(error: BaseException) -> str:
    """The system's reason in what requests and urllib3 have wrapped around it."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    error = getattr(error, "reason", error)
    return str(error.args[-1] if error.args else error).rpartition("] ")[2] or str(error)

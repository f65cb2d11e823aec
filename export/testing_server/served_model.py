"""One version of an export, loaded and run as TF Serving does it: a session on its graph."""

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...utils.errors import ArgumentError, first_line
from ...utils.files import user_path
from ..checks.check_graph import check_operations, read_graph, signatures_of
from ..client.status import Failure
from ..model.plain_path import plain_path
from ..model.record import RECORD, read_record
from ..model.signature_specs import Arrays
from ..model.version import checked_name
from ..model.warmup import WARMUP, read_warmup
from .reply_size import reply_values, state_values

# Computed in the calling thread, since a hand-over to another takes as long as a step. TensorFlow
# enforces a deadline in threads of its own only, where the others run.
QUICK = ("step", "initial_state")
DEFAULT_SIGNATURE = "serving_default"


def version_folder(path: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of the highest version in `path`, or `path` itself if it is one.

    Raises:
        UserError: There is no version.
    """
    path = user_path(path)
    if (path / "saved_model.pb").is_file():
        return path
    found = path.iterdir() if path.is_dir() else ()
    versions = [p for p in found if p.name.isdecimal() and (p / "saved_model.pb").is_file()]
    if not versions:
        raise ArgumentError(
            "path",
            "the folder of an export or of one version of it",
            str(path),
            ", which has no saved_model.pb in a numbered folder.",
        )
    return max(versions, key=lambda folder: int(folder.name))


class ServedModel:
    """A loaded SavedModel; thread-safe.

    Args:
        folder: Folder of the version. Its name is the version's number, or it is version 1.
        name: Name under which the model is served; None takes that of the export, or of the folder.
        max_values: The most values that a request may make, in its outputs and in the states of
            its steps; None for any number.

    Attributes:
        name: Its name.
        version: Its number.
        signatures: Dict from a name to its `SignatureDef`.

    Raises:
        UserError: TensorFlow cannot load it, or it has operations that no served model may have.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        name: str | None = None,
        max_values: int | None = None,
    ) -> None:
        import tensorflow as tf

        self._tf, v1 = tf, tf.compat.v1
        folder = pathlib.Path(folder).absolute()  # a link has its own number
        check_operations(read_graph(folder))
        numbered = folder.name.isdecimal()
        record = read_record(folder) if (folder / RECORD).is_file() else {}
        if name is None:
            name = record.get("model", (folder.parent if numbered else folder).name)
        self.name = checked_name("name", name)
        self._max_values, self._max_steps = max_values, record.get("max_steps")
        self.version = int(folder.name) if numbered else 1
        self._session = v1.Session(graph=tf.Graph())
        try:
            with (
                self._session.graph.as_default(),
                _quiet(tf.get_logger()),
                plain_path(folder) as path,
            ):
                meta = v1.saved_model.load(self._session, ["serve"], str(path))
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            reason = first_line(error).rstrip(".")
            raise ArgumentError("path", "a model that loads", str(folder), f": {reason}.") from None
        self.signatures = {
            name: signature
            for name, signature in meta.signature_def.items()
            if not name.startswith("__")
        }
        self._specs, self._closed = signatures_of(meta), False
        self._calls = {
            name: self._session.make_callable(
                [output.name for output in signature.outputs.values()],
                [value.name for value in signature.inputs.values()],
                accept_options=True,
            )
            for name, signature in self.signatures.items()
        }
        self._warm_up(folder)

    def check(self, name: str, version: int | None = None, label: str | None = None) -> None:
        """Rejects another model or version, with TF Serving's messages.

        Raises:
            Failure: It is not served.
        """
        if not name:
            raise Failure("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        if label:
            raise Failure("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        if name != self.name or version not in (None, self.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Failure("NOT_FOUND", f"Servable not found for request: {wanted}")

    def signature(self, name: str) -> tuple[str, Any]:
        """The name of a signature, where "" is the default, and its `SignatureDef`.

        Raises:
            Failure: There is none of that name.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise Failure(
                "FAILED_PRECONDITION",
                f'Serving signature key "{name}" not found; there are '
                f"{', '.join(sorted(self.signatures))}.",
            )
        return name, self.signatures[name]

    def dtypes(self, name: str) -> dict[str, str]:
        """The type of each input of a signature, by name."""
        return {key: spec["dtype"] for key, spec in self._specs[name]["inputs"].items()}

    def run(
        self,
        name: str,
        inputs: Arrays,
        wanted: Sequence[str] = (),
        seconds: float | None = None,
        max_values: int | None = None,
    ) -> Arrays:
        """The outputs of a signature.

        Args:
            name: Name of the signature.
            inputs: Dict from the name of each input to its array.
            wanted: Names of the outputs to return; empty for all.
            seconds: Time limit; None for none.
            max_values: The most values that the caller can take; None for any number.

        Returns:
            Dict from the name of an output to its array.

        Raises:
            Failure: The inputs are not those of the signature, the graph rejects them, they ask
                for too much, the time limit is exceeded, or the model is being closed.
        """
        name, signature = self.signature(name)
        _check_inputs(self._specs[name]["inputs"], inputs)
        _check_wanted(signature, wanted)
        self._check_size(name, inputs, max_values)
        if seconds is not None and seconds <= 0:
            raise Failure("DEADLINE_EXCEEDED", "the time was over before its turn came")
        milliseconds = 0 if seconds is None else max(1, int(1000 * seconds))
        options = self._tf.compat.v1.RunOptions(
            timeout_in_ms=milliseconds, inter_op_thread_pool=-1 if name in QUICK else 0
        )
        try:
            values = self._calls[name](*(inputs[key] for key in signature.inputs), options=options)
        except (RuntimeError, self._tf.errors.OpError) as error:
            if self._closed:
                raise Failure("UNAVAILABLE", "the server is stopping") from None
            if isinstance(error, RuntimeError):
                raise
            raise Failure(_code_name(error.error_code), error.message) from None
        outputs = dict(zip(signature.outputs, values))
        return {key: outputs[key] for key in wanted} if wanted else outputs

    def close(self) -> None:
        """Frees the model's memory; what is being computed ends with UNAVAILABLE."""
        self._closed = True
        self._session.close()

    def _check_size(self, name: str, inputs: Arrays, max_values: int | None) -> None:
        reply = reply_values(self._specs[name], inputs, self._max_steps)
        made = reply + state_values(self._specs, name, inputs)
        for values, limit in ((reply, max_values), (made, self._max_values)):
            if limit is not None and values > limit:
                raise Failure(
                    "RESOURCE_EXHAUSTED",
                    f"{name} would make {values} values of at most {limit}: send fewer rows or "
                    "steps at a time",
                )

    def _warm_up(self, folder: pathlib.Path) -> None:
        """Replays the warm-up requests of the export."""
        if not (folder / WARMUP).is_file():
            return
        try:
            for _, signature, inputs in read_warmup(folder):
                self.run(signature, inputs)
        except (ValueError, Failure) as error:
            expected = "a model that answers its warm-up requests"
            raise ArgumentError("path", expected, str(folder), f": {error}.") from None


def _code_name(code: Any) -> str:
    from tensorflow.core.protobuf import error_codes_pb2

    return error_codes_pb2.Code.Name(code)


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Hides the deprecation warning of the loader with a session."""
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_inputs(specs: Mapping[str, dict[str, Any]], inputs: Arrays) -> None:
    if set(inputs) != set(specs):
        extra, missing = set(inputs) - set(specs), set(specs) - set(inputs)
        raise Failure(
            "INVALID_ARGUMENT",
            f"input does not match signature: sent extra: {{{','.join(sorted(extra))}}}, missing "
            f"but required: {{{','.join(sorted(missing))}}}.",
        )
    for name, array in inputs.items():
        dtype, sizes = specs[name]["dtype"], specs[name]["shape"]
        if array.dtype != dtype:
            raise Failure("INVALID_ARGUMENT", f"{name} must be {dtype}, got {array.dtype}")
        # TF Serving leaves the shape to the first operation that fails.
        shape = list(array.shape)
        if sizes is not None and (
            len(sizes) != len(shape) or any(size not in (-1, n) for size, n in zip(sizes, shape))
        ):
            raise Failure(
                "INVALID_ARGUMENT",
                f"{name} must have shape {sizes}, -1 for any size, got {shape}",
            )


def _check_wanted(signature: Any, wanted: Sequence[str]) -> None:
    for i, name in enumerate(wanted):
        if name not in signature.outputs:
            outputs = ",".join(sorted(signature.outputs))
            raise Failure(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{outputs}}}.",
            )
        if name in wanted[:i]:
            raise Failure("INVALID_ARGUMENT", f"duplicate output tensor alias: {name}")

"""Base class of the export formats: checks of the arguments, and a version folder."""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ...layers import NADE
from ...utils.errors import ArgumentError, Words
from ...utils.validation import flag, one_of, optional, positive_integer
from ..model.eligibility import exportable, precision, read_vocabulary
from ..model.joint_output import without_target
from ..model.record import record_of
from ..model.signatures import PROBABILITIES, SIGNATURES, Options, ServingSignatures
from ..model.version import Version

if TYPE_CHECKING:
    import keras


class ExportOptions(TypedDict, total=False):
    """The options of every exporter; `export_saved_model` describes them."""

    version: int | None
    name: str | None
    probabilities: str | None
    vocabulary: Sequence[str] | int | None
    signatures: Sequence[str] | None
    check: bool


class Format(abc.ABC):
    """A format that models are exported to.

    Attributes:
        title: Its name in messages.
        offered: Names of the signatures that it can have.
        precisions: What the layers of a model may compute in.
        joint: Whether it can have the joint output of a `NADE`.
    """

    title: str
    offered: Sequence[str] = SIGNATURES
    precisions: Sequence[str] = ("float32", "float16", "bfloat16")
    joint: bool = False

    def export(
        self,
        model: keras.Model,
        path: str | os.PathLike[str],
        *,
        version: int | None = None,
        name: str | None = None,
        probabilities: str | None = None,
        vocabulary: Sequence[str] | int | None = None,
        signatures: Sequence[str] | None = None,
        max_steps: int = 10_000,
        jit_compile: bool = False,
        check: bool = True,
    ) -> Path:
        """Writes a version of `model`: arguments, result and errors of `export_saved_model`."""
        probabilities = optional(one_of(tuple(PROBABILITIES)))("probabilities", probabilities)
        check = flag("check", check)
        model, nade = self._without_target(model, probabilities)
        exportable(model)
        computes_in = precision(model)
        if computes_in not in self.precisions:
            raise ArgumentError(
                "model",
                f"in {' or '.join(self.precisions)} for {self.title}",
                Words(f"a layer that computes in {computes_in}"),
                ": build it with dtype='float32' and copy the weights.",
                verb="compute",
            )
        texts, tokens = read_vocabulary(vocabulary)
        options = Options(
            None if signatures is None else tuple(signatures),
            probabilities,
            tokens,
            positive_integer("max_steps", max_steps),
            flag("jit_compile", jit_compile),
            nade,
        )
        served = self.serve(model, options)
        new = Version(path, version, name)
        self.check_beside(served, new)
        with new.written() as folder:
            self.write(served, folder, record_of(served, new, texts), check)
        self.write_beside(served, new)
        return new.folder

    def _without_target(
        self, model: keras.Model, probabilities: str | None
    ) -> tuple[keras.Model, NADE | None]:
        """The model to export, and the `NADE` of its joint output or None."""
        if not getattr(model, "inputs", None):  # which is not exportable
            return model, None
        model, nade = without_target(model)
        if nade is not None and not self.joint:
            hint = ": export a SavedModel, whose signatures score and sample frames."
            expected = f"independent outputs for {self.title}"
            raise ArgumentError("model", expected, Words("a NADE"), hint, verb="have")
        if nade is not None and probabilities is not None:
            expected = "left out for a NADE, whose units have no probabilities of their own"
            raise ArgumentError("probabilities", expected, probabilities)
        return model, nade

    def serve(self, model: keras.Model, options: Options) -> ServingSignatures:
        """The signatures of a model in this format."""
        return ServingSignatures(model, options, offered=self.offered, checked=False)

    @abc.abstractmethod
    def write(
        self, served: ServingSignatures, folder: Path, record: dict[str, Any], check: bool
    ) -> None:
        """Writes a version into `folder`, which is not there yet; checks it if `check` says so."""

    def check_beside(  # noqa: B027  (most formats have nothing there)
        self, served: ServingSignatures, version: Version
    ) -> None:
        """Refuses a folder whose files beside the versions do not fit the new one."""

    def write_beside(  # noqa: B027  (the same)
        self, served: ServingSignatures, version: Version
    ) -> None:
        """Writes files beside the versions, once the new one is in place."""

"""A format with a file for each signature, each compared with the model.

    <signature>.<suffix>    a file for each signature
    export.json             as beside a SavedModel, see `record.py`; and
        format, quantize    what the files are
        compared            {signature: {"difference", ...}}, the result of `parity.differences`;
                            {} where it was left out

Converters report success for files that do not run. Therefore the runtime of the format loads each
file, and its outputs must be those of the model.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...utils.errors import UserError, first_line
from ..checks.parity import Disagree, differences
from ..model.record import write_record
from ..model.signature_specs import Arrays
from ..model.signatures import ServingSignatures
from .format import Format


class FileFormat(Format):
    """A `Format` of files.

    Attributes:
        suffix: Suffix of the files, without the dot.
        quantize: What the weights are rounded to; None for no rounding.
    """

    suffix: str
    quantize: str | None = None

    @abc.abstractmethod
    def convert(self, served: ServingSignatures, signature: str) -> bytes:
        """The content of the file of a signature."""

    @abc.abstractmethod
    def load(self, path: Path, signature: str) -> Callable[[Arrays], Arrays]:
        """The function of {name: array} to {name: array} that the runtime makes of a file."""

    def write(
        self, served: ServingSignatures, folder: Path, record: dict[str, Any], check: bool
    ) -> None:
        folder.mkdir()
        compared = {}
        for signature in served.names:
            path = folder / f"{signature}.{self.suffix}"
            path.write_bytes(self._attempt(signature, "converted", self.convert, served, signature))
            if check:
                compared[signature] = self._compare(served, path, signature)
        about = {"format": self.suffix, "quantize": self.quantize, "compared": compared}
        write_record(folder, {**record, **about})

    def _compare(
        self, served: ServingSignatures, path: Path, signature: str
    ) -> dict[str, float | None]:
        run = self._attempt(signature, "loaded", self.load, path, signature)
        try:
            return self._attempt(
                signature, "run", differences, served, signature, run, quantized=bool(self.quantize)
            )
        except Disagree as found:
            raise UserError(f"check '{self.title}, {signature}' failed: {found}.") from None

    def _attempt(
        self, signature: str, what: str, function: Callable, *arguments: Any, **options: Any
    ) -> Any:
        """The result of a function of the converter or the runtime, whose errors are of any kind.

        Raises:
            UserError: It has failed.
        """
        try:
            return function(*arguments, **options)
        except (UserError, Disagree):
            raise
        except Exception as error:
            # The first line of a converter's error can be a whole stack of places in the code.
            raise UserError(
                f"check '{self.title}, {signature}' failed: it cannot be {what}: "
                f"{first_line(error)[:300]}"
            ) from error

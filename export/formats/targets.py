"""A version folder of another format than a SavedModel: written, compared with its model, renamed.

    <signature>.<suffix>    a file for each signature
    export.json             as beside a SavedModel, see `record.py`; and
        format, quantize    what the files are
        compared            {signature: {"difference", ...}}, what the comparison has found

The converters report success for files that do not run: what counts is that the format's own
runtime loads the file and that its answers are those of the model.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import UserError, first_line
from ...utils.validation import one_of, optional
from ..checks.parity import Disagree, differences
from ..model.eligibility import exportable, precision, read_vocabulary
from ..model.record import described, fits, record_of, write_record
from ..model.signature_specs import Arrays
from ..model.signatures import PROBABILITIES, Options, Served
from ..model.version import Version

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Target:
    """A format.

    Attributes:
        name: Its name in messages, as "LiteRT".
        suffix: Of its files, without the dot.
        signatures: Those that it can have.
        precisions: What the layers of a model may compute in.
        served: (model, options) to a `signatures.Served`.
        convert: (served, signature) to the content of a file.
        load: (path of a file, signature) to a function of {name: array} to {name: array}.
        quantize: What the weights are rounded to; None for what they are.
    """

    name: str
    suffix: str
    signatures: tuple[str, ...]
    precisions: tuple[str, ...]
    served: Callable[[keras.Model, Options], Served]
    convert: Callable[[Served, str], bytes]
    load: Callable[[Path, str], Callable[[Arrays], Arrays]]
    quantize: str | None = None


def export_target(
    target: Target,
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    version: int | None,
    name: str | None,
    probabilities: str | None,
    vocabulary: Sequence[str] | int | None,
    signatures: Sequence[str] | None,
) -> Path:
    """Writes the files of a version, compares each with the model and renames the folder.

    The arguments beside `target`, a `Target`, what comes back and the errors are those of
    `export_saved_model`.
    """
    probabilities = optional(one_of(tuple(PROBABILITIES)))("probabilities", probabilities)
    exportable(model)
    kind = precision(model)
    if kind not in target.precisions:
        raise UserError(
            f"`model` must compute in {' or '.join(target.precisions)} for {target.name}, got a "
            f"layer that computes in {kind}: build it with dtype='float32' and copy the weights."
        )
    texts, tokens = read_vocabulary(vocabulary)
    asked = target.signatures if signatures is None else tuple(signatures)
    for signature in asked:
        if signature not in target.signatures:
            listed = ", ".join(map(repr, target.signatures))
            raise UserError(
                f"`signatures` must be out of {listed} for {target.name}, got {signature!r}."
            )
    options = Options(asked, probabilities, tokens)
    plain, served = Served(model, options, checked=False), target.served(model, options)
    new = Version(path, version, name)
    with new.written() as folder:
        folder.mkdir()
        compared = {s: _write(target, plain, served, folder, s) for s in served.names}
        about = {"format": target.suffix, "quantize": target.quantize, "compared": compared}
        record = record_of(plain, new, texts)
        write_record(folder, {**_fitted(record, served), **about})
    return new.folder


def _write(
    target: Target, plain: Served, served: Served, folder: Path, signature: str
) -> dict[str, float | None]:
    """Writes the file of a signature and gives what the comparison has found."""
    try:
        content = target.convert(served, signature)
    except UserError:
        raise
    except Exception as error:  # converters fail with errors of many kinds
        raise UserError(_cannot(target, signature, "be converted", error)) from error
    path = folder / f"{signature}.{target.suffix}"
    path.write_bytes(content)
    try:
        run = target.load(path, signature)
    except Exception as error:  # as do runtimes
        raise UserError(_cannot(target, signature, "be loaded", error)) from error
    try:
        return differences(plain, served, signature, run, quantized=target.quantize is not None)
    except Disagree as found:
        raise UserError(f"check '{target.name}, {signature}' failed: {found}.") from None
    except Exception as error:
        raise UserError(_cannot(target, signature, "run", error)) from error


def _cannot(target: Target, signature: str, what: str, error: Exception) -> str:
    # The first line of a converter's error can be a whole stack of places in the code.
    reason = first_line(error)[:300]
    return f"check '{target.name}, {signature}' failed: it cannot {what}: {reason}"


def _fitted(record: dict[str, Any], served: Served) -> dict[str, Any]:
    """The record of the plain signatures, for what the format has of them."""
    golden = []
    for case in record["golden"]:
        taken = served.specification[case["signature"]]["inputs"]
        given = {name: case["inputs"][name] for name in taken}
        if all(fits(given[name]["shape"], shape) for name, (shape, _) in taken.items()):
            golden.append({**case, "inputs": given})
    return {**record, "signatures": described(served.specification), "golden": golden}

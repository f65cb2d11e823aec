"""Splits of the user's own pieces: by their names, or by their checksums."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ..utils.errors import UserError
from ..utils.types import PathLike
from .dataset import Splits

# Usual names of splits, also with x or y before or after them ("Xtrain"), "set" or "data".
_SPELLINGS = {
    "train": "train(ing)?",
    "validation": "val(id(ation)?)?|dev(elopment)?",
    "test": "test(ing)?",
}
_SPLIT_WORDS = {
    split: re.compile(f"[xy]?({spelling})(set|data|[xy])?")
    for split, spelling in _SPELLINGS.items()
}


def of_name(name: str) -> str | None:
    """The split that a folder or an array is named after: by its first or its last word.

    Example:

    >>> [of_name(name) for name in ("Training", "X_train", "dev-set 2", "val_1", "Bach")]
    ['train', 'train', 'validation', 'validation', None]
    """
    words = re.findall(r"[^\W\d_]+", name.lower())
    words = [word for word in words if word not in ("set", "data")]
    found = {
        split
        for split, pattern in _SPLIT_WORDS.items()
        if any(pattern.fullmatch(word) for word in (*words[:1], *words[-1:]))
    }
    return found.pop() if len(found) == 1 else None


def make(
    source: PathLike,
    pieces: Mapping[str, np.ndarray],
    what: str,
    parts: Callable[[str], Iterable[str]],
) -> tuple[Splits, str]:
    """Splits pieces as the user has named them, else by their checksums.

    Args:
        source: Path of the pieces, for errors.
        pieces: {name: piece}.
        what: What the names are of, "folders" or "arrays".
        parts: Returns the parts of a piece's name that may be names of splits.

    Returns:
        The splits, and a line that says how they were made.

    Raises:
        UserError: Some pieces are in splits and others are not, a piece is in two, or a split has
            no piece.
    """
    found = {}
    for name in pieces:
        splits = {split for part in parts(name) if (split := of_name(part))}
        if len(splits) > 1:
            raise UserError(
                f"{source} has a piece in two splits ({' and '.join(sorted(splits))}), "
                f"{shown(name)}: pass the folder of its splits, or rename the others."
            )
        found[name] = splits.pop() if splits else None
    if not any(found.values()):
        made = _by_checksum(source, pieces.values())
        return made, f"Splits: by checksum, as no {what} are named so, {_counts(made)}."
    without = [name for name, split in found.items() if split is None]
    if without:
        inside = next(name for name, split in found.items() if split)
        raise UserError(
            f"{source} has pieces in splits (train, validation, test), such as {shown(inside)}, "
            f"and some that are not, such as {shown(without[0])}: put all into splits, or none."
        )
    made = {
        split: [piece for name, piece in pieces.items() if found[name] == split]
        for split in _SPELLINGS
    }
    check(source, made)
    return made, f"Splits: as the {what} are named, {_counts(made)}."


def _by_checksum(source: PathLike, pieces: Iterable[np.ndarray]) -> Splits:
    """Splits pieces in the order of their checksums; equal pieces are in the same split."""
    equal: dict[bytes, list[np.ndarray]] = {}
    for piece in pieces:
        equal.setdefault(hashlib.sha256(piece.tobytes()).digest(), []).append(piece)
    if len(equal) < 3:
        raise UserError(f"{source} must hold at least 3 different pieces, got {len(equal)}.")
    held_out = max(1, round(len(equal) / 10))
    order = [equal[checksum] for checksum in sorted(equal)]
    parts = (order[2 * held_out :], order[held_out : 2 * held_out], order[:held_out])
    return {
        split: [piece for same in part for piece in same]
        for split, part in zip(_SPELLINGS, parts, strict=True)
    }


def check(source: PathLike, splits: Splits) -> None:
    """Refuses splits of which one has no piece.

    Raises:
        UserError: A split is empty.
    """
    empty = [split for split, pieces in splits.items() if not len(pieces)]
    if empty:
        raise UserError(
            f"{source} must hold pieces for every split (train, validation, test), got none for "
            f"{' and '.join(empty)}."
        )


def _counts(splits: Splits) -> str:
    """Numbers of pieces, such as "8 + 1 + 1 pieces (train + validation + test)"."""
    sizes = " + ".join(f"{len(pieces):,}" for pieces in splits.values())
    return f"{sizes} pieces ({' + '.join(splits)})"


def shown(name: str) -> str:
    """A name in an error line: quoted where it would break the line."""
    return name if name.isprintable() else repr(name)

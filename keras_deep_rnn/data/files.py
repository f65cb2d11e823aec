"""The files that a data set is made from: found in a folder or downloaded, and always verified."""

import glob
import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.errors import ArgumentError, UserError, first_line
from ..utils.types import PathLike
from .dataset import Splits

if TYPE_CHECKING:
    from .catalogue import Entry, File

# Without a network the whole search for an answer takes no longer than this.
PROBE_SECONDS = 4.0


def sha256(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined_sha256(paths: Sequence[Path]) -> str:
    """One checksum for several files: the file's own, or that of all checksums in their order."""
    checksums = [sha256(path) for path in paths]
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("".join(checksums).encode()).hexdigest()


def verify(path: Path, file: "File") -> None:
    """Compares a file with its published checksum.

    Raises:
        UserError: if they differ.
    """
    if file.sha256 is None:
        return
    found = sha256(path)
    if found != file.sha256:
        raise UserError(
            f"{path} is damaged or another file than the published {file.name}: expected sha256 "
            f"{file.sha256}, got {found}."
        )


def verify_frames(path: Path, entry: "Entry", splits: Splits) -> None:
    """Compares the pieces of a file with the published ones: their number, and every frame.

    Raises:
        UserError: if they differ.
    """
    sizes = tuple(len(pieces) for pieces in splits.values())
    if sizes != entry.sizes:
        raise UserError(
            f"{path} is not the published {entry.name}: expected {entry.sizes} pieces in train, "
            f"validation and test, got {sizes}."
        )
    if entry.frames_sha256 is None:
        return
    frames = hashlib.sha256()
    for pieces in splits.values():
        for piece in pieces:
            frames.update(piece.tobytes())
    if frames.hexdigest() != entry.frames_sha256:
        raise UserError(
            f"{path} is not the published {entry.name}: expected frames of sha256 "
            f"{entry.frames_sha256}, got {frames.hexdigest()}."
        )


def by_hand(entry: "Entry", folder: PathLike) -> list[Path] | None:
    """The verified files of `entry` in `folder` or its direct sub-folders, or None.

    Args:
        entry: catalogue entry.
        folder: folder of files that were downloaded by hand.

    Returns:
        List of paths: those of `entry.files`, else of one of `entry.pickles`; None if some are
        missing.

    Raises:
        UserError: if a file does not have its published checksum, or the folder does not exist.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ArgumentError("data_path", "an existing folder", str(folder))
    for choice in (entry.files, *((file,) for file in entry.pickles)):
        paths = [path for file in choice if (path := _find(folder, file.name))]
        if len(paths) == len(choice):
            for path, file in zip(paths, choice, strict=True):
                verify(path, file)
            return paths
    return None


def _find(folder: Path, name: str) -> Path | None:
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (place / name).is_file():
            return place / name
    return None


def downloaded(entry: "Entry", download: Callable[[list[str]], Any]) -> list[Path]:
    """The verified files of `entry` from their addresses.

    Args:
        entry: catalogue entry.
        download: function from a list of addresses to a list of paths.

    Raises:
        UserError: if the addresses cannot be reached, within 5 seconds; or if a file does not have
            its published checksum.
    """
    problem = _probe(entry.files[0].url)
    if problem is not None:
        raise UserError(missing_message(entry, problem))
    try:
        paths = [Path(path) for path in download([file.url for file in entry.files])]
    except Exception as error:  # whatever TFDS, requests or the network raise
        problem = f"its download failed ({first_line(error)})"
        raise UserError(missing_message(entry, problem)) from error
    for path, file in zip(paths, entry.files, strict=True):
        try:
            verify(path, file)
        except UserError:
            # A damaged download must not be found again, nor what TFDS notes beside it.
            for kept in path.parent.glob(glob.escape(path.name) + "*"):
                kept.unlink()
            raise
    return paths


def missing_message(entry: "Entry", problem: str) -> str:
    """The line that says which files to put where."""
    wanted = "; ".join(f"{file.name} from {file.url}" for file in entry.files)
    return (
        f"`{entry.name}` is not prepared and {problem}. Download by hand: {wanted}; and give the "
        "folder of the download as `data_path` (--data-path)."
    )


def _probe(url: str) -> str | None:
    """Why an address cannot be reached, or None when it can.

    It runs in a thread because looking up a host name has no time limit of its own.
    """
    answer: list[str | None] = [f"{url} did not answer within {PROBE_SECONDS:g} seconds"]

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                answer[0] = None
        except urllib.error.HTTPError as error:
            answer[0] = f"{url} answers {error.code} {error.reason}"
        except OSError as error:
            answer[0] = f"{url} cannot be reached ({getattr(error, 'reason', error)})"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answer[0]

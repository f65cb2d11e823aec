"""Source files of a data set: downloaded or manually downloaded, and always verified."""

import glob
import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.errors import ArgumentError, UserError, first_line
from ..utils.files import user_path
from ..utils.types import PathLike
from .dataset import Splits

if TYPE_CHECKING:
    from .catalogue import Entry, File

# Time limit of a request that finds out whether the network can be reached.
PROBE_SECONDS = 4.0


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined_sha256(paths: Sequence[Path]) -> str:
    """Hexadecimal sha256 of one file, or of the checksums of several in their order."""
    checksums = [sha256(path) for path in paths]
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("".join(checksums).encode()).hexdigest()


def verify(path: Path, file: "File") -> None:
    """Verifies the published checksum of a file.

    Raises:
        UserError: The checksums differ.
    """
    if file.sha256 is None:
        return
    found = sha256(path)
    if found != file.sha256:
        raise UserError(
            f"{path} is not the published {file.name}: expected sha256 {file.sha256}, got {found}. "
            "Download it again."
        )


def verify_frames(path: Path, entry: "Entry", splits: Splits) -> None:
    """Verifies the published number of pieces and the checksum of all frames of a file.

    Raises:
        UserError: They differ.
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


def manual_files(entry: "Entry", manual_dir: PathLike) -> list[Path] | None:
    """Finds and verifies the manually downloaded files of a data set.

    Args:
        entry: Entry of the catalogue.
        manual_dir: Folder of the files; they may be in its direct sub-folders.

    Returns:
        Paths of `entry.files`, else of one of `entry.pickles`; None if some are missing.

    Raises:
        UserError: A file does not have its published checksum, or the folder does not exist.
    """
    folder = user_path(manual_dir)
    if not folder.is_dir():
        raise ArgumentError("manual_dir", "an existing folder", str(folder))
    for choice in (entry.files, *((file,) for file in entry.pickles)):
        paths = [path for file in choice if (path := _find(folder, file.name))]
        if len(paths) == len(choice):
            for path, file in zip(paths, choice, strict=True):
                verify(path, file)
            return paths
    return None


def _find(folder: Path, name: str) -> Path | None:
    for parent in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if (parent / name).is_file():
            return parent / name
    return None


def downloaded_files(entry: "Entry", download: Callable[[list[str]], Any]) -> list[Path]:
    """Downloads and verifies the files of a data set.

    Args:
        entry: Entry of the catalogue.
        download: Downloads a list of URLs and returns a list of paths.

    Raises:
        UserError: A URL cannot be reached, which takes at most 5 seconds to find out, or a file
            does not have its published checksum.
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
            # TFDS would find a corrupt download again, by the record that it writes beside it.
            for cached in path.parent.glob(glob.escape(path.name) + "*"):
                cached.unlink()
            raise
    return paths


def missing_message(entry: "Entry", problem: str) -> str:
    """Error line with the files to download manually."""
    required = "; ".join(f"{file.name} from {file.url}" for file in entry.files)
    return (
        f"`{entry.name}` is not prepared and {problem}. Download manually: {required}; and pass "
        "the folder of the files as `manual_dir` (--manual-dir)."
    )


def _probe(url: str) -> str | None:
    """Returns why a URL cannot be reached, or None.

    It runs in a thread because the look-up of a host name has no time limit.
    """
    problem: list[str | None] = [f"{url} did not answer within {PROBE_SECONDS:g} seconds"]

    def request_head() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                problem[0] = None
        except urllib.error.HTTPError as error:
            problem[0] = f"{url} answers {error.code} {error.reason}"
        except OSError as error:
            problem[0] = f"{url} cannot be reached ({getattr(error, 'reason', error)})"

    thread = threading.Thread(target=request_head, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return problem[0]

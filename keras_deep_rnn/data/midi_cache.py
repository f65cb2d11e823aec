"""Cache of parsed MIDI files, by their content."""

import contextlib
import hashlib
from pathlib import Path

import numpy as np

from ..utils.errors import UserError
from ..utils.files import replacing
from ..utils.types import PathLike
from . import midi_files
from .dataset import KEYS

FOLDER = "midi_pieces"


class MidiCache:
    """Parsed MIDI files in a folder of `data_dir`.

    Any number of processes may use it at once. An entry that is corrupt is parsed anew, and a
    folder that cannot be written is no error.

    Args:
        data_dir: Folder of prepared data.

    Example:

    >>> path = MidiCache("data").path(b"MThd", sustain_pedal=False)
    >>> path.parent.parent.name, len(path.name)
    ('midi_pieces', 64)
    """

    def __init__(self, data_dir: PathLike) -> None:
        self.folder = Path(data_dir).expanduser() / FOLDER

    def path(self, content: bytes, *, sustain_pedal: bool) -> Path:
        """Where the piano-roll of a file's content is cached."""
        parser = f"{midi_files.PARSER_VERSION} {sustain_pedal} ".encode()
        name = hashlib.sha256(parser + content).hexdigest()
        return self.folder / name[:2] / name

    def parse(self, content: bytes, *, sustain_pedal: bool) -> np.ndarray:
        """Returns what `midi_files.parse` does, from the cache if it is there."""
        path = self.path(content, sustain_pedal=sustain_pedal)
        roll = _read(path)
        if roll is None:
            roll = midi_files.parse(content, sustain_pedal=sustain_pedal)
            with contextlib.suppress(OSError, UserError):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as partial:
                    partial.write_bytes(_entry(roll))
        return roll


def _entry(roll: np.ndarray) -> bytes:
    """Content of an entry: the sha256 of what follows, and a bit for each key of each frame."""
    bits = np.packbits(roll, axis=1).tobytes()
    return hashlib.sha256(bits).digest() + bits


def _read(path: Path) -> np.ndarray | None:
    """The piano-roll of an entry; None if there is none or it is corrupt."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, bits = content[:32], content[32:]
    if checksum != hashlib.sha256(bits).digest():
        return None
    return np.unpackbits(np.frombuffer(bits, "uint8").reshape(-1, KEYS // 8), axis=1)

"""Broken files for every reader of user data: python -m benchmarks.reader_fuzz --help.

A good file is changed at random, as it is and, where it is a zip file, in its members. Each change
must be read or be refused in one line. A process of its own does it, so that a crash is seen, too.
"""

import argparse
import collections
import functools
import io
import json
import pickle
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from keras_deep_rnn.utils.errors import UserError

ROOT = Path(__file__).parents[1]
MAX_LINE = 1000  # characters of a line that is still clear, with the path in it


def _splits(seed=0):
    random_ = np.random.default_rng(seed)
    return {
        split: [random_.integers(0, 2, (length, 88)).astype("uint8") for length in (5, 3)]
        for split in ("train", "valid", "test")
    }


def _npz(path):
    named = {f"{split}_{i}": r for split, some in _splits().items() for i, r in enumerate(some)}
    np.savez_compressed(path, **named)


def _mat(path):
    import scipy.io

    cells = {}
    for split, some in _splits().items():
        cells[f"{split}data"] = np.empty((1, len(some)), object)
        for i, roll in enumerate(some):
            cells[f"{split}data"][0, i] = roll
    scipy.io.savemat(path, cells)


def _pickle(path):
    chords = {
        split: [[tuple(np.flatnonzero(frame) + 21) for frame in roll] for roll in some]
        for split, some in _splits().items()
    }
    path.write_bytes(pickle.dumps(chords, protocol=2))


def _text(path):
    path.write_text("Größe und Maß, ein Wort.\r\n" * 20, encoding="utf-8")


def _data(path):
    from keras_deep_rnn import data

    data.load(path)


def _config(path):
    from keras_deep_rnn.training.config import Settings

    about = {"name": "a", "kind": "piano_roll", "version": "1", "checksum": "0"}
    content = {
        "settings": Settings(data="a", network="rnn").to_json(),
        "network": {"network": "rnn", "kind": "piano_roll", "features": 88, "units": 4},
        "data": {**about, "vocabulary": None, "start": None, "quarter_length": 0.25},
    }
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _read_config(path):
    from keras_deep_rnn.training.run_folder import Run

    Run(path.parent).settings()


def _keras(path):
    import keras

    from keras_deep_rnn import DeepTransitionRNN

    model = keras.Sequential([keras.Input((None, 88)), DeepTransitionRNN(4, transition_units=(3,))])
    model.save(path)


def _read_keras(path):
    from keras_deep_rnn.export.formats.sources import load_keras_file

    load_keras_file(path)


# Name of the file, what writes a good one, what reads it.
KINDS = {
    "pickle": ("a.pickle", _pickle, _data),
    "npz": ("a.npz", _npz, _data),
    "mat": ("a.mat", _mat, _data),
    "txt": ("a.txt", _text, _data),
    "json": ("config.json", _config, _read_config),
    "keras": ("a.keras", _keras, _read_keras),
}


def run(kind, count, seed=0):
    """Reads `count` broken files of a kind in a process of its own.

    Args:
        kind: One of `KINDS`.
        count: Number of files.
        seed: What the changes are drawn with.

    Returns:
        {"outcomes": {outcome: count}, "failures": [line], "peak_mb": memory over that of the good
        file}. A crash of the process is a failure.
    """
    command = [sys.executable, "-m", "benchmarks.reader_fuzz", kind, str(count), str(seed)]
    process = subprocess.run([*command, "--here"], cwd=ROOT, capture_output=True, text=True)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:]
        return {"outcomes": {}, "failures": [f"exit code {process.returncode}: {last}"]}
    return json.loads(process.stdout.splitlines()[-1])


def run_here(kind, count, seed=0):
    """The same in this process."""
    name, write, read = KINDS[kind]
    draw = random.Random(seed)
    outcomes, failures = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path)
        read(path)
        good, before = path.read_bytes(), _peak()
        members = _members(good) if zipfile.is_zipfile(path) else {}
        for i in range(count):
            path.write_bytes(
                _broken_members(draw, members) if members and i % 2 else _broken(draw, good)
            )
            outcome = _outcome(functools.partial(read, path))
            outcomes[outcome if outcome in ("read", "refused") else "failed"] += 1
            if outcome not in ("read", "refused"):
                failures.append(f"file {i}: {outcome}")
    return {"outcomes": outcomes, "failures": failures, "peak_mb": _peak() - before}


def _outcome(read):
    try:
        read()
    except UserError as error:
        line = str(error)
        return "refused" if len(line.splitlines()) == 1 and len(line) <= MAX_LINE else repr(line)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read"


def _broken(draw, content):
    """`content` with one to eight changes, mostly of single bits."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        at = draw.randrange(len(content))
        change = draw.random()
        if change < 0.7:
            content[at] ^= 1 << draw.randrange(8)
        elif change < 0.8:
            content[at : at + 4] = draw.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f")
            )
        elif change < 0.9:
            other = draw.randrange(len(content))
            content[at:at] = content[other : other + draw.randrange(64)]
        else:
            del content[at : at + draw.randrange(64)]
        if not content:
            break
    return bytes(content)


def _members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _broken_members(draw, members):
    """A zip file in which one member is broken and has the right checksum."""
    broken = draw.choice(sorted(members))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, _broken(draw, member) if name == broken else member)
    return content.getvalue()


def _peak():
    """Peak memory of this process, in megabytes, on Linux; `getrusage` counts its parent's, too."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024 if status.exists() else 0


def main():
    """Reads broken files and prints what came of them, as JSON; exit code 1 after a failure."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    results = (run_here if options.here else run)(options.kind, options.count, options.seed)
    print(json.dumps(results))
    return 0 if options.here else bool(results["failures"])


if __name__ == "__main__":
    sys.exit(main())

"""What a command has finished, in a form that two right runs have in common."""

import csv
import fnmatch
import hashlib
import json
import zipfile
from pathlib import Path

# What two runs of one command have in common is all but this, and checksums of this.
VOLATILE = {"seconds", "command", "versions", "checksum", "history_checksum"}


def run(path):
    """{part: content} of a run that has metrics.json; of another nothing."""
    if not (path / "metrics.json").is_file():
        return {}
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    with open(path / "history.csv", encoding="utf-8", newline="") as file:
        history = [_steady(row) for row in csv.DictReader(file)]
    with zipfile.ZipFile(path / "model.keras") as file:
        weights = sha256(file.read("model.weights.h5"))
    return {"metrics": _steady(metrics), "history": history, "weights": weights}


def export(version):
    """{file: sha256} of a version, and its record; its fingerprint has a random part."""
    if not version.is_dir():
        return {}
    paths = {name: version / name for name in tree(version)}
    files = {name: sha256(path.read_bytes()) for name, path in paths.items() if path.is_file()}
    record = json.loads((version / "export.json").read_text(encoding="utf-8"))
    for sums in files, record["files"]:
        del sums["fingerprint.pb"]
    del record["checksum"]  # which counts that sum too
    return {**files, "export.json": record}


def search(folder):
    """{id: trial} of the completed trials."""
    from keras_deep_rnn.tuning.search.project import Project

    names = ("id", "values", "settings", "parameters", "score", "metrics", "epochs", "best_epoch")
    trials = Project(folder / "job").trials()
    return {t.id: [getattr(t, n) for n in names] for t in trials if t.status == "COMPLETED"}


def experiment(folder):
    """The run, and its record."""
    found = {}
    for path in folder.glob("runs/*/*/seed-*"):
        if path.is_dir():
            found |= run(path)
    for path in folder.glob("results/*/*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[path.name] = {**record, "runs": [_steady(run) for run in record["runs"]]}
    return found


def left(found, expected, loose=()):
    """The files that should not be there; hidden ones never should.

    Example:

    >>> left(["a", "logs/b", "logs/.c/d"], {"a"}, ("logs/*",))
    ['logs/.c/d']
    """
    return [
        name
        for name in sorted(set(found) - set(expected))
        if any(part.startswith(".") for part in Path(name).parts)
        or not any(fnmatch.fnmatch(name, pattern) for pattern in loose)
    ]


def tree(folder):
    """The names of all files below a folder, and of its empty folders."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(Path(folder).rglob("*"))
        if not path.is_dir() or not any(path.iterdir())
    ]


def _steady(content):
    return {name: value for name, value in content.items() if name not in VOLATILE}


def sha256(content):
    """The checksum of some bytes."""
    return hashlib.sha256(content).hexdigest()

"""SIGKILL at random times: what the same command, or --resume, makes of what is left.

The command alone is killed, as by a system that is out of memory; what it has started must notice.
"""

import csv
import dataclasses
import fnmatch
import hashlib
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from .forked import Command, Died, deep_rnn, in_processes
from .judged import CRASH, LEFT, LOST, RIGHT, WRONG, Tally, judge

TIMES = 20
# Seconds after a kill at which nothing that the command has started may run.
PROCESSES_END = 30.0
MARK = "DEEP_RNN_FAULT"  # environment variable by which those are found
# What two runs of one command have in common is all but this, and checksums of this.
VOLATILE = {"seconds", "command", "versions", "checksum", "history_checksum"}


@dataclasses.dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        command: (place, folder) -> its words.
        again: (place, folder) -> words of what is run after the kill; None: all is done.
        finished: folder -> {name: value} of all that counts as finished.
        loose: Patterns of files that may differ between two right runs.
    """

    command: Callable
    again: Callable
    finished: Callable
    loose: tuple = ()


def _again_train(place, folder):
    if (folder / "run" / "config.json").is_file():
        return "train", "--resume", "--out", folder / "run"
    return place.train(folder / "run")


def finished_run(path):
    """{part: content} of a run that has metrics.json; of another nothing."""
    if not (path / "metrics.json").is_file():
        return {}
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    with open(path / "history.csv", encoding="utf-8", newline="") as file:
        history = [_steady(row) for row in csv.DictReader(file)]
    with zipfile.ZipFile(path / "model.keras") as file:
        weights = _sha256(file.read("model.weights.h5"))
    return {"metrics": _steady(metrics), "history": history, "weights": weights}


def finished_export(version):
    """{file: sha256} of a version, and its record; its fingerprint has a random part."""
    if not version.is_dir():
        return {}
    paths = {name: version / name for name in tree(version)}
    files = {name: _sha256(path.read_bytes()) for name, path in paths.items() if path.is_file()}
    record = json.loads((version / "export.json").read_text(encoding="utf-8"))
    for sums in files, record["files"]:
        del sums["fingerprint.pb"]
    return {**files, "export.json": record}


def _finished_search(folder):
    """{id: trial} of the completed trials."""
    from keras_deep_rnn.tuning.search.project import Project

    names = ("id", "values", "settings", "parameters", "score", "metrics", "epochs", "best_epoch")
    trials = Project(folder / "job").trials()
    return {t.id: [getattr(t, n) for n in names] for t in trials if t.status == "COMPLETED"}


def _again_tune(place, folder):
    resume = ["--resume"] if (folder / "job" / "job.json").is_file() else []
    return "tune", "run", place.job(folder), *resume


def _finished_experiment(folder):
    """The run, and its record."""
    found = {}
    for path in folder.glob("runs/*/*/seed-*"):
        if path.is_dir():
            found |= finished_run(path)
    for path in folder.glob("results/*/*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[path.name] = {**record, "runs": [_steady(run) for run in record["runs"]]}
    return found


VICTIMS = {
    "train": Victim(
        lambda place, folder: place.train(folder / "run"),
        _again_train,
        lambda folder: finished_run(folder / "run"),
    ),
    "export": Victim(
        lambda place, folder: _export(place, folder),
        lambda place, folder: (
            None if (folder / "served" / "music" / "1").exists() else _export(place, folder)
        ),
        lambda folder: finished_export(folder / "served" / "music" / "1"),
    ),
    "generate": Victim(
        lambda place, folder: _generate(place, folder),
        lambda place, folder: _generate(place, folder),
        lambda folder: {p.name: _sha256(p.read_bytes()) for p in folder.glob("music.*")},
    ),
    "tune": Victim(
        lambda place, folder: ("tune", "run", place.job(folder)),
        _again_tune,
        _finished_search,
        ("job/trials/*", "job/logs/*", "job/workers/*", "job/report/*"),
    ),
    "reproduce": Victim(
        lambda place, folder: place.reproduce(folder),
        lambda place, folder: place.reproduce(folder),
        _finished_experiment,
    ),
}


def _export(place, folder):
    return "export", place.run, "--version", 1, "--out", folder / "served" / "music"


def _generate(place, folder):
    return "generate", place.run, "--length", 32, "--out", folder / "music.mid"


def run(place, plan):
    """Yields a `Tally` for each command."""
    times = plan.times(TIMES)
    place.prepare_for_all("run", "data_dir")
    undisturbed = {}
    for name, result in in_processes(lambda name: _run_once(place, name), VICTIMS, plan.width):
        undisturbed[name] = result
    cases = [
        (name, i) for i in range(times) for name in VICTIMS if _can_be_killed(undisturbed, name)
    ]
    found = {name: {} for name in VICTIMS}

    def kill(case):
        return _kill(place, *case, undisturbed[case[0]], plan.random(*case))

    for (name, i), result in in_processes(kill, cases, plan.width):
        found[name][i] = (CRASH, str(result)) if isinstance(result, Died) else result
    time.sleep(PROCESSES_END if any(found.values()) else 0)
    for mark, command in _marked().items():
        name, i = mark.rsplit(" ", maxsplit=1)
        if found[name][int(i)][0] == RIGHT:
            found[name][int(i)] = LEFT, f"a process runs on: {command}"
    for name in VICTIMS:
        tally = Tally("kills", f"SIGKILL of `deep-rnn {name}`, then the same again or --resume")
        if not _can_be_killed(undisturbed, name):
            tally.add(CRASH, f"it fails even without a kill: {undisturbed[name]}")
        for i, (outcome, what) in sorted(found[name].items()):
            tally.add(outcome, f"kill {i}: {what}")
        yield tally


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """A run of a command that nobody has killed."""

    seconds: float
    finished: dict
    tree: frozenset


def _can_be_killed(undisturbed, name):
    return isinstance(undisturbed[name], Undisturbed)


def _run_once(place, name):
    folder, victim = place.new(f"{name}-whole"), VICTIMS[name]
    ended = deep_rnn(*victim.command(place, folder), folder=folder)
    outcome, what = judge(ended)
    if outcome != RIGHT:
        yield f"{outcome}: {what}"
        return
    yield Undisturbed(ended.seconds, victim.finished(folder), frozenset(tree(folder)))


def _kill(place, name, i, undisturbed, draw):
    """Kills a command at a random time and runs it again: (outcome, line)."""
    folder, victim = place.new(f"{name}-{i}"), VICTIMS[name]
    mark = {MARK: f"{name} {i}"}
    seconds = draw.uniform(0, undisturbed.seconds)
    command = Command(*victim.command(place, folder), folder=folder, **mark)
    time.sleep(seconds)
    command.kill()
    command.wait()
    when = f"after {seconds:.2f} of {undisturbed.seconds:.2f} s"
    half = _other(victim, folder, undisturbed, whole=False)
    if half:
        yield WRONG, f"{when} counts as finished and is not: {half}"
        return
    words = victim.again(place, folder)
    if words is not None:
        outcome, what = judge(deep_rnn(*words, folder=folder, **mark))
        if outcome != RIGHT:
            yield LOST, f"{when}, then: {outcome}: {what}"
            return
    yield _compare(folder, victim, undisturbed, when)


def _other(victim, folder, undisturbed, whole):
    """What is finished and another thing than undisturbed; with `whole`, also what is missing."""
    expected = undisturbed.finished
    try:
        found = victim.finished(folder)
    except Exception as error:  # whatever half a file leads to
        return f"it cannot be read: {error!r}"
    names = {*found, *expected} if whole else found
    return ", ".join(sorted(n for n in names if found.get(n) != expected.get(n)))


def _compare(folder, victim, undisturbed, when):
    other = _other(victim, folder, undisturbed, whole=True)
    if other:
        return WRONG, f"{when}, then another result: {other}"
    remains = left(tree(folder), undisturbed.tree, victim.loose)
    if remains:
        return LEFT, f"{when}: {', '.join(remains[:3])}"
    return RIGHT, ""


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


def _marked():
    """{mark: command line} of the processes that the killed commands have started."""
    import psutil

    found = {}
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK)
            if mark is not None:
                found[mark] = " ".join(process.cmdline())[:200]
                process.kill()  # it is one of ours
        except psutil.Error:
            continue
    return found


def _steady(content):
    return {name: value for name, value in content.items() if name not in VOLATILE}


def _sha256(content):
    return hashlib.sha256(content).hexdigest()

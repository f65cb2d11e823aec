"""SIGKILL at random times: what the same command, or --resume, makes of what is left.

The command alone is killed, as by a system that is out of memory; what it has started must notice.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from . import finished
from .finished import left, sha256, tree
from .forked import Command, Died, deep_rnn, in_processes
from .judged import CRASH, LEFT, LOST, RIGHT, WRONG, Tally, judge

TIMES = 20
# Seconds after a kill at which nothing that the command has started may run.
PROCESSES_END = 30.0
MARK = "DEEP_RNN_FAULT"  # environment variable by which those are found


class Victim(NamedTuple):
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


def _again_tune(place, folder):
    resume = ["--resume"] if (folder / "job" / "job.json").is_file() else []
    return "tune", "run", place.job(folder), *resume


VICTIMS = {
    "train": Victim(
        lambda place, folder: place.train(folder / "run"),
        _again_train,
        lambda folder: finished.run(folder / "run"),
    ),
    "export": Victim(
        lambda place, folder: _export(place, folder),
        lambda place, folder: (
            None if (folder / "served" / "music" / "1").exists() else _export(place, folder)
        ),
        lambda folder: finished.export(folder / "served" / "music" / "1"),
    ),
    "generate": Victim(
        lambda place, folder: _generate(place, folder),
        lambda place, folder: _generate(place, folder),
        lambda folder: {p.name: sha256(p.read_bytes()) for p in folder.glob("music.*")},
    ),
    "tune": Victim(
        lambda place, folder: ("tune", "run", place.job(folder)),
        _again_tune,
        finished.search,
        ("job/trials/*", "job/logs/*", "job/report/*"),
    ),
    "reproduce": Victim(
        lambda place, folder: place.reproduce(folder),
        lambda place, folder: place.reproduce(folder),
        finished.experiment,
    ),
}


def _export(place, folder):
    return "export", place.run, "--version", 1, "--out", folder / "served" / "music"


def _generate(place, folder):
    return "generate", place.run, "--length", 32, "--out", folder / "music.mid"


def run(place, plan):
    """Yields a `Tally` for each command."""
    place.prepare_for_all("run", "data_dir")
    undisturbed = dict(in_processes(lambda name: _run_once(place, name), VICTIMS, plan.width))
    cases = [(name, i) for i in range(plan.times(TIMES)) for name in VICTIMS]

    def kill(case):
        yield _kill(place, *case, undisturbed[case[0]], plan.random(*case))

    found = {
        case: (CRASH, str(result)) if isinstance(result, Died) else result
        for case, result in in_processes(kill, cases, plan.width)
    }
    time.sleep(PROCESSES_END)
    for (name, i), command in _end_marked(place).items():
        if found[name, i][0] == RIGHT:
            found[name, i] = LEFT, f"a process runs on: {command}"
    for name in VICTIMS:
        tally = Tally("kills", f"SIGKILL of `deep-rnn {name}`, then the same again or --resume")
        for _, i in (case for case in cases if case[0] == name):
            outcome, what = found[name, i]
            tally.add(outcome, f"kill {i}: {what}")
        yield tally


class Undisturbed(NamedTuple):
    """A run of a command that nobody has killed."""

    seconds: float
    finished: dict
    tree: frozenset


def _run_once(place, name):
    folder, victim = place.new(f"{name}-whole"), VICTIMS[name]
    ended = deep_rnn(*victim.command(place, folder), folder=folder)
    if ended.code:
        raise RuntimeError(f"deep-rnn {name} fails without a fault: {ended.errors}")
    yield Undisturbed(ended.seconds, victim.finished(folder), frozenset(tree(folder)))


def _kill(place, name, i, undisturbed, draw):
    """Kills a command at a random time and runs it again: (outcome, line)."""
    folder, victim = place.new(f"{name}-{i}"), VICTIMS[name]
    mark = {MARK: f"{place.folder} {name} {i}"}
    seconds = draw.uniform(0, undisturbed.seconds)
    command = Command(*victim.command(place, folder), folder=folder, **mark)
    time.sleep(seconds)
    command.kill()
    command.wait()
    when = f"after {seconds:.2f} of {undisturbed.seconds:.2f} s"
    half = _other(victim, folder, undisturbed, whole=False)
    if half:
        return WRONG, f"{when} counts as finished and is not: {half}"
    words = victim.again(place, folder)
    if words is not None:
        outcome, what = judge(deep_rnn(*words, folder=folder, **mark))
        if outcome != RIGHT:
            return LOST, f"{when}, then: {outcome}: {what}"
    other = _other(victim, folder, undisturbed, whole=True)
    if other:
        return WRONG, f"{when}, then another result: {other}"
    remains = left(tree(folder), undisturbed.tree, victim.loose)
    if remains:
        return LEFT, f"{when}: {', '.join(remains[:3])}"
    return RIGHT, ""


def _other(victim, folder, undisturbed, whole):
    """What is finished and another thing than undisturbed; with `whole`, also what is missing."""
    expected = undisturbed.finished
    try:
        found = victim.finished(folder)
    except Exception as error:  # whatever half a file leads to
        return f"it cannot be read: {error!r}"
    names = {*found, *expected} if whole else found
    return ", ".join(sorted(n for n in names if found.get(n) != expected.get(n)))


def _end_marked(place):
    """Ends what the killed commands have started and runs on: {(name, i): its command line}."""
    import psutil

    found = {}
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
            if mark.startswith(f"{place.folder} "):
                name, i = mark.split(" ")[-2:]
                found[name, int(i)] = " ".join(process.cmdline())[:200]
                process.kill()
        except psutil.Error:
            continue
    return found

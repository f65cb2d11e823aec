"""Mutated files for every reader, in processes whose memory is watched and limited."""

import collections
import contextlib
import functools
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .forked import Died, in_processes, processes
from .judged import CRASH, LINE, MEMORY, RIGHT, TRACEBACK, WRONG, Tally
from .mutations import add_files, mutated, valid

TIMES = 10_000
# Files that need a network to be built: each costs as much as hundreds of the others.
COSTLY_TIMES = 300
PART = 500  # inputs of a process
SECONDS = 20  # in which each must be read
MORE_MEMORY = 500 * 2**20
# A limit for the machine's sake; who meets it is called once more, without it.
ADDRESSES = 4 * 2**30
ASKED_TOO_MUCH = "asked for too much"
LONGEST = 1000  # characters of a line that is still clear


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
        done: What is read, in words.
        kind: The kind of `mutations` that is read.
        name: Name of the file.
        read: folder -> what was read from the file in it.
        lay: (place, folder) -> None: puts beside it what else is needed.
        times: How many inputs it gets.
    """

    done: str
    kind: str
    name: str
    read: Callable
    lay: Callable = lambda place, folder: None
    times: int = TIMES


def _load(name, folder):
    from keras_deep_rnn import data

    dataset = data.load(folder / name, progress=False)
    # A mutated file may be a valid one of other content; what is read must be data all the same.
    for sequences in dataset.splits.values():
        for sequence in sequences:
            if dataset.kind == "piano_roll":
                shape = sequence.ndim == 2 and sequence.shape[1] == 88
                good = shape and sequence.dtype == np.uint8 and sequence.max(initial=0) <= 1
            else:
                good = sequence.min() >= 0 and sequence.max() < dataset.features
            if not good or not len(sequence):
                raise _Wrong(f"{sequence.dtype} {sequence.shape} is no sequence")


class _Wrong(Exception):
    """What was read is none of what there could be."""


def _lay_pieces(place, folder):
    for i in range(3):
        pitch = bytes([72 + i])
        content = valid("midi").replace(b"\x90\x3c", b"\x90" + pitch)
        (folder / "midi").mkdir(exist_ok=True)
        (folder / "midi" / f"piece{i}.mid").write_bytes(
            content.replace(b"\x80\x3c", b"\x80" + pitch)
        )


def _run(folder):
    from keras_deep_rnn.training.run_folder import Run

    return Run(folder)


def _lay_run(place, folder):
    shutil.copytree(place.run, folder, dirs_exist_ok=True)


def _job(folder):
    from keras_deep_rnn.tuning.job.job import Job

    Job.read(folder / "job.toml")


def _project(folder):
    from keras_deep_rnn.tuning.search.project import Project

    return Project(folder)


def _lay_project(place, folder):
    shutil.copytree(place.search, folder, dirs_exist_ok=True)


def _trials(project):
    (project.path / "state.backup.json").unlink(missing_ok=True)  # which would be read instead
    return project.trials()


def _record(folder):
    from keras_deep_rnn.export.model.record import read_record

    read_record(folder)


def _keras(folder):
    from keras_deep_rnn.export.formats.sources import load_keras_file

    load_keras_file(folder / "model.keras")


def _data(done, kind, name, lay=lambda place, folder: None):
    """The reader of a user's data, which is the file or the folder that it is in."""
    return Reader(done, kind, name, functools.partial(_load, name.split("/")[0]), lay)


def _of_run(done, kind, name, read, times=TIMES):
    return Reader(done, kind, name, lambda folder: read(_run(folder)), _lay_run, times)


def _of_search(done, kind, name, read):
    return Reader(done, kind, name, lambda folder: read(_project(folder)), _lay_project)


READERS = (
    _data("piano-rolls, .npz", "npz", "pieces.npz"),
    _data("piano-rolls, .mat", "mat", "pieces.mat"),
    _data("chords, .pickle", "pickle", "pieces.pickle"),
    _data("MIDI in a folder, .mid", "midi", "midi/mutated.mid", _lay_pieces),
    _data("text, .txt", "text", "text.txt"),
    _of_run("config.json of a run", "config", "config.json", lambda run: run.settings()),
    _of_run(
        "config.json of a run, and its network",
        "config",
        "config.json",
        lambda run: run.network(),
        COSTLY_TIMES,
    ),
    _of_run("metrics.json of a run", "metrics", "metrics.json", lambda run: run.metrics),
    _of_run("history.csv of a run", "history", "history.csv", lambda run: run.metrics),
    Reader("job file, .toml", "toml", "job.toml", _job),
    _of_search("job.json of a search", "job", "job.json", lambda project: project.job()),
    _of_search("state.json of a search", "state", "state.json", _trials),
    Reader("export.json of an export", "record", "export.json", _record),
    Reader("network, .keras", "keras", "model.keras", _keras, times=COSTLY_TIMES),
)


def run(place, plan):
    """Yields a `Tally` for each reader."""
    add_files(place)
    tallies = [Tally("inputs", f"mutated {reader.done}") for reader in READERS]
    cases = collections.deque()
    for number, reader in enumerate(READERS):
        valid(reader.kind)  # made here, for the processes that share it
        total = plan.times(reader.times, 3)
        for first in range(0, total, PART):
            cases.append((number, first, min(first + PART, total)))
    reached = {case: case[1] for case in cases}
    for case, result in in_processes(lambda case: _read(place, plan, *case), cases, plan.width):
        number, _, end = case
        seed = reached[case]
        if isinstance(result, Died):
            hang = result.signal == signal.SIGALRM
            what = f"no end after {SECONDS} s" if hang else str(result)
            result = CRASH, what
            if seed + 1 < end:  # the others of its part
                cases.append((number, seed + 1, end))
                reached[number, seed + 1, end] = seed + 1
        outcome, what = result
        tallies[number].add(
            outcome, f"mutated({READERS[number].kind!r}, {_seed(plan, seed)}): {what}"
        )
        reached[case] += 1
    yield from tallies


def _seed(plan, i):
    """The seed of an input, other ones for another seed of all."""
    return plan.seed * TIMES + i


def _read(place, plan, number, first, end):
    """Reads inputs and yields (outcome, line) of each."""
    reader = READERS[number]
    folder = place.new(f"inputs-{number}-{first}-{end}")
    reader.lay(place, folder)
    path = folder / reader.name
    limit_addresses()
    for i in range(first, end):
        content = mutated(reader.kind, _seed(plan, i))
        path.write_bytes(content)
        yield watched(reader.read, folder)
    shutil.rmtree(folder)


def limit_addresses(more=ADDRESSES):
    """Lets this process have so many more bytes of addresses; None: as many as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = hard if more is None else _memory("self", 0) + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def watched(read, folder):
    """Calls a reader: (outcome, line)."""
    before = _peak_from_now()
    signal.alarm(SECONDS)  # which ends the process
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
        outcome, what = _outcome(read, folder, limited=True)
    signal.alarm(0)
    if outcome == ASKED_TOO_MUCH:
        return _watched_from_outside(read, folder)
    more = _peak() - before
    if outcome != WRONG and more > MORE_MEMORY:
        return MEMORY, f"{more / 2**20:,.0f} MB; {what}"
    return outcome, what


def _watched_from_outside(read, folder):
    """Calls a reader without a limit of addresses: what it asks for may never come to be used."""

    def read_once():
        signal.alarm(SECONDS)
        limit_addresses(None)
        sender.send(_outcome(read, folder))

    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=read_once)
    process.start()
    sender.close()
    before = _memory(process.pid)
    while not receiver.poll(0.002):
        if _memory(process.pid) - before > MORE_MEMORY:
            process.kill()
            process.join()
            return MEMORY, f"more than {MORE_MEMORY / 2**20:.0f} MB"
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return CRASH, str(Died(-process.exitcode))


def _outcome(read, folder, limited=False):
    from keras_deep_rnn.utils.errors import UserError

    try:
        read(folder)
    except _Wrong as error:
        return WRONG, str(error)
    except Exception as error:
        if limited and _of_memory(error):
            return ASKED_TOO_MUCH, ""
        line = " ".join(str(error).split())  # as the command line shows it
        if not isinstance(error, UserError):
            return TRACEBACK, f"{type(error).__name__}: {line[:200]}"
        if len(line) > LONGEST or not line.isprintable():
            return TRACEBACK, f"no clear line, {len(line)} characters: {line[:200]!r}"
        return LINE, line
    return RIGHT, ""


def _of_memory(error):
    """Whether an error comes from one about memory."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _peak_from_now():
    """Forgets the peak of this process's memory; its memory now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak():
    """The peak of this process's memory in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _memory(process, field=1):
    """The memory of a process in bytes; field 0: of its addresses."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[field]
    return int(pages) * resource.getpagesize()

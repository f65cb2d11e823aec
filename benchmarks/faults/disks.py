"""Disks that are full at some point, and folders that cannot be written, for all that writes."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from .finished import left, tree
from .forked import Died, deep_rnn, in_processes
from .judged import CRASH, LEFT, LINE, LOST, RIGHT, WRONG, Tally, judge
from .workplace import any_file

# Room on the disk as a share of what the command writes.
SHARES = (0.02, 0.1, 0.3, 0.6, 0.9)
PAGE = 4096  # what a tmpfs gives out


class Writer(NamedTuple):
    """A command that writes.

    Attributes:
        command: (place, disk) -> its words.
        lay: (place, disk) -> None: puts there what the command needs.
        before: Called in its process.
    """

    command: Callable
    lay: Callable = lambda place, disk: None
    before: Callable | None = None


WRITERS = {
    "train": Writer(lambda place, disk: place.train(disk / "run")),
    "evaluate": Writer(
        lambda place, disk: ("evaluate", disk / "run", "--json"),
        lambda place, disk: shutil.copytree(place.run, disk / "run"),
    ),
    "generate": Writer(
        lambda place, disk: ("generate", place.run, "--length", 32, "--out", disk / "music.mid")
    ),
    "export": Writer(
        lambda place, disk: ("export", place.run, "--no-check", "--out", disk / "served" / "music")
    ),
    "tune": Writer(
        lambda place, disk: ("tune", "run", disk / "job.toml"), lambda place, disk: place.job(disk)
    ),
    "reproduce": Writer(lambda place, disk: place.reproduce(disk)),
    "data prepare": Writer(
        lambda place, disk: place.prepare(disk / "prepared"),
        lambda place, disk: place.manual_dir,
        any_file,
    ),
}


def run(place, plan):
    """Yields a `Tally` for full disks and one for read-only folders of each command."""
    titles = {
        share: "a disk that becomes full" if share else "a read-only folder"
        for share in (*SHARES, None)
    }
    tallies = {
        (name, title): Tally("disks", f"{title}, `deep-rnn {name}`")
        for title in dict.fromkeys(titles.values())
        for name in WRITERS
    }
    reason = _unmountable(place)
    if reason is not None:
        for tally in tallies.values():
            tally.skipped = reason
        yield from tallies.values()
        return
    place.prepare_for_all("run", "data_dir")
    plain = dict(in_processes(lambda name: _run_plain(place, name), WRITERS, plan.width))
    shares = SHARES[1:2] if plan.quick else SHARES
    cases = [(name, share) for share in (*shares, None) for name in WRITERS]
    for (name, share), result in in_processes(
        lambda case: _run_on_disk(place, *case, *plain[case[0]]), cases, plan.width
    ):
        outcome, what = (CRASH, str(result)) if isinstance(result, Died) else result
        tally = tallies[name, titles[share]]
        tally.add(outcome, f"room for {share:.0%}: {what}" if share else what)
    yield from tallies.values()


def _run_plain(place, name):
    """The bytes that a command writes, and its output, where there is room."""
    folder, writer = place.new(f"{name}-plain"), WRITERS[name]
    writer.lay(place, folder)
    ended = deep_rnn(*writer.command(place, folder), folder=place.folder, before=writer.before)
    if ended.code:
        raise RuntimeError(f"deep-rnn {name} fails without a fault: {ended.errors}")
    yield _bytes(folder), ended.output


def _run_on_disk(place, name, share, size, output):
    """Runs a command on a disk with room for a share of what it writes; None: read-only."""
    writer = WRITERS[name]
    folder = place.new(f"{name}-on-{share}")
    writer.lay(place, folder)
    laid = _bytes(folder)
    # What is rewritten needs its room a second time, beside its place.
    room = laid + int(share * (size - laid or PAGE)) // PAGE * PAGE if share else 2 * size
    disk = place.new(f"{name}-disk-{share}")
    with mounted(disk, room):
        shutil.copytree(folder, disk, dirs_exist_ok=True)
        if share is None:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = _contents(disk)
        ended = deep_rnn(*writer.command(place, disk), folder=place.folder, before=writer.before)
        yield _judge(name, ended, before, disk, output)


def _judge(name, ended, before, disk, output):
    outcome, what = judge(ended)
    if outcome == RIGHT:
        return WRONG, f"exit code 0, {what}"
    after = _contents(disk)
    changed = [path for path, content in before.items() if after.get(path) != content]
    if changed:
        return LOST, f"{', '.join(changed)} has changed; {what}"
    if outcome == LINE and name == "evaluate" and ended.output != output:
        return LOST, f"the numbers are not shown; {what}"
    remains = left(tree(disk), before, ("*",))
    if outcome == LINE and remains:
        return LEFT, f"{', '.join(remains[:3])}; {what}"
    return outcome, what


@contextlib.contextmanager
def mounted(folder, size):
    """Mounts a tmpfs of a number of bytes on a folder."""
    options = f"size={max(PAGE, size)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _unmountable(place):
    """Why no disk can be mounted, or None."""
    folder = place.new("mountable")
    command = ["mount", "-t", "tmpfs", "-o", f"size={PAGE}", "tmpfs", folder]
    try:
        tried = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no `mount` here"
    if tried.returncode:
        return f"no disk can be mounted: {' '.join(tried.stderr.split())}"
    subprocess.run(["umount", folder], check=True)
    return None


def _bytes(folder):
    """The room that the files of a folder take on a tmpfs."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // PAGE) * PAGE for size in sizes)


def _contents(folder):
    return {
        name: (folder / name).read_bytes() for name in tree(folder) if (folder / name).is_file()
    }

"""What came of a fault, and how it is told from what a command has said."""

import collections
import dataclasses
import signal

RIGHT, LINE = "right", "one clear line"
TRACEBACK, WRONG, LOST, LEFT = "traceback", "wrong", "lost", "left behind"
MEMORY, CRASH = "memory", "crash"
# In the order of the table, each with its definition.
OUTCOMES = {
    RIGHT: "the result of an undisturbed run, to the last digit",
    LINE: "one line that begins with `Error:`, and exit code 2",
    TRACEBACK: "a traceback, several lines, or another exit code",
    WRONG: "exit code 0 and another result, or half of it taken for the whole",
    LOST: "what was there before is gone or has changed, or the result does not come any more",
    LEFT: "the right result, but files or processes of the killed command remain",
    MEMORY: "more than 500 MB over what the process had before",
    CRASH: "a signal that nobody has sent, or no end",
}
GOOD = RIGHT, LINE
SHOWN = 20  # cases that are kept of what was not good


@dataclasses.dataclass
class Tally:
    """A line of the table.

    Attributes:
        section: Its section.
        done: What was done, in words.
        counts: How often each outcome came.
        bad: A line about each of the first cases that were not good.
        skipped: Why it was not done, or None.
    """

    section: str
    done: str
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    bad: list = dataclasses.field(default_factory=list)
    skipped: str | None = None

    def add(self, outcome, what="", times=1):
        """Counts an outcome; `what` names its case."""
        self.counts[outcome] += times
        if outcome not in GOOD and len(self.bad) < SHOWN:
            self.bad.append(f"{outcome}: {what}")

    @property
    def good(self):
        """Whether nothing but good outcomes came."""
        return not any(times for outcome, times in self.counts.items() if outcome not in GOOD)

    def to_json(self):
        """What JSON can hold."""
        return {**vars(self), "counts": dict(self.counts)}

    def __str__(self):
        counts = ", ".join(f"{self.counts[o]} {o}" for o in OUTCOMES if self.counts[o])
        return f"{self.section}: {self.done}: {self.skipped or counts or 'nothing'}"


def judge(ended):
    """The outcome of a command, and a line about it; `RIGHT` is still to be compared."""
    lines = [line for line in ended.errors.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else ""
    if ended.code is None:
        return CRASH, f"no end after {ended.seconds:.0f} s"
    if ended.code < 0:
        return CRASH, signal.Signals(-ended.code).name
    if "Traceback (most recent call last)" in ended.errors + ended.output:
        return TRACEBACK, last
    if ended.code == 0:
        return RIGHT, last
    if ended.code == 2 and len(lines) == 1 and last.startswith("Error: "):
        return LINE, last
    return TRACEBACK, f"exit code {ended.code}, {len(lines)} lines: {last}"

"""The command line: python -m benchmarks faults --help."""

import argparse
import dataclasses
import importlib
import os
import random
import tempfile
import time
from importlib import metadata
from pathlib import Path

SECTIONS = ("kills", "disks", "bits", "inputs", "requests")
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "grpcio", "aiohttp", "h5py", "scipy")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        quick: Whether everything is done once or a few times only.
        seed: What all draws are made from.
        width: Processes at a time.
    """

    quick: bool
    seed: int
    width: int

    def times(self, full, quick=1):
        """How often something is done."""
        return quick if self.quick else full

    def random(self, *case):
        """The draws of a case, whatever was drawn for others."""
        return random.Random(f"{self.seed} {case}")


def arguments(words):
    """The options."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks faults", description="What comes of faults: docs/reliability.md."
    )
    parser.add_argument("--only", default="", metavar="SECTION,...", help=", ".join(SECTIONS))
    parser.add_argument("--out", type=Path, help="JSON to write [benchmarks/faults.json]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="1 to 3 of each, to see that it runs")
    given = parser.parse_args(words)
    given.only = [name for name in given.only.split(",") if name] or list(SECTIONS)
    if unknown := set(given.only) - set(SECTIONS):
        parser.error(f"--only: there is no section {', '.join(sorted(unknown))}")
    return given


def main(words):
    """Does what is asked for, then writes the page if that is all; fails if anything was bad."""
    from ..__main__ import machine, write
    from . import page
    from .forked import import_all
    from .workplace import Workplace

    given = arguments(words)
    plan = Plan(given.quick, given.seed, width=len(os.sched_getaffinity(0)))
    path = given.out or Path("benchmarks", "quick-faults.json" if given.quick else "faults.json")
    command = " ".join(["python -m benchmarks faults", *words])
    run = {**machine(), "command": command, "seed": given.seed, "versions": _versions()}
    tallies, start = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        _keep_within(scratch)
        import_all()
        place = Workplace(Path(scratch, "place"))
        for section in given.only:
            began = time.monotonic()
            for tally in importlib.import_module(f".{section}", __package__).run(place, plan):
                tallies.append(tally)
                print(tally, *(f"    {line}" for line in tally.bad), sep="\n", flush=True)
            print(f"{section}: {time.monotonic() - began:.0f} s", flush=True)
            run["minutes"] = round((time.monotonic() - start) / 60, 1)
            write(path, {"run": run, "results": [tally.to_json() for tally in tallies]})
    print(f"Everything is in {path}.")
    if not given.quick and given.only == list(SECTIONS):
        page.write(path)
    if not all(tally.good for tally in tallies):
        raise SystemExit("Not everything has ended well: see above.")


def _keep_within(scratch):
    """Lets commands keep below a folder what they keep outside of what they are told to write."""
    for variable in ("TMPDIR", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
        folder = Path(scratch, variable.lower())
        folder.mkdir()
        os.environ[variable] = str(folder)
    tempfile.tempdir = None  # found anew, now by TMPDIR


def _versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

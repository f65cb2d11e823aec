"""The benchmark of faults finds them: what it judges, watches and counts."""

import json
import pathlib
import random
import subprocess
import sys
import textwrap

import pytest

if sys.platform != "linux":
    pytest.skip("faults are made with Linux's means", allow_module_level=True)

from benchmarks.faults import bits, disks, finished, judged, mutations, page
from benchmarks.faults.forked import Ended
from benchmarks.faults.workplace import Workplace

pytestmark = pytest.mark.process

ROOT = pathlib.Path(__file__).parents[1]
LINE = "Error: Cannot write 'x': No space left on device.\n"
TRACEBACK = "Traceback (most recent call last):\n  File\nOSError: full\n"


@pytest.mark.parametrize(
    ("code", "errors", "outcome"),
    [
        (0, "", "right"),
        (2, LINE, "one clear line"),
        (2, LINE + LINE, "traceback"),
        (1, LINE, "traceback"),
        (2, "full\n", "traceback"),
        (1, TRACEBACK, "traceback"),
        (0, TRACEBACK, "traceback"),
        (-11, "", "crash"),
        (None, "", "crash"),
    ],
)
def test_what_a_command_has_said_is_judged(code, errors, outcome):
    assert judged.judge(Ended(code, "", errors, 1.0))[0] == outcome


@pytest.mark.parametrize("kind", ["npz", "mat", "pickle", "midi", "text", "toml"])
def test_mutated_files_are_others_and_the_same_each_time(kind):
    pytest.importorskip("scipy")
    files = [mutations.mutated(kind, seed) for seed in range(30)]
    assert files == [mutations.mutated(kind, seed) for seed in range(30)]
    assert len(set(files) - {mutations.valid(kind)}) > 20


def test_files_that_remain():
    found = ["a", ".partial/a", "logs/b", "logs/.c/d"]
    assert finished.left(found, {"a"}) == [".partial/a", "logs/.c/d", "logs/b"]
    assert finished.left(found, {"a"}, ("logs/*",)) == [".partial/a", "logs/.c/d"]


@pytest.mark.parametrize(
    ("name", "ended", "file", "outcome"),
    [
        ("train", Ended(2, "", LINE, 1.0), "a", "one clear line"),
        ("train", Ended(0, "", "", 1.0), "a", "wrong"),
        ("train", Ended(2, "", LINE, 1.0), ".partial/a", "left behind"),
        ("train", Ended(2, "", LINE, 1.0), "before", "lost"),
        ("evaluate", Ended(2, "numbers", LINE, 1.0), "a", "one clear line"),
        ("evaluate", Ended(2, "", LINE, 1.0), "a", "lost"),
    ],
)
def test_a_full_disk_is_judged(name, ended, file, outcome, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"written on the full disk")
    before = {"before": b"as it was"}
    if file != "before":
        (tmp_path / "before").write_bytes(before["before"])
    assert disks._judge(name, ended, before, tmp_path, "numbers")[0] == outcome


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda folder: ("right", "", "all"), "right"),
        (lambda folder: ("right", "", (folder / "a").read_bytes()), "wrong"),
        (lambda folder: ("one clear line", "Error: a", None), "one clear line"),
    ],
)
def test_one_bit_is_flipped_in_a_copy(read, outcome, tmp_path, monkeypatch):
    source, seen = tmp_path / "source", []
    source.mkdir()
    (source / "a").write_bytes(bytes(100))

    def reading(place, folder):
        seen.append((folder / "a").read_bytes())
        return read(folder)

    monkeypatch.setattr(bits, "READERS", [bits.Reader("", lambda place: source, reading)])
    place = Workplace(tmp_path / "place")
    (result,) = bits._flip(place, 0, "a", 1, "all", random.Random(0))
    assert result[0] == outcome
    assert sum(byte.bit_count() for byte in seen[0]) == 1
    assert (source / "a").read_bytes() == bytes(100)


def forked(code):
    """What a script prints, in a process that may be forked, unlike this one."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.process
def test_readers_are_watched():
    """Each fault of a reader is counted for its seed, and the others are read all the same."""
    found = forked("""
        import json, os, signal, sys, tempfile
        from benchmarks.faults import command, inputs, workplace
        from keras_deep_rnn.utils.errors import UserError

        def read(folder):
            with open(folder.parent / "calls", "ab") as calls:
                calls.write(b".")
                number = calls.tell()
            faults.get(number, lambda: None)()
            raise UserError("a clear line")

        def take_much():
            b"1" * (600 * 2**20)

        def ask_for_much():
            bytearray(2**60)

        def unclear():
            raise UserError("a line\\x1b[2J")

        def crash():
            os.kill(os.getpid(), signal.SIGSEGV)

        # What asks for much is called twice.
        faults = {2: {}.popitem, 3: take_much, 4: unclear, 7: crash}
        faults[5] = faults[6] = ask_for_much

        def hang(folder):
            signal.alarm(1)  # the end comes sooner
            while True:
                pass

        inputs.READERS = (
            inputs.Reader("text", "text", "text.txt", read, times=8),
            inputs.Reader("text", "text", "text.txt", hang, times=1),
        )
        with tempfile.TemporaryDirectory() as folder:
            place = workplace.Workplace(folder + "/place")
            tallies = list(inputs.run(place, command.Plan(quick=False, seed=0, width=2)))
        json.dump([tally.to_json() for tally in tallies], sys.stdout)
    """)
    outcomes = {"one clear line": 3, "traceback": 3, "memory": 1, "crash": 1}
    assert [tally["counts"] for tally in found] == [outcomes, {"crash": 1}], found
    expected = (
        "traceback: mutated('text', 1): KeyError: ",
        "memory: mutated('text', 2): ",
        "traceback: mutated('text', 3): no clear line, 10 characters: ",
        "traceback: mutated('text', 4): MemoryError",
        "crash: mutated('text', 5): ended by SIGSEGV",
    )
    for line, start in zip(found[0]["bad"], expected, strict=True):
        assert line.startswith(start)
    assert found[1]["bad"] == ["crash: mutated('text', 0): no end after 20 s"]


@pytest.mark.slow
def test_mutated_files_are_read_or_refused_in_one_line():
    """A part of what `python -m benchmarks faults` reads, of every kind that users bring."""
    pytest.importorskip("scipy")
    found = forked("""
        import json, sys, tempfile
        from pathlib import Path
        from benchmarks.faults import command, forked, inputs, workplace

        forked.import_all()
        kinds = {"npz", "mat", "pickle", "midi", "text", "toml", "config", "metrics", "keras"}
        inputs.READERS = [
            reader._replace(times=100 if reader.times < inputs.TIMES else 400)
            for reader in inputs.READERS
            if reader.kind in kinds
        ]
        with tempfile.TemporaryDirectory() as folder:
            place = workplace.Workplace(folder + "/place")
            place.run = Path("tests/fixtures/earlier_run").resolve()
            tallies = list(inputs.run(place, command.Plan(quick=False, seed=1, width=1)))
        json.dump([tally.to_json() for tally in tallies], sys.stdout)
    """)
    assert len(found) == 10
    for tally in found:
        assert set(tally["counts"]) == {"right", "one clear line"}, tally
        assert min(tally["counts"].values()) > 5, tally


@pytest.mark.process
def test_killed_commands_are_judged():
    """A command that writes in place, one that cannot go on, one whose child lives on."""
    found = forked("""
        import json, subprocess, sys, tempfile, time, types
        from pathlib import Path
        from benchmarks.faults import command, kills, workplace

        def main(words):
            name, again, folder = words[0], words[1:2] == ["again"], Path.cwd()
            if name == "half":
                (folder / "out").write_text("ha")
            if name == "stuck" and (folder / "lock").exists():
                print("Error: it is locked.", file=sys.stderr)
                sys.exit(2)
            (folder / "lock").touch()
            if name == "messy" and not again:
                (folder / ".partial").touch()
            if name == "parent" and not again:
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            time.sleep(0.1 if again else 0.5)
            (folder / ".partial").unlink(missing_ok=True) if not again else None
            (folder / "out").write_text("other" if name == "other" and again else "half")
            (folder / "lock").unlink()

        sys.modules["keras_deep_rnn.cli.main"] = types.SimpleNamespace(main=main)
        kills.PROCESSES_END = 0.5
        kills.VICTIMS = {
            name: kills.Victim(
                lambda place, folder, name=name: [name],
                lambda place, folder, name=name: [name, "again"],
                lambda folder: {p.name: p.read_text() for p in folder.glob("out")},
            )
            for name in ("good", "half", "stuck", "messy", "parent", "other")
        }
        class Early:
            def uniform(self, low, high):
                return 0.6 * high
        command.Plan.random = lambda *case: Early()
        with tempfile.TemporaryDirectory() as folder:
            place = workplace.Workplace(folder + "/place")
            place.prepare_for_all = lambda *names: None
            tallies = list(kills.run(place, command.Plan(quick=True, seed=0, width=2)))
        json.dump([tally.to_json() for tally in tallies], sys.stdout)
    """)
    outcomes = ["right", "wrong", "lost", "left behind", "left behind", "wrong"]
    assert [tally["counts"] for tally in found] == [{outcome: 1} for outcome in outcomes], found


def test_the_page_shows_every_outcome(tmp_path):
    tallies = [judged.Tally("bits", "a flipped bit"), judged.Tally("disks", "a full disk")]
    tallies[0].add("right", times=3)
    tallies[0].add("wrong", "byte 7: `17` instead of 16")
    tallies[1].skipped = "no disk can be mounted"
    run = {
        "processor": "Xeon", "cores": 2, "memory_gib": 8, "system": "Linux", "python": "3.12",
        "versions": {"keras": "3.13"}, "date": "2026-01-02T03:04", "seed": 5, "minutes": 7,
        "command": "python -m benchmarks faults",
    }  # fmt: skip
    results, docs = tmp_path / "faults.json", tmp_path / "reliability.md"
    results.write_text(json.dumps({"run": run, "results": [t.to_json() for t in tallies]}))
    docs.write_text((ROOT / "docs" / "reliability.md").read_text())
    page.write(results, docs)
    text = docs.read_text()
    assert "2 cores, 8 GiB; Linux; python 3.12, keras 3.13; 2026-01-02; seed 5; 7 minutes" in text
    assert "| a flipped bit | 4 | 3 |  |  | 1 |  |  |  |  |" in text
    assert "- a flipped bit: `wrong: byte 7: '17' instead of 16`" in text
    assert "| a full disk | skipped |" in text
    assert "not done, no disk can be mounted." in text
    assert "ended well" not in text

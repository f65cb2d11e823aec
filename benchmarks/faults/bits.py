"""One flipped bit in a file of a run or of an export: the right numbers, or one clear line."""

import json
import shutil
from collections.abc import Callable
from typing import NamedTuple

from . import finished
from .finished import tree
from .forked import Died, deep_rnn, in_processes
from .judged import CRASH, LINE, RIGHT, TRACEBACK, WRONG, Tally, judge

FLIPS = 500  # over all files and commands


class Reader(NamedTuple):
    """What is done next with a folder.

    Attributes:
        done: In words.
        source: place -> the folder.
        read: (place, folder) -> (outcome, line, result); what is right has the result of the
            folder as it was.
    """

    done: str
    source: Callable
    read: Callable


def _evaluate(place, folder):
    ended = deep_rnn("evaluate", folder, "--json", folder=place.folder)
    return *judge(ended), ended.output


def _resume(place, folder):
    ended = deep_rnn("train", "--resume", "--out", folder, folder=place.folder)
    outcome, line = judge(ended)
    return outcome, line, finished.run(folder) if outcome == RIGHT else None


def _export(place, folder):
    out = folder.parent / "exported" / "music"
    ended = deep_rnn("export", folder, "--no-check", "--out", out, folder=place.folder)
    outcome, line = judge(ended)
    return outcome, line, finished.export(out / "1") if outcome == RIGHT else None


def _check(place, folder):
    """What the check lets pass must be what was exported."""
    outcome, line = judge(deep_rnn("export", "--check", folder, folder=place.folder))
    return outcome, line, finished.export(folder) if outcome == RIGHT else None


def _serve(place, folder):
    """Loads it as the server does; its answers to the golden inputs of the export."""
    from keras_deep_rnn.export.checks.check_suite import decoded
    from keras_deep_rnn.export.testing_server.served_model import ServedModel
    from keras_deep_rnn.utils.errors import UserError

    record = json.loads((place.export / "1" / "export.json").read_text(encoding="utf-8"))
    try:
        model = ServedModel(folder)
        answers = [
            {name: value.tobytes() for name, value in sorted(outputs.items())}
            for case in record["golden"]
            for outputs in [model.run(case["signature"], decoded(case["inputs"]))]
        ]
    except UserError as error:
        return LINE, str(error), None
    except Exception as error:
        return TRACEBACK, f"{type(error).__name__}: {error}", None
    return RIGHT, "", (model.name, model.version, answers)


READERS = (
    Reader("of a run, then `deep-rnn evaluate`", lambda place: place.run, _evaluate),
    Reader("of a run, then `deep-rnn export`", lambda place: place.run, _export),
    Reader(
        "of an unfinished run, then `deep-rnn train --resume`",
        lambda place: place.unfinished,
        _resume,
    ),
    Reader(
        "of an export, then `deep-rnn export --check`", lambda place: place.export / "1", _check
    ),
    Reader("of an export, then loaded to be served", lambda place: place.export / "1", _serve),
)


def run(place, plan):
    """Yields a `Tally` for each reader."""
    place.prepare_for_all("run", "unfinished", "export")
    pairs = [
        (number, name)
        for number, reader in enumerate(READERS)
        for name in tree(reader.source(place))
        if (reader.source(place) / name).is_file()
    ]
    total = plan.times(FLIPS, len(pairs))
    cases = [(*pair, i) for i in range(-(-total // len(pairs))) for pair in pairs][:total]
    numbers = range(len(READERS))
    right = dict(in_processes(lambda number: _read(place, number), numbers, plan.width))
    tallies = [Tally("bits", f"one flipped bit in a file {reader.done}") for reader in READERS]
    for (number, name, i), result in in_processes(
        lambda case: _flip(place, *case, right[case[0]], plan.random(*case)), cases, plan.width
    ):
        outcome, what = (CRASH, str(result)) if isinstance(result, Died) else result
        tallies[number].add(outcome, f"{name}, flip {i}: {what}")
    yield from tallies


def _copy(place, number, case):
    source = READERS[number].source(place)
    folder = place.new(f"bits-{number}-{case}") / source.name
    shutil.copytree(source, folder)
    return folder


def _read(place, number):
    """The result of the folder as it is."""
    outcome, line, result = READERS[number].read(place, _copy(place, number, "whole"))
    if outcome != RIGHT:
        raise RuntimeError(f"{READERS[number].done} fails without a fault: {line}")
    yield result


def _flip(place, number, name, i, right, draw):
    """Flips a bit of a file and reads the folder."""
    folder = _copy(place, number, f"{name.replace('/', '-')}-{i}")
    content = bytearray((folder / name).read_bytes())
    position, bit = draw.randrange(len(content)), draw.randrange(8)
    content[position] ^= 1 << bit
    (folder / name).write_bytes(content)
    outcome, line, result = READERS[number].read(place, folder)
    shutil.rmtree(folder.parent)
    if outcome == RIGHT and result != right:
        outcome, line = WRONG, _difference(result, right)
    yield outcome, f"bit {bit} of byte {position}: {line}"


def _difference(result, right):
    """Where two results differ, in a few words."""
    if isinstance(result, dict):
        return ", ".join(n for n in sorted({*result, *right}) if result.get(n) != right.get(n))
    if isinstance(result, str):
        lines = [
            pair for pair in zip(result.splitlines(), right.splitlines()) if len(set(pair)) > 1
        ]
        return " instead of ".join(line.strip() for line in lines[0]) if lines else "other output"
    return "other answers"

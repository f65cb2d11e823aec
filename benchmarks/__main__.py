"""Measures all sections and writes every sample: python -m benchmarks --help."""

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import plan, report

FACTS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "KERAS_DEEP_RNN_XLA", "XLA_FLAGS")
WRONG = "another loss"
NO_ACCELERATOR = "no accelerator"
# Of one network, by the arithmetic of two frameworks; whole epochs add up what rounding changes.
AGREE, AGREE_AFTER_AN_EPOCH = 1e-4, 1e-3


class Failed(Exception):
    """A worker could not do what it was asked to."""


class Process:
    """A worker process and its memory before any work."""

    def __init__(self, name, log):
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            **os.environ,
            **plan.WORKERS[name],
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def ask(self, do, **arguments):
        """The answer to a request; `Failed` if there is none."""
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"the process ended with {self.process.wait()}; see the log")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def close(self):
        """Ends the process."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def running(names, log):
    """Processes by name, started together, with their facts; and why others did not start."""
    processes = {name: Process(name.split("/")[0], log) for name in names}
    try:
        facts, failed = {}, {}
        for name, process in processes.items():
            try:
                facts[name] = process.ask("facts")
            except Failed as error:
                failed[name] = str(error)
        yield {name: processes[name] for name in facts}, facts, failed
    finally:
        for process in processes.values():
            process.close()


def measure(task, rounds, log):
    """Runs all contestants of a task in turn, round by round.

    Returns:
        The entry of the results, without what it is about. Its facts are of each process: one for
        each worker of the plan, or for each contestant where the task has them apart.
    """
    process_of = {c: c if task.apart else c.split("/")[0] for c in task.contestants}
    with running(dict.fromkeys(process_of.values()), log) as (processes, facts, failed):
        found = {"facts": facts, "contestants": {}, "failed": {}}
        if task.accelerator and not any(f.get("accelerator") for f in facts.values()):
            return {**found, "skipped": NO_ACCELERATOR}
        made = {}

        def make(process):
            for contestant in [c for c, of in process_of.items() if of == process]:
                name = contestant.split("/")[1]
                try:
                    if process in failed:
                        raise Failed(failed[process])
                    answer = processes[process].ask("make", name=name, case=task.case)
                    made[contestant] = {**answer, "seconds": []}
                except Failed as error:
                    found["failed"][contestant] = str(error)

        # The programs of a GPU take long to compile: there all processes make theirs at once.
        with ThreadPoolExecutor(len(process_of) if task.accelerator else 1) as pool:
            list(pool.map(make, dict.fromkeys(process_of.values())))
        found["contestants"] = {c: made[c] for c in task.contestants if c in made}
        found["failed"] |= other_losses(found["contestants"], task.case)
        for contestant in found["failed"]:
            found["contestants"].pop(contestant, None)
        for _ in range(task.rounds or rounds):
            for contestant, samples in found["contestants"].items():
                answer = processes[process_of[contestant]].ask(
                    "time", name=contestant.split("/")[1], warm=task.warm, steps=task.steps
                )
                samples["seconds"] += answer["seconds"]
        for name, process in processes.items():
            with contextlib.suppress(Failed):
                facts[name]["memory_after"] = process.ask("memory")
    return found


def network_of(contestant, case):
    """What a contestant computes: those of one network have one loss. None: its own affair."""
    worker, name = contestant.split("/")
    own = ("SimpleRNN", "LSTM", "matmul", "nn.RNN", "nn.LSTM", "recurrent dropout", "bfloat16")
    if "TF32" in worker or name.rsplit(", ", maxsplit=1)[-1] in own:
        return None
    if name.split(", ")[0] in plan.FAMILIES or name.startswith("keras "):
        return name.split(", ")[0]
    if case["mode"] == "fit":
        return name.split(", ")[1]
    return "masked" if "mask" in name.split(", ") else "network"


def other_losses(contestants, case):
    """Those that have not the loss of the first of their network, each with both in words."""
    tolerance = AGREE_AFTER_AN_EPOCH if case["mode"] == "fit" else AGREE
    first, others = {}, {}
    for contestant, made in contestants.items():
        network = network_of(contestant, case)
        other, loss = first.setdefault(network, (contestant, made["loss"]))
        if network and not math.isclose(loss, made["loss"], rel_tol=tolerance):
            others[contestant] = f"{WRONG}: {made['loss']}, {other} has {loss}"
    return others


def machine():
    """What is known about the machine and this run."""
    processor, ram = platform.processor() or platform.machine(), None
    with contextlib.suppress(OSError, StopIteration, IndexError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line for line in lines if line.startswith("model name")).split(": ")[1]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        ram = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": now(),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "processor": processor,
        "cores": cores,
        "memory_gib": ram,
        "system": platform.platform(),
        "python": platform.python_version(),
        "environment": {name: os.environ[name] for name in FACTS if name in os.environ},
        "seed": 0,
    }


def now():
    """The time, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def write(path, results):
    """Writes JSON beside its place and then puts it there."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def line(entry):
    """The medians of an entry in one line."""
    case = ",".join(str(entry["case"][name]) for name in "BTDHL")
    if "skipped" in entry:
        return f"{entry['section']} {case}: not measured, {entry['skipped']}"
    shown = [
        f"{name} {1e3 * statistics.median(samples['seconds']):.4g}"
        for name, samples in entry["contestants"].items()
    ]
    shown += [f"{name} failed: {reason}" for name, reason in entry["failed"].items()]
    return f"{entry['section']} {case}, ms: {'  '.join(shown)}"


def arguments(words):
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__.split(":")[0],
        epilog="accelerator as the first word is --only accelerator; faults is a command of its "
        "own, with its own --help.",
    )
    parser.add_argument("--out", type=Path, help="JSON to write [benchmarks/results.json]")
    parser.add_argument("--rounds", type=int, default=7, help="of three timed steps each")
    parser.add_argument("--only", default="", metavar="SECTION,...", help="only these sections")
    parser.add_argument("--frameworks", default="", help="only these, as tensorflow,jax,torch")
    parser.add_argument("--data-path", help="folder that holds Nottingham.mat")
    parser.add_argument("--compile-all", action="store_true", help="torch.compile everywhere")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--resume", action="store_true", help="keep what is in the JSON already")
    return parser.parse_args(words)


def main():
    """Measures what is asked for, then writes the report if that is all."""
    words = sys.argv[1:]
    if words[:1] == ["faults"]:
        from .faults.command import main as faults

        return faults(words[1:])
    if words[:1] == ["accelerator"]:
        words = ["--only", *words]
    measure_all(arguments(words))


def measure_all(given):
    """Measures what the options ask for."""
    path = given.out or Path("benchmarks", "quick.json" if given.quick else "results.json")
    results = {"runs": [], "results": []}
    if given.resume and path.is_file():
        results = json.loads(path.read_text(encoding="utf-8"))
    run = len(results["runs"])
    results["runs"].append({**machine(), "rounds": given.rounds, "quick": given.quick})
    done = {(entry["section"], str(entry["case"])) for entry in results["results"]}
    only = [name for name in given.only.split(",") if name]
    tasks = plan.tasks(given.data_path, given.compile_all, given.quick)
    if unknown := set(only) - {task.section for task in tasks}:
        raise SystemExit(f"--only: there is no section {', '.join(sorted(unknown))}")
    none_there = None  # that there is no accelerator, once it is known
    with path.with_suffix(".log").open("w", encoding="utf-8") as log:
        for task in tasks:
            if (only and task.section not in only) or (task.section, str(task.case)) in done:
                continue
            task = _of_frameworks(task, given.frameworks)
            entry = {"section": task.section, "case": task.case, "run": run, "date": now()}
            entry["load"] = os.getloadavg()[0]
            start = time.perf_counter()
            skip = task.skip or (none_there if task.accelerator else None)
            if skip or not task.contestants:
                entry["skipped"] = skip or "its frameworks were not asked for"
            else:
                entry |= measure(task, given.rounds, log)
                none_there = entry.get("skipped") if task.accelerator else None
            entry["duration"] = time.perf_counter() - start
            results["results"].append(entry)
            write(path, results)
            print(line(entry), f"({entry['duration']:.0f} s)", flush=True)
    print(f"Every sample is in {path}.")
    if not (given.quick or only or given.frameworks):
        report.write(path)
    if any(
        reason.startswith(WRONG)
        for entry in results["results"]
        for reason in entry.get("failed", {}).values()
    ):
        raise SystemExit("Some contestants have another loss than the others: see above.")


def _of_frameworks(task, frameworks):
    """The task for some of the frameworks only."""
    asked = frameworks.split(",")
    kept = [c for c in task.contestants if not frameworks or re.split("[,/]", c)[0] in asked]
    return dataclasses.replace(task, contestants=kept)


if __name__ == "__main__":
    main()

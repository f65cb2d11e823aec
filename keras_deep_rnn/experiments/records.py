"""Records of experiments: <task>/<network>-<recipe>.json, and .csv with the learning curves.

A packed run `.npz` beside them has the weights of the best run, where it is small.
All are made from the run folders, and without paths of the machine they can be published.
"""

import csv
import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..training.config import Settings
from ..training.models import build_network, table_1_size
from ..training.packed_run import pack
from ..training.results import PRIMARY
from ..training.run_folder import HISTORY_CHECKSUM, METRICS, PARTIAL_METRICS, Run, is_unchanged
from ..training.train import evaluate_ensemble
from ..utils.errors import UserError
from ..utils.files import read_json, replacing, write_json
from ..utils.types import PathLike
from .experiment import OMITTED_SETTINGS, Experiment

# The content of a JSON file, or a part of it.
Record: TypeAlias = dict[str, Any]
# {(network, recipe): record, or None} of a task.
TaskRecords: TypeAlias = dict[tuple[str, str], Record | None]
# Rows {name: number} of a learning curve, with the names of `CURVE`.
Curve: TypeAlias = list[dict[str, float]]

CURVE = ("seed", "epoch", "loss", "validation", "learning_rate")
# Bytes of the largest packed run that is kept.
MAX_PACKED = 2_500_000


def runs_of(runs: PathLike, experiment: Experiment) -> list[Run]:
    """The run folders of an experiment, of all seeds."""
    return [Run(path) for path in Path(runs, *experiment.name.split("/")).glob("seed-*")]


def folder_of(runs: PathLike, experiment: Experiment, seed: int) -> Run:
    """Folder of the run of an experiment with a seed."""
    return Run(Path(runs, *experiment.name.split("/"), f"seed-{seed}"))


def write(results: PathLike, experiment: Experiment, runs: PathLike) -> Record | None:
    """Writes the record of an experiment from its run folders.

    Complete runs with other seeds are retained from the present record if they have the same
    settings and data.

    Args:
        results: Folder of the records.
        experiment: `Experiment`.
        runs: Folder of the run folders.

    Returns:
        The content of the JSON file. If no run has finished an epoch, None: nothing is written.

    Raises:
        UserError: Runs have other settings than the experiment, or a file cannot be written.
    """
    finished = [run for run in runs_of(runs, experiment) if run.exists() and _finite(run)]
    if not finished:
        return None
    finished.sort(key=lambda run: run.config["settings"]["seed"])
    for run in finished:
        _check_settings(run, experiment)
    config = finished[0].config
    kind = config["data"]["kind"]
    content = {
        "task": experiment.task,
        "network": experiment.network,
        "recipe": experiment.recipe,
        "command": experiment.command,
        "settings": {
            name: value
            for name, value in config["settings"].items()
            if name not in OMITTED_SETTINGS
        },
        "data": {name: config["data"][name] for name in ("name", "kind", "version", "checksum")},
        "kernels": table_1_size(build_network(**config["network"])),
        "primary": PRIMARY[kind],
    }
    content["runs"] = [_run(run, kind) for run in finished]
    curves = {run.config["settings"]["seed"]: _curve(run, kind) for run in finished}
    for run, curve in _retained_runs(results, experiment, content):
        content["runs"].append(run)
        curves[run["seed"]] = curve
    content["runs"].sort(key=lambda run: run["seed"])
    content.update(_summary(content["runs"]))
    ensemble = (read(results, experiment.name) or {}).get("ensemble")
    if ensemble and ensemble["seeds"] == [run["seed"] for run in content["runs"]]:
        content["ensemble"] = ensemble
    path = Path(results, f"{experiment.name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    _write_curves(path.with_suffix(".csv"), [curves[seed] for seed in sorted(curves)])
    return content


def add_ensemble(
    results: PathLike, experiment: Experiment, runs: PathLike, **folders: Any
) -> Record | None:
    """Adds what the finished runs of an experiment give together to its record, which is returned.

    Args:
        results: Folder of the records.
        experiment: `Experiment`, whose record has been written.
        runs: Folder of the run folders.
        **folders: `manual_dir` and `data_dir`, where they are not those of the runs.
    """
    record = read(results, experiment.name)
    finished = {
        run.settings().seed: run.path
        for run in runs_of(runs, experiment)
        if (run / METRICS).is_file()
    }
    if record is None or len(finished) < 2:
        return record
    seeds = sorted(finished)
    paths = [finished[seed] for seed in seeds]
    splits = {
        split: evaluate_ensemble(paths, split, **folders)["splits"][split]
        for split in ("validation", "test")
    }
    record["ensemble"] = {"seeds": seeds, "splits": splits}
    write_json(Path(results, f"{experiment.name}.json"), record)
    return record


def keep_weights(results: PathLike, experiment: Experiment, runs: PathLike) -> None:
    """Packs the run of the record that is best on validation beside it, if it is small and here.

    Args:
        results: Folder of the records.
        experiment: `Experiment`, whose record has been written.
        runs: Folder of the run folders.
    """
    record = read(results, experiment.name) or {"runs": []}
    complete = [run for run in record["runs"] if run["complete"]]
    if not complete:
        return
    best = min(complete, key=lambda run: run["splits"]["validation"][record["primary"]])
    run = folder_of(runs, experiment, best["seed"])
    if (run / METRICS).is_file() and 2 * run.metrics["weights"] <= MAX_PACKED:
        pack(run, Path(results, f"{experiment.name}.npz"))


def _retained_runs(
    results: PathLike, experiment: Experiment, content: Record
) -> list[tuple[Record, Curve]]:
    """Complete runs of the present record, with their curves, whose seeds `content` lacks."""
    name = experiment.name
    record = read(results, name)
    if record is None or record["data"] != content["data"]:
        return []
    # Settings that are newer than the record have their defaults.
    if _differences(Settings.from_json(record["settings"]), experiment):
        return []
    seeds = {run["seed"] for run in content["runs"]}
    others = [run for run in record["runs"] if run["complete"] and run["seed"] not in seeds]
    curves = read_curves(results, name) if others else {}
    return [(run, curves[run["seed"]]) for run in others]


def read(results: PathLike, name: str) -> Record | None:
    """Reads the record of an experiment by its name; None if there is none.

    Raises:
        UserError: The file is corrupt.
    """
    path = Path(results, f"{name}.json")
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {str(path)!r}: {error}.") from None


def read_curves(results: PathLike, name: str) -> dict[int, Curve]:
    """Reads the learning curves of an experiment: {seed: curve}."""
    with open(Path(results, f"{name}.csv"), encoding="utf-8", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return {int(s): [row for row in rows if row["seed"] == s] for s in {r["seed"] for r in rows}}


def _check_settings(run: Run, experiment: Experiment) -> None:
    stored = run.settings()
    for name in _differences(stored, experiment):
        raise UserError(
            f"{str(run.path)!r} was trained with {name} {getattr(stored, name)!r}, "
            f"{experiment.name} has {experiment.expected[name]!r}: retrain with --overwrite."
        )


def _differences(settings: Settings, experiment: Experiment) -> list[str]:
    """Names of the settings that differ from those of the experiment."""
    expected = experiment.expected
    return [name for name, value in expected.items() if getattr(settings, name) != value]


def _finite(run: Run) -> Curve:
    """Epochs of a run with a finite validation result."""
    name = f"val_{PRIMARY[run.config['data']['kind']]}"
    return [row for row in run.history() if math.isfinite(row[name])]


def _run(run: Run, kind: str) -> Record:
    """Results of a run; of an unfinished one those so far."""
    history, config = run.history(), run.config
    best = min(_finite(run), key=lambda row: row[f"val_{PRIMARY[kind]}"])
    content = {
        "seed": config["settings"]["seed"],
        "complete": (run / METRICS).is_file(),
        "epochs": len(history),
        "best_epoch": int(best["epoch"]),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "versions": config["versions"],
    }
    metrics = run.metrics if content["complete"] else _partial_metrics(run)
    if metrics is None:
        return {**content, "splits": {"validation": {PRIMARY[kind]: best[f"val_{PRIMARY[kind]}"]}}}
    content.update({name: metrics[name] for name in ("epochs", "best_epoch", "weights")})
    content["splits"] = metrics["splits"]
    if "dynamic" in metrics:
        content["dynamic"] = metrics["dynamic"]
    return content


def _partial_metrics(run: Run) -> Record | None:
    """What partial.json has if it is of the last epoch of an unfinished run; otherwise None."""
    try:
        metrics = read_json(run / PARTIAL_METRICS)
    except (OSError, ValueError):
        return None
    of_now = is_unchanged(metrics) and metrics.get(HISTORY_CHECKSUM) == run.history_checksum()
    return metrics if of_now else None


def _summary(runs: list[Record]) -> Record:
    """Mean and spread, the sample standard deviation, of the complete runs."""
    complete = [run for run in runs if run["complete"]]
    summary = {}
    for split in ("validation", "test"):
        names = complete[0]["splits"][split] if complete else ()
        summary[split] = {
            name: _spread([run["splits"][split][name] for run in complete])
            for name in names
            if name != "count"
        }
    return {"summary": summary}


def _spread(numbers: list[float]) -> dict[str, float | None]:
    return {
        "mean": float(np.mean(numbers)),
        "spread": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        "runs": len(numbers),
    }


def _curve(run: Run, kind: str) -> Curve:
    """Learning curve of a run."""
    seed = run.config["settings"]["seed"]
    return [
        {"seed": seed, **row, "validation": row[f"val_{PRIMARY[kind]}"]} for row in run.history()
    ]


def _write_curves(path: Path, curves: Iterable[Curve]) -> None:
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CURVE)
        for row in itertools.chain.from_iterable(curves):
            seed, epoch, *numbers = (row[name] for name in CURVE)
            writer.writerow([int(seed), int(epoch), *(f"{number:.5g}" for number in numbers)])

"""What is kept of an experiment: <task>/<network>-<recipe>.json, and .csv with learning curves.

Both are made from the run folders and hold no path, so that they can be published.
"""

import csv
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..training.config import Settings
from ..training.models import build_network, table_1_size
from ..training.results import PRIMARY
from ..training.run_folder import METRICS, Run
from ..utils.errors import UserError
from ..utils.files import replacing, write_json
from ..utils.types import PathLike
from .experiment import Experiment
from .worker import PARTIAL

# The content of a JSON file, or a part of it.
Record: TypeAlias = dict[str, Any]
# The records of a task by network and recipe.
OfTask: TypeAlias = dict[tuple[str, str], Record | None]
# Rows of numbers by their names.
Curve: TypeAlias = list[dict[str, float]]

CURVE = ("seed", "epoch", "loss", "validation", "learning_rate")
# A path of the machine has no business in a record; the rest of a run's config says everything.
NOT_KEPT = ("data_path", "data_dir", "tensorboard", "seed")


def write(results: PathLike, experiment: Experiment, runs: PathLike) -> Record | None:
    """Writes the record of an experiment from what lies in the folders of its runs.

    Complete runs that the record has of other seeds stay in it where they had the same settings and
    data.

    Args:
        results: Folder of the records.
        experiment: `Experiment`.
        runs: Folder of the run folders.

    Returns:
        The content of the JSON file; None where no run has finished an epoch, and nothing is
        written.

    Raises:
        UserError: Runs have other settings than the experiment, or a file cannot be written.
    """
    folders = Path(runs, *experiment.name.split("/")).glob("seed-*")
    found = [Run(folder) for folder in folders]
    found = [run for run in found if run.exists() and _finite(run)]
    if not found:
        return None
    found.sort(key=lambda run: run.config["settings"]["seed"])
    for run in found:
        _check(run, experiment)
    config = found[0].config
    kind = config["data"]["kind"]
    content = {
        "task": experiment.task,
        "network": experiment.network,
        "recipe": experiment.recipe,
        "command": experiment.command,
        "settings": {
            name: value for name, value in config["settings"].items() if name not in NOT_KEPT
        },
        "data": {name: config["data"][name] for name in ("name", "kind", "version", "checksum")},
        "kernels": table_1_size(build_network(**config["network"])),
        "primary": PRIMARY[kind],
    }
    content["runs"] = [_run(run, kind) for run in found]
    curves = {run.config["settings"]["seed"]: _curve(run, kind) for run in found}
    for run, curve in _kept(results, experiment, content):
        content["runs"].append(run)
        curves[run["seed"]] = curve
    content["runs"].sort(key=lambda run: run["seed"])
    content.update(_summary(content["runs"]))
    path = Path(results, f"{experiment.name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    _write_curves(path.with_suffix(".csv"), [curves[seed] for seed in sorted(curves)])
    return content


def _kept(results: PathLike, experiment: Experiment, content: Record) -> list[tuple[Record, Curve]]:
    """The complete runs of the record so far, with their curves, that `content` has not."""
    name = experiment.name
    record = read(results, name)
    if record is None or record["data"] != content["data"]:
        return []
    # What the record is older than had its default then.
    if _different(Settings.from_json(record["settings"]), experiment):
        return []
    seeds = {run["seed"] for run in content["runs"]}
    others = [run for run in record["runs"] if run["complete"] and run["seed"] not in seeds]
    curves = read_curves(results, name) if others else {}
    return [(run, curves[run["seed"]]) for run in others]


def read(results: PathLike, name: str) -> Record | None:
    """The record of an experiment by its name, or None.

    Raises:
        UserError: The file is damaged.
    """
    path = Path(results, f"{name}.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {str(path)!r}: {error}.") from None


def read_curves(results: PathLike, name: str) -> dict[int, Curve]:
    """The learning curves of an experiment: {seed: rows of numbers by the names of `CURVE`}."""
    with open(Path(results, f"{name}.csv"), encoding="utf-8", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return {int(s): [row for row in rows if row["seed"] == s] for s in {r["seed"] for r in rows}}


def _check(run: Run, experiment: Experiment) -> None:
    stored = run.settings()
    for name in _different(stored, experiment):
        raise UserError(
            f"{str(run.path)!r} was trained with {name} {getattr(stored, name)!r}, "
            f"{experiment.name} has {experiment.settings[name]!r}: train it anew with --overwrite."
        )


def _different(settings: Settings, experiment: Experiment) -> list[str]:
    """Names of the settings that are not as the experiment has them."""
    asked = experiment.settings
    return [name for name, value in asked.items() if getattr(settings, name) != value]


def _finite(run: Run) -> Curve:
    """The epochs of a run with a validation result that is a number: a diverged one has others."""
    name = f"val_{PRIMARY[run.config['data']['kind']]}"
    return [row for row in run.history() if math.isfinite(row[name])]


def _run(run: Run, kind: str) -> Record:
    """What one run has reached; an unfinished one as far as it has been measured."""
    history, config = run.history(), run.config
    best = min(_finite(run), key=lambda row: row[f"val_{PRIMARY[kind]}"])
    about = {
        "seed": config["settings"]["seed"],
        "complete": (run / METRICS).is_file(),
        "epochs": len(history),
        "best_epoch": int(best["epoch"]),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "versions": config["versions"],
    }
    if about["complete"]:
        metrics = run.metrics
    elif (run / PARTIAL).is_file():
        metrics = json.loads((run / PARTIAL).read_text(encoding="utf-8"))
    else:
        return {**about, "splits": {"validation": {PRIMARY[kind]: best[f"val_{PRIMARY[kind]}"]}}}
    about.update({name: metrics[name] for name in ("epochs", "best_epoch", "weights")})
    about["splits"] = metrics["splits"]
    if "dynamic" in metrics:
        about["dynamic"] = metrics["dynamic"]
    return about


def _summary(runs: list[Record]) -> Record:
    """Mean and spread (standard deviation of the runs, n - 1) over the complete runs."""
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
    several = len(numbers) > 1
    return {
        "mean": float(np.mean(numbers)),
        "spread": float(np.std(numbers, ddof=1)) if several else None,
        "runs": len(numbers),
    }


def _curve(run: Run, kind: str) -> Curve:
    """The learning curve of a run: rows of numbers by the names of `CURVE`, and others."""
    about = {"seed": run.config["settings"]["seed"]}
    return [{**about, **row, "validation": row[f"val_{PRIMARY[kind]}"]} for row in run.history()]


def _write_curves(path: Path, curves: Iterable[Curve]) -> None:
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CURVE)
        for row in itertools.chain.from_iterable(curves):
            seed, epoch, *numbers = (row[name] for name in CURVE)
            writer.writerow([int(seed), int(epoch), *(f"{number:.5g}" for number in numbers)])

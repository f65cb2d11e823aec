"""What the trials of a search log: which are comparable, how deep each is, which depth is best."""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...training.networks import DEFAULT_DEPTH, SEARCHED_NETWORKS
from ..space.paper_space import DEPTHS, SIZES
from .trial import COMPLETED, FAILED, RUNNING, WAITING, Trial, best_of, score_of

if TYPE_CHECKING:
    from ..job.job import Job
    from ..space.hyperparameter import Hyperparameter

# A reader is warned of depths with fewer trials.
FEW_TRIALS = 5
# Where one line has to hold all values of a trial.
SHORT = {
    "input_depth": "input",
    "transition_depth": "transition",
    "output_depth": "output",
    "deep_units": "deep units",
    "learning_rate": "lr",
    "clipnorm": "clip",
    "batch_size": "batch",
}
DROPOUTS = (
    "dropout", "word_dropout", "level_dropout", "recurrent_dropout", "output_dropout",
    "logits_dropout",
)  # fmt: skip


def describe(job: Job, trial: Trial) -> str:
    """The network and all else in which trials differ, in few words."""
    values = {**trial.values, **solved(job, trial)}
    first = (*DEPTHS, "units", "deep_units")
    names = [name for name in first if name in values]
    names += [name for name in values if name not in (*first, "network", *DROPOUTS)]
    told = [
        f"{SHORT.get(name, name)} {brief(values[name])}"
        for name in names
        if name not in job.space or varies(job.space[name])
    ]
    if dropouts(job):
        told.append("drop " + "/".join(brief(values.get(name, "-")) for name in dropouts(job)))
    return f"{trial.settings.get('network', '')} {', '.join(told)}".strip()


def brief(value: Any) -> str:
    """A value for a reader: of a number no more digits than one remembers.

    Example:

    >>> brief(0.00123456), brief(128.4), brief(128), brief("tanh")
    ('0.0012', '128', '128', 'tanh')
    """
    if isinstance(value, float):
        return f"{value:.2g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def varies(entry: Hyperparameter) -> bool:
    """Whether an entry of a space leaves something to choose."""
    return entry.choices is None or len(entry.choices) > 1


def solved(job: Job, trial: Trial) -> dict[str, int]:
    """The widths that the budget of a job has left to a trial, by name."""
    if job.budget is None or "units" not in trial.settings:
        return {}
    units = trial.settings["units"]
    deep = {width for sizes in SIZES.values() for width in trial.settings.get(sizes) or ()}
    return {"units": units, **({"deep_units": max(deep)} if deep - {units} else {})}


def measured(trials: Iterable[Trial]) -> list[Trial]:
    """The completed trials whose score is a finite number."""
    return [t for t in trials if t.status == COMPLETED and _is_finite(t.score)]


def rank(trial: Trial) -> tuple[int, float, str]:
    """What trials are sorted by for a reader: the best first, failures last."""
    order = (COMPLETED, RUNNING, WAITING, FAILED).index(trial.status)
    return order, score_of(trial) if measured([trial]) else math.inf, trial.id


def count(trials: Iterable[Trial]) -> dict[str, int]:
    """How many trials have each status."""
    found = collections.Counter(trial.status for trial in trials)
    return {status: found[status] for status in (COMPLETED, FAILED, RUNNING, WAITING)}


def compared(job: Job, trials: Iterable[Trial]) -> list[Trial]:
    """The completed trials that had as many epochs as any: Hyperband stops most of them before."""
    done = measured(trials)
    given = [trial.until or job.epochs or 0 for trial in done]
    return [trial for trial, epochs in zip(done, given) if epochs == max(given)]


def depths_of(trial: Trial) -> dict[str, int]:
    """The depths that the network of a trial has, by name."""
    settings, found = trial.settings, {}
    for name, networks in DEPTHS.items():
        if settings["network"] in networks:
            if name in SIZES:
                found[name] = len(settings.get(SIZES[name]) or "1")
            else:
                found[name] = settings.get(name) or DEFAULT_DEPTH
    return found


def layers(trial: Trial) -> int:
    """The number of layers from x(t) to the classes: one of a plain network."""
    depths = depths_of(trial)
    recurrent = depths.pop("levels", 1) * depths.pop("depth", 1)
    return recurrent + sum(depths.values())


def by_network(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """{network: trials}, those of the paper first, in its order."""
    found = {
        name: [t for t in trials if t.settings["network"] == name] for name in SEARCHED_NETWORKS
    }
    return {name: of_network for name, of_network in found.items() if of_network}


def ranking(trials: Iterable[Trial]) -> list[tuple[str, dict[str, int], list[Trial]]]:
    """Network, depths and trials of each depth that was tried, the one with the best first."""
    groups = {}
    for trial in trials:
        groups.setdefault((trial.settings["network"], *depths_of(trial).items()), []).append(trial)
    found = [(network, dict(depths), same) for (network, *depths), same in groups.items()]
    return sorted(found, key=lambda row: min(scores(row[2])))


def ranking_table(trials: Iterable[Trial]) -> tuple[list[str], list[list[str]]]:
    """The ranking as titles of columns and rows of strings."""
    rows = []
    for network, depths, same in ranking(trials):
        best = cast(Trial, best_of(same))
        told = ", ".join(f"{name.removesuffix('_depth')} {n}" for name, n in depths.items())
        median = statistics.median(scores(same))
        numbers = [layers(best), len(same), f"{best.score:.4f}", f"{median:.4f}"]
        rows.append([network, told, *map(str, numbers), best.id])
    return ["network", "depth", "layers", "trials", "best", "median", "trial of the best"], rows


def caution(trials: Iterable[Trial]) -> str:
    """What chance may have decided in the ranking of these trials, as sentences; "" for nothing."""
    counts = [len(same) for _, _, same in ranking(trials)]
    few = sum(number < FEW_TRIALS for number in counts)
    if not few:
        return ""
    return (
        f"Caution: {few} of {len(counts)} rows have fewer than {FEW_TRIALS} trials, which also "
        "differ in other hyperparameters, and every trial is one training run. Their order may be "
        "due to chance, and the best of many trials is better than the best of few by chance alone."
    )


def heading(job: Job, trials: Sequence[Trial]) -> str:
    """The data, the size of the networks and the score, for the title of a picture."""
    size = "" if job.budget is None else f", networks of about {job.budget:,} parameters"
    number = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    return f"{Path(job.data).name}, {number}{size}"


def scores(trials: Iterable[Trial]) -> list[float]:
    """The score of each trial."""
    return [score_of(trial) for trial in trials]


def window(trials: Iterable[Trial]) -> tuple[float, float, int]:
    """The range of scores to draw, and how many are worse.

    Networks that learnt next to nothing would press all others together.
    """
    found = sorted(scores(trials))
    best, middle = found[0], statistics.median(found)
    limit = best + 4 * (middle - best) if middle > best else found[-1]
    seen = [score for score in found if score <= limit]
    room = 0.06 * (seen[-1] - best) or 0.1 * abs(best) or 0.1
    return best - room, seen[-1] + room, len(found) - len(seen)


def wide(trials: Iterable[Trial]) -> bool:
    """Whether sizes differ so much that only a logarithm shows them."""
    sizes = [trial.parameters for trial in trials]
    return max(sizes) > 4 * min(sizes)


def dropouts(job: Job) -> list[str]:
    """The dropouts in which trials differ, in the order in which `describe` has them."""
    return [name for name in DROPOUTS if name in job.space and varies(job.space[name])]


def _is_finite(score: float | None) -> bool:
    return score is not None and math.isfinite(score)

"""`Job`: a search as a TOML file describes it, checked before anything runs."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from ...data import catalogue
from ...utils.errors import UserError, argument_is, nearest
from ..space.space import SearchSpace
from .job_checks import CHECKS, MOST_TRIALS, check_networks, check_values, one_of

if TYPE_CHECKING:
    from ...data import Dataset
    from ..keras_tuner import HyperDeepRNN

# What one tuner alone has a use for.
_OF_TUNER = {"initial_points": "bayesian", "factor": "hyperband"}
# What the trials so far were made by: a search that goes on must not change it.
_KEPT = ("tuner", "objective", "epochs", "seed", "budget", "initial_points", "factor")


@dataclasses.dataclass(frozen=True)
class Job:
    """What to search, where, how and for how long.

    Attributes:
        name: Name of the file, without its ending.
        data: Name of a data set, or absolute path of the user's own data.
        project: Absolute path of the folder of the search.
        space: The `SearchSpace`.
        settings: Dict of settings that are not searched.
        data_path: Folder of files that were downloaded by hand, or None.
        data_dir: Folder of prepared data, or None.
        tuner: "random", "bayesian" or "hyperband".
        objective: The validation result that is minimized; None: the data's own, see `prepare`.
        trials: How many trials to finish; of Hyperband the most, None for all that it wants.
        epochs: Largest number of epochs of a trial; None: the data's own, see `prepare`.
        max_minutes: After how long the search stops and can go on later, or None.
        seed: Seed of the search and of its trials.
        budget: Number of parameters of every network, or None.
        workers: Number of processes; None becomes one for each core available.
        retries: How often a trial that failed is tried again with another seed.
        initial_points: Random trials with which a Bayesian search begins; None becomes one for
            each entry of the space that is not fixed, at least five.
        factor: What Hyperband divides the trials and multiplies their epochs by; None becomes 3.

    Raises:
        UserError: A value is of the wrong type, out of its range, missing, or another tuner's.

    Example:

    >>> from keras_deep_rnn.tuning import paper_space
    >>> job = Job("bach", "bach_chorales", "/searches/bach", paper_space(), trials=40)
    >>> Job.from_config(job.get_config()) == job
    True
    >>> job.difference(dataclasses.replace(job, seed=2, trials=80))
    '`seed` was 1, is 2'
    """

    name: str
    data: str
    project: str
    space: SearchSpace
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    data_path: str | None = None
    data_dir: str | None = None
    tuner: str = "random"
    objective: str | None = None
    trials: int | None = None
    epochs: int | None = None
    max_minutes: float | None = None
    seed: int = 1
    budget: int | None = None
    workers: int | None = None
    retries: int = 0
    initial_points: int | None = None
    factor: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                CHECKS[field.name](field.name, value)
        if self.trials is None and self.tuner != "hyperband":
            CHECKS["trials"]("trials", None)
        for name, tuner in _OF_TUNER.items():
            if getattr(self, name) is not None and self.tuner != tuner:
                raise UserError(
                    f"`{name}` must be left out: it is for tuner = {tuner!r}, got {self.tuner!r}."
                )
        searched = sum(entry.kind != "fixed" for entry in self.space)
        defaults = {"workers": _cores(), "initial_points": max(5, searched), "factor": 3}
        for name, value in defaults.items():
            if getattr(self, name) is None and _OF_TUNER.get(name, self.tuner) == self.tuner:
                object.__setattr__(self, name, value)  # a frozen dataclass completes itself

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Job:
        """The job of a TOML file.

        Relative paths start at the folder of the file. Neither the data nor the project folder
        needs to be there.

        Args:
            path: The file.

        Raises:
            UserError: The file cannot be read, or a key of it is unknown, missing or wrong.
        """
        from .job_file import read_job

        return read_job(path)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The job of what `get_config` gave.

        Raises:
            UserError: `config` is something else.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        given = set(config) if isinstance(config, dict) else set()
        if not {"name", "data", "project", "space"} <= given <= set(names):
            got = ", ".join(sorted(map(str, given))) or repr(config)
            raise UserError(f"`config` must have the keys {', '.join(names)}, got {got}.")
        return cls(**{**config, "space": SearchSpace.from_config(config["space"])})

    def get_config(self) -> dict[str, Any]:
        """The job as a dict that strict JSON can hold."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**config, "settings": dict(self.settings), "space": self.space.get_config()}

    def size(self) -> int | None:
        """How many trials end, if none is lost: `trials`, or those of one pass of Hyperband.

        A bracket s of Hyperband begins with many trials of few epochs and keeps, s times, the best
        of them for `factor` times the epochs (Li et al.: Hyperband, JMLR 18 (2018), algorithm 1).
        Its sizes are those of Keras Tuner, which rounds up.

        Raises:
            UserError: The number of epochs, on which it depends, is not known before `prepare`.
        """
        if self.tuner != "hyperband":
            return self.trials
        if self.epochs is None:
            raise UserError("`epochs` must be known for the size of a Hyperband search, got none.")
        factor = cast(int, self.factor)  # `__post_init__` has completed it
        largest = 0
        while factor ** (largest + 1) <= self.epochs:
            largest += 1
        last = math.ceil(1 + math.log(self.epochs, factor))
        total = sum(
            math.ceil(last / (bracket + 1) * factor**halvings)
            for bracket in range(largest + 1)
            for halvings in range(bracket + 1)
        )
        return min(total, self.trials or MOST_TRIALS)

    def difference(self, other: Job) -> str:
        """What changed from this job to another that a search cannot go on with; empty if nothing.

        Places, and how much is searched by how many workers, may change.

        Args:
            other: `Job`. Both are complete, as `prepare` gives them.
        """
        names = [name for name in _KEPT if getattr(self, name) != getattr(other, name)]
        if self.data != other.data and {self.data, other.data} & set(catalogue.names()):
            names = ["data", *names]
        told = [f"`{name}` was {getattr(self, name)}, is {getattr(other, name)}" for name in names]
        told += [
            f"`settings.{name}` was {self.settings.get(name)}, is {other.settings.get(name)}"
            for name in {**self.settings, **other.settings}
            if self.settings.get(name) != other.settings.get(name)
        ]
        return "; ".join([*told, *filter(None, [self.space.difference(other.space)])])

    def prepare(self) -> tuple[Job, HyperDeepRNN]:
        """Loads the data and checks all that depends on it, before the first trial.

        Returns:
            The complete job, with `objective` and `epochs`, and its `HyperDeepRNN`.

        Raises:
            UserError: The data is not there, the objective is none of this kind of data, or some
                network of the space is impossible.
        """
        from ...data import load
        from ...training.config import Settings
        from ...training.evaluate import PRIMARY, definitions

        check_values(self.settings, self.space)
        names = catalogue.names()
        if self.data not in names and not Path(self.data).exists():
            raise UserError(
                f"`data` must be a data set ({', '.join(names)}) or an existing path, "
                f"got {self.data!r}{nearest(Path(self.data).name, names) or '.'}"
            )
        with argument_is("name", "data"):
            dataset = load(self.data, data_path=self.data_path, data_dir=self.data_dir)
        objective = PRIMARY[dataset.kind] if self.objective is None else self.objective
        one_of(definitions(dataset.kind))("objective", objective)
        epochs = self.epochs or Settings(dataset.name).complete(dataset).epochs
        job = dataclasses.replace(self, objective=objective, epochs=epochs)
        hyper = job.hypermodel(dataset)
        check_networks(hyper)
        return job, hyper

    def hypermodel(self, dataset: Dataset | None = None) -> HyperDeepRNN:
        """The `HyperDeepRNN` of the job.

        Args:
            dataset: The job's `Dataset` if it was loaded already.
        """
        from ..keras_tuner import HyperDeepRNN

        settings: dict[str, Any] = {} if self.epochs is None else {"epochs": self.epochs}
        for name, value in self.settings.items():
            settings[name] = tuple(value) if isinstance(value, list) else value
        return HyperDeepRNN(
            self.data if dataset is None else dataset,
            self.space,
            budget=self.budget,
            seed=self.seed,
            settings=settings,
            data_path=self.data_path,
            data_dir=self.data_dir,
        )


def _cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""`Job`: the configuration of a search, validated before the first trial."""

import dataclasses
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import Field
from pydantic.dataclasses import dataclass

from ...data import catalogue
from ...utils.errors import NOTHING, ArgumentError, Words, argument_is, nearest
from ...utils.fields import (
    CONFIG,
    Count,
    Flag,
    NonNegative,
    Positive,
    PositiveInt,
    Seed,
    Text,
    fields_of,
    with_argument_errors,
)
from ...utils.validation import one_of
from ..space.space import SearchSpace
from .job_checks import check_networks, check_plain, check_training, check_values

if TYPE_CHECKING:
    from ...data import Dataset
    from ..keras_tuner import HyperDeepRNN

Table: TypeAlias = Annotated[dict[str, Any], Field(description="a table")]
Space: TypeAlias = Annotated[SearchSpace, Field(description="a SearchSpace")]
# Trial ids have four digits.
MOST_TRIALS = 9999
Trials: TypeAlias = Annotated[
    int, Field(ge=1, le=MOST_TRIALS, description=f"an integer from 1 to {MOST_TRIALS}")
]
Factor: TypeAlias = Annotated[int, Field(ge=2, lt=2**63, description="an integer of at least 2")]
# {setting: the only tuner that it applies to}.
_OF_TUNER = {"initial_points": "bayesian", "factor": "hyperband"}
# Settings that a resumed search must not change, because earlier trials depend on them.
_FIXED = (
    "skip_unreadable", "sustain_pedal", "tuner", "objective", "epochs", "seed", "budget",
    "initial_points", "factor",
)  # fmt: skip


@with_argument_errors
@dataclass(frozen=True, config=CONFIG)
class Job:
    """The configuration of a search.

    Paths are absolute. None is the default; `prepare` replaces it where it depends on the data.

    Raises:
        ArgumentError: A value is missing, has a wrong type, is out of range, or does not apply to
            the tuner.

    Example:

    >>> from keras_deep_rnn.tuning import paper_space
    >>> job = Job("bach", "bach_chorales", "/searches/bach", paper_space(), trials=40)
    >>> Job.from_config(job.get_config()) == job
    True
    >>> job.difference(dataclasses.replace(job, seed=2, trials=80))
    '`seed` was 1, is 2'
    """

    name: Text = Field(description="Name of the job file, without its suffix.")
    data: Text = Field(description="Name of a data set, or path of your own.")
    project: Text = Field(
        description="Project folder; by default beside the job file, with its name."
    )
    space: Space = Field(description="Search space.")
    settings: Table = Field(
        default_factory=dict, description="Settings of a training run that are not searched."
    )
    manual_dir: Text | None = Field(
        default=None, description="Folder of manually downloaded files."
    )
    data_dir: Text | None = Field(default=None, description="Folder of prepared data sets.")
    skip_unreadable: Flag = Field(
        default=False, description="Whether to go on without MIDI files that cannot be read."
    )
    sustain_pedal: Flag = Field(
        default=False,
        description="Whether notes of MIDI files sound on while the sustain pedal is down.",
    )
    tuner: Literal["random", "bayesian", "hyperband"] = Field(
        default="random", description="Search algorithm."
    )
    objective: Text | None = Field(
        default=None, description="Validation metric to minimize; by default that of the data set."
    )
    trials: Trials | None = Field(
        default=None,
        description="Number of trials. An upper bound for hyperband, by default one full pass.",
    )
    epochs: PositiveInt | None = Field(
        default=None,
        description="Maximum number of epochs of a trial; by default that of the data set.",
    )
    max_minutes: Positive | None = Field(
        default=None, description="Minutes after which the search stops; it can be resumed."
    )
    seed: Seed = Field(default=1, description="Seed of the search and of its trials.")
    budget: PositiveInt | None = Field(
        default=None, description="Number of parameters of every network."
    )
    workers: PositiveInt | None = Field(
        default=None, description="Worker processes; by default one per available core."
    )
    cpus_per_trial: PositiveInt | None = Field(
        default=None,
        description="Cores of each trial; by default an equal share, on a cluster 1.",
    )
    gpus_per_trial: NonNegative = Field(default=0.0, description="GPUs of each trial on a cluster.")
    retries: Count = Field(
        default=0, description="Retries of a failed trial, each with another seed."
    )
    initial_points: PositiveInt | None = Field(
        default=None,
        description="Initial random trials of bayesian; by default one per hyperparameter that "
        "is not fixed, at least 5.",
    )
    factor: Factor | None = Field(
        default=None,
        description="Reduction factor of hyperband, for the trials and the epochs per round; by "
        "default 3.",
    )

    def __post_init__(self) -> None:
        for key, given in self.settings.items():
            if isinstance(given, dict):
                raise ArgumentError(f"settings.{key}", "one value or a list", given)
            check_plain(f"settings.{key}", given)
        if self.trials is None and self.tuner != "hyperband":
            raise ArgumentError("trials", fields_of(Job)["trials"].expected, NOTHING)
        for name, tuner in _OF_TUNER.items():
            if getattr(self, name) is not None and self.tuner != tuner:
                raise ArgumentError(name, f"left out: it applies to tuner = {tuner!r}", self.tuner)
        searched = sum(hyperparameter.kind != "fixed" for hyperparameter in self.space)
        workers = max(1, _cores() // (self.cpus_per_trial or 1))
        defaults = {"workers": workers, "initial_points": max(5, searched), "factor": 3}
        for name, value in defaults.items():
            if getattr(self, name) is None and _OF_TUNER.get(name, self.tuner) == self.tuner:
                object.__setattr__(self, name, value)  # the dataclass is frozen

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Job":
        """Reads a job file.

        Relative paths are relative to the folder of the file. Neither the data nor the project
        folder has to exist.

        Args:
            path: Path of a TOML file.

        Raises:
            UserError: The file cannot be read, or a key is unknown, missing or has a wrong value.
        """
        from .job_file import read_job

        return read_job(path)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes a job from the dict of `get_config`.

        Raises:
            ArgumentError: `config` has other keys or wrong values.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        given = set(config) if isinstance(config, dict) else set()
        if not {"name", "data", "project", "space"} <= given <= set(names):
            got = ", ".join(sorted(map(str, given))) or repr(config)
            raise ArgumentError("config", f"the keys {', '.join(names)}", Words(got), verb="have")
        return cls(**{**config, "space": SearchSpace.from_config(config["space"])})

    def get_config(self) -> dict[str, Any]:
        """The job as a dict for JSON."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**config, "settings": dict(self.settings), "space": self.space.get_config()}

    def size(self) -> int | None:
        """The number of trials: `trials`, or that of one pass of Hyperband.

        Bracket s of Hyperband starts with many trials of few epochs and runs s rounds of successive
        halving, each of which continues the best trials for `factor` times the epochs (Li et al.:
        Hyperband, JMLR 18 (2018), algorithm 1). Sizes are rounded up, as in Keras Tuner.

        Raises:
            ArgumentError: The size of Hyperband depends on `epochs`, which `prepare` has not set.
        """
        if self.tuner != "hyperband":
            return self.trials
        if self.epochs is None:
            raise ArgumentError("epochs", "known for the size of a Hyperband search", Words("None"))
        factor = cast(int, self.factor)  # set by `__post_init__`
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

    def difference(self, other: "Job") -> str:
        """Describes the changes with which a search cannot be resumed; an empty string if none.

        Paths, `trials`, `workers`, `retries`, `max_minutes`, and the cores and GPUs of a trial may
        change.

        Args:
            other: `Job`. Both jobs are complete; see `prepare`.
        """
        names = [name for name in _FIXED if getattr(self, name) != getattr(other, name)]
        if self.data != other.data and {self.data, other.data} & set(catalogue.names()):
            names = ["data", *names]
        changes = [
            f"`{name}` was {getattr(self, name)}, is {getattr(other, name)}" for name in names
        ]
        changes += [
            f"`settings.{name}` was {self.settings.get(name)}, is {other.settings.get(name)}"
            for name in {**self.settings, **other.settings}
            if self.settings.get(name) != other.settings.get(name)
        ]
        return "; ".join([*changes, *filter(None, [self.space.difference(other.space)])])

    def prepare(self) -> "tuple[Job, HyperDeepRNN]":
        """Loads the data and validates the job against it.

        Returns:
            The complete job, with `objective` and `epochs`, and its `HyperDeepRNN`.

        Raises:
            UserError: The data does not exist, the objective is not a metric of the data, or a
                network or a training of the space is invalid.
        """
        from ...training.config import Settings
        from ...training.results import PRIMARY, definitions

        check_values(self.settings, self.space)
        names = catalogue.names()
        if self.data not in names and not Path(self.data).exists():
            raise ArgumentError(
                "data",
                f"a data set ({', '.join(names)}) or an existing path",
                self.data,
                nearest(Path(self.data).name, names),
            )
        dataset = self._load()
        objective = PRIMARY[dataset.kind] if self.objective is None else self.objective
        one_of(tuple(definitions(dataset.kind)))("objective", objective)
        epochs = self.epochs or Settings(dataset.name).complete(dataset).epochs
        job = dataclasses.replace(self, objective=objective, epochs=epochs)
        hyper = job.hypermodel(dataset)
        check_networks(hyper)
        check_training(hyper)
        return job, hyper

    def _load(self) -> "Dataset":
        from ...data import load
        from ...training.config import load_options

        with argument_is("name", "data"):
            return load(self.data, **load_options(self))

    def hypermodel(self, dataset: "Dataset | None" = None) -> "HyperDeepRNN":
        """The `HyperDeepRNN` of the job.

        Args:
            dataset: The `Dataset` of the job; None: it is loaded.
        """
        from ..keras_tuner import HyperDeepRNN

        settings: dict[str, Any] = {} if self.epochs is None else {"epochs": self.epochs}
        for name, value in self.settings.items():
            settings[name] = tuple(value) if isinstance(value, list) else value
        return HyperDeepRNN(
            self._load() if dataset is None else dataset,
            self.space,
            budget=self.budget,
            seed=self.seed,
            settings=settings,
        )


def _cores() -> int:
    """The number of cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

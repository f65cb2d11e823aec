"""`Job`: a search as a TOML file describes it, checked before anything runs."""

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
    Positive,
    PositiveInt,
    Seed,
    Text,
    fields_of,
    with_argument_errors,
)
from ...utils.validation import one_of
from ..space.space import SearchSpace
from .job_checks import check_networks, check_plain, check_values

if TYPE_CHECKING:
    from ...data import Dataset
    from ..keras_tuner import HyperDeepRNN

Table: TypeAlias = Annotated[dict[str, Any], Field(description="a table")]
Space: TypeAlias = Annotated[SearchSpace, Field(description="a SearchSpace")]
# Ids of trials have four digits.
MOST_TRIALS = 9999
Trials: TypeAlias = Annotated[
    int, Field(ge=1, le=MOST_TRIALS, description=f"an integer from 1 to {MOST_TRIALS}")
]
Factor: TypeAlias = Annotated[int, Field(ge=2, lt=2**63, description="an integer of at least 2")]
# What one tuner alone has a use for.
_OF_TUNER = {"initial_points": "bayesian", "factor": "hyperband"}
# What the trials so far were made by: a search that goes on must not change it.
_KEPT = ("tuner", "objective", "epochs", "seed", "budget", "initial_points", "factor")


@with_argument_errors
@dataclass(frozen=True, config=CONFIG)
class Job:
    """What to search, where, how and for how long.

    Paths are absolute; None stands for a default, which `prepare` takes from the data where it
    depends on them.

    Raises:
        ArgumentError: A value is of the wrong type, out of its range, missing, or another tuner's.

    Example:

    >>> from keras_deep_rnn.tuning import paper_space
    >>> job = Job("bach", "bach_chorales", "/searches/bach", paper_space(), trials=40)
    >>> Job.from_config(job.get_config()) == job
    True
    >>> job.difference(dataclasses.replace(job, seed=2, trials=80))
    '`seed` was 1, is 2'
    """

    name: Text = Field(description="Name of the file, without its ending.")
    data: Text = Field(description="Name of a data set, or path of your own.")
    project: Text = Field(description="Folder of the search; beside the file if left out.")
    space: Space = Field(description="What is searched.")
    settings: Table = Field(
        default_factory=dict, description="Settings of a run that are not searched."
    )
    data_path: Text | None = Field(None, description="Folder of manually downloaded files.")
    data_dir: Text | None = Field(None, description="Folder of prepared data.")
    tuner: Literal["random", "bayesian", "hyperband"] = Field(
        "random", description="How the next trials are chosen."
    )
    objective: Text | None = Field(
        None, description="The validation result to minimize; that of the data if left out."
    )
    trials: Trials | None = Field(
        None, description="Trials to finish; with hyperband the most, all of a pass if left out."
    )
    epochs: PositiveInt | None = Field(
        None, description="Largest number of epochs of a trial; that of the data if left out."
    )
    max_minutes: Positive | None = Field(
        None, description="Minutes after which the search stops; it can go on later."
    )
    seed: Seed = Field(1, description="Seed of the search and of its trials.")
    budget: PositiveInt | None = Field(None, description="Number of parameters of every network.")
    workers: PositiveInt | None = Field(
        None, description="Processes; one for each available core if left out."
    )
    retries: Count = Field(
        0, description="How often a trial that failed is tried again with another seed."
    )
    initial_points: PositiveInt | None = Field(
        None,
        description="Random trials with which a bayesian search begins; one for each searched "
        "value, at least five, if left out.",
    )
    factor: Factor | None = Field(
        None,
        description="What hyperband divides the trials and multiplies their epochs by; 3 if left "
        "out.",
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
                raise ArgumentError(name, f"left out: it is for tuner = {tuner!r}", self.tuner)
        searched = sum(entry.kind != "fixed" for entry in self.space)
        defaults = {"workers": _cores(), "initial_points": max(5, searched), "factor": 3}
        for name, value in defaults.items():
            if getattr(self, name) is None and _OF_TUNER.get(name, self.tuner) == self.tuner:
                object.__setattr__(self, name, value)  # a frozen dataclass completes itself

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Job":
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
            raise ArgumentError("config", f"the keys {', '.join(names)}", Words(got), verb="have")
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
            raise ArgumentError("epochs", "known for the size of a Hyperband search", Words("none"))
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

    def difference(self, other: "Job") -> str:
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

    def prepare(self) -> "tuple[Job, HyperDeepRNN]":
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
            raise ArgumentError(
                "data",
                f"a data set ({', '.join(names)}) or an existing path",
                self.data,
                nearest(Path(self.data).name, names),
            )
        with argument_is("name", "data"):
            dataset = load(self.data, data_path=self.data_path, data_dir=self.data_dir)
        objective = PRIMARY[dataset.kind] if self.objective is None else self.objective
        one_of(tuple(definitions(dataset.kind)))("objective", objective)
        epochs = self.epochs or Settings(dataset.name).complete(dataset).epochs
        job = dataclasses.replace(self, objective=objective, epochs=epochs)
        hyper = job.hypermodel(dataset)
        check_networks(hyper)
        return job, hyper

    def hypermodel(self, dataset: "Dataset | None" = None) -> "HyperDeepRNN":
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

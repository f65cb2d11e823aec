"""`Experiment`: the settings and seeds of a cell of the paper's tables."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from ..training.config import COMPLETED, LOAD_OPTIONS, Settings
from ..utils.errors import UserError
from ..utils.types import PathLike
from ..utils.validation import number, one_of
from ..utils.validation import seed as checked_seed
from .published import GROUPS, NETWORKS, RECIPES, group_of, networks_of, recipes_of

FOLDER = Path(__file__).parent
KEYS = ("minutes", "seeds", "settings")
# Settings that do not belong to an experiment: paths of the machine, and those of a single run.
OMITTED_SETTINGS = (*LOAD_OPTIONS, "tensorboard", "seed")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A cell of the tables under one recipe.

    Attributes:
        task: Name of the data set.
        network: One of `published.NETWORKS`.
        recipe: "paper" or "modern".
        settings: Arguments of `Settings`, without seed and folders of data.
        seeds: Seeds of its runs.
        minutes: Estimated duration of a run on two cores.
    """

    task: str
    network: str
    recipe: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    minutes: float

    @property
    def name(self) -> str:
        """Name of the experiment, as in paths: "jsb_chorales/dots_rnn-modern"."""
        return f"{self.task}/{self.network}-{self.recipe}"

    @property
    def command(self) -> str:
        """Command line that runs the experiment."""
        group = group_of(self.task)
        task = f" --task {self.task}" if len(GROUPS[group]) > 1 else ""
        return f"deep-rnn reproduce {group}{task} --network {self.network} --recipe {self.recipe}"

    def settings_of(self, seed: int, **folders: Any) -> Settings:
        """`Settings` of the run with a seed; `folders` are `manual_dir` and `data_dir`."""
        return Settings(**self.settings, seed=seed, **folders)

    @property
    def expected(self) -> dict[str, Any]:
        """Settings that each of its runs has: those of the file, and defaults of all data sets."""
        return {
            name: value
            for name, value in vars(Settings(**self.settings)).items()
            if name not in OMITTED_SETTINGS and (value is not None or name not in COMPLETED)
        }


def load(task: str, network: str, recipe: str, folder: PathLike = FOLDER) -> Experiment:
    """Reads an experiment.

    Args:
        task: Name of the data set.
        network: One of `published.NETWORKS`.
        recipe: "paper" or "modern".
        folder: Folder of the files.

    Returns:
        `Experiment`.

    Raises:
        UserError: The file is missing or its content is not valid.

    Example:

    >>> load("jsb_chorales", "rnn", "modern").settings["units"]
    200
    """
    path = Path(folder, task, f"{network}-{recipe}.toml")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {str(path)!r}: {error}.") from None
    try:
        for key in content:
            one_of(KEYS)("key", key)
        settings = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content["settings"].items()
        }
        for seed in content["seeds"]:
            checked_seed("seeds", seed)
        seeds = tuple(content["seeds"])
        minutes = number("minutes", content["minutes"], above=0)
        experiment = Experiment(task, network, recipe, settings, seeds, minutes)
        for seed in seeds:
            experiment.settings_of(seed)
    except (KeyError, TypeError, UserError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise UserError(f"Cannot use {str(path)!r}: {reason}.") from None
    return experiment


def select(
    group: str, *, task: str | None = None, network: str | None = None, recipe: str | None = None
) -> list[Experiment]:
    """Reads the experiments of a group, or those of one task, network or recipe.

    Args:
        group: One of `published.GROUPS`.
        task: One of the group's tasks; None for all.
        network: One of `published.NETWORKS`; None for all.
        recipe: "paper" or "modern"; None for both.

    Returns:
        List of `Experiment`.

    Raises:
        UserError: The group does not have this task, network or recipe, or not together.

    Example:

    >>> [found.name for found in select("words", network="rnn")]
    ['ptb_word/rnn-paper', 'ptb_word/rnn-modern']
    """
    one_of(tuple(GROUPS))("group", group)
    tasks = GROUPS[group] if task is None else [one_of(GROUPS[group])("task", task)]
    known = [name for name in NETWORKS if any(name in networks_of(task) for task in tasks)]
    networks = known if network is None else [one_of(tuple(known))("network", network)]
    recipes = RECIPES if recipe is None else [one_of(RECIPES)("recipe", recipe)]
    found = [
        load(t, n, r)
        for t in tasks
        for r in recipes
        for n in networks
        if n in networks_of(t) and r in recipes_of(n)
    ]
    if not found:
        one_of(recipes_of(networks[0]))("recipe", recipe)
    return found

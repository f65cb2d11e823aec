"""Job files: TOML with top-level keys and the tables [settings] and [space]."""

import inspect
import os
import tomllib
from pathlib import Path
from typing import Any

from ...data import catalogue
from ...training.config import Settings, renamed
from ...training.networks import SEARCHED_NETWORKS
from ...utils.errors import NOTHING, ArgumentError, UserError, Words, first_line, nearest, within
from ...utils.fields import fields_of
from ...utils.files import user_path
from ...utils.validation import one_of, positive_integer
from ..space.paper_space import DEPTHS, SIZES, paper_space
from ..space.space import SearchSpace
from .job import Job
from .job_checks import check_plain

# Value in [space] that leaves a setting at its default.
DEFAULT = "default"
# Keys of [space] if it is not a table of hyperparameters: the arguments of `paper_space`.
RANGES = tuple(inspect.signature(paper_space).parameters)
# Top-level keys.
KEYS = tuple(name for name in fields_of(Job) if name not in ("name", "space", "settings"))


def read_job(path: str | os.PathLike[str]) -> Job:
    """See `Job.read`."""
    path = Path(os.path.abspath(user_path(path)))
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        repr(table)  # may fail for a huge integer, which no error line could show
    except OSError as error:
        raise UserError(f"Cannot read {str(path)!r}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} must be a TOML file: {first_line(error)}.") from None
    try:
        return Job(**arguments(path, table))
    except UserError as error:
        raise UserError(f"{path.name}: {' '.join(str(error).split())}") from None


def arguments(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Converts the content of a job file to the arguments of `Job`.

    Args:
        path: Absolute `Path` of the file.
        table: Dict of its content.

    Example:

    >>> table = {"data": "tunes", "trials": 3, "space": {"network": ["rnn", "dt_rnn"]}}
    >>> job = arguments(Path("/jobs/depth.toml"), table)
    >>> job["name"], job["project"], job["space"]["network"].choices
    ('depth', '/jobs/depth', ('rnn', 'dt_rnn'))
    """
    table = renamed(table)
    settings, space = table.pop("settings", {}), table.pop("space", {})
    _check_section("settings", settings)
    _check_section("space", space)
    settings, space = renamed(settings), renamed(space)
    _check_keys(table)
    given = {"project": str(path.with_suffix("") if path.suffix == ".toml" else path), **table}
    for name in ("data", "manual_dir", "data_dir", "project"):
        if name in given:
            fields_of(Job)[name].check(given[name])
            if name != "data" or given[name] not in catalogue.names():
                given[name] = os.path.abspath(path.parent / user_path(given[name]))
    if given["project"] == str(path):
        raise ArgumentError("project", "another path than the job file's", str(path))
    if space and all(isinstance(value, dict) for value in space.values()):
        with within("space"):
            space = SearchSpace.from_config(space)
    else:
        space, settings = _ready_space(space, settings, budget="budget" in table)
    return {"name": path.stem, **given, "settings": settings, "space": space}


def _check_section(section: str, content: Any) -> None:
    """Checks that a table has no top-level keys and no values that JSON cannot represent."""
    if not isinstance(content, dict):
        raise ArgumentError(section, f"a table, [{section}]", content)
    for name in content:
        if name in KEYS:
            raise ArgumentError(
                name, "at the top of the file", Words(f"it in [{section}]"), verb="stand"
            )
    check_plain(section, content)


def _check_keys(table: dict[str, Any]) -> None:
    """Checks the top-level keys."""
    for name in table:
        if name not in KEYS:
            below = {*fields_of(Settings), *RANGES}
            if name in below:
                raise ArgumentError(
                    name, "in [settings] or [space]", Words("it at the top"), verb="stand"
                )
            keys = (*KEYS, "settings", "space")
            raise ArgumentError(
                name, f"a key of a job: {', '.join(keys)}", hint=nearest(name, keys)
            )
    if "data" not in table:
        raise ArgumentError("data", "the name of a data set or a path", NOTHING)


def _ready_space(
    table: dict[str, Any], settings: dict[str, Any], *, budget: bool
) -> tuple[SearchSpace, dict[str, Any]]:
    """The space of `paper_space` arguments, and the settings that remain outside of it.

    The space omits what the settings fix. The network and its depths move from the settings into
    the space, where they are fixed for the networks that have them.
    """
    given, settings = dict(table), dict(settings)
    for name in ("network", *DEPTHS):
        if name in settings and name not in given:
            with within("settings"):
                check = one_of(SEARCHED_NETWORKS) if name == "network" else positive_integer
                given[name] = check(name, settings.pop(name))
    absent = {*settings, *(depth for depth, sizes in SIZES.items() if sizes in settings)}
    for name in (*absent, "units") if budget else absent:
        if name in RANGES:
            given.setdefault(name, DEFAULT)
    with within("space"):
        for name, value in given.items():
            if name not in RANGES:
                hint = nearest(name, RANGES)
                raise ArgumentError(name, f"one of {', '.join(RANGES)}", hint=hint)
            if isinstance(value, dict):
                raise ArgumentError(
                    name, "a range, choices or a value, as the other keys", Words("a table")
                )
            if name != "network" and value == DEFAULT:
                given[name] = None
        return paper_space(**given), settings

"""A job as a TOML file: settings at its top, [settings] and [space] below them."""

import dataclasses
import inspect
import os
import tomllib
from pathlib import Path
from typing import Any

from ...data import catalogue
from ...utils.errors import UserError, first_line, nearest
from ..space.space import SearchSpace
from .job import Job
from .job_checks import CHECKS, plain, text, within

# In [space], a setting that is neither searched nor fixed.
DEFAULT = "default"
# The keys at the top of a file.
KEYS = tuple(name for name in CHECKS if name not in ("name", "space", "settings"))


def read_job(path: str | os.PathLike[str]) -> Job:
    """See `Job.read`."""
    path = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        repr(table)  # what no message can show is no value either
    except OSError as error:
        raise UserError(f"Cannot read {str(path)!r}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} must be a TOML file: {first_line(error)}.") from None
    try:
        return Job(**arguments(path, table))
    except UserError as error:
        raise UserError(f"{path.name}: {' '.join(str(error).split())}") from None


def arguments(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Job` that the content of a file stands for.

    Args:
        path: Absolute `Path` of the file.
        table: Dict of its content.

    Example:

    >>> table = {"data": "tunes", "trials": 3, "space": {"network": ["rnn", "dt_rnn"]}}
    >>> job = arguments(Path("/jobs/depth.toml"), table)
    >>> job["name"], job["project"], job["space"]["network"].choices
    ('depth', '/jobs/depth', ('rnn', 'dt_rnn'))
    """
    table = dict(table)
    settings, space = table.pop("settings", {}), table.pop("space", {})
    _check_section("settings", settings)
    _check_section("space", space)
    _check_keys(table)
    given = {"project": str(path.with_suffix("") if path.suffix == ".toml" else path), **table}
    for name in ("data", "data_path", "data_dir", "project"):
        if name in given:
            text(name, given[name])
            if name != "data" or given[name] not in catalogue.names():
                given[name] = os.path.abspath(path.parent / os.path.expanduser(given[name]))
    if given["project"] == str(path):
        raise UserError(f"`project` must be another path than the job file's, got {str(path)!r}.")
    if space and all(isinstance(value, dict) for value in space.values()):
        with within("space"):
            space = SearchSpace.from_config(space)
    else:
        space, settings = _ready_space(space, settings, budget="budget" in table)
    return {"name": path.stem, **given, "settings": settings, "space": space}


def _check_section(section: str, content: Any) -> None:
    """Refuses keys of a section that belong to the top, and values that JSON cannot hold."""
    if not isinstance(content, dict):
        raise UserError(f"`{section}` must be a table, [{section}], got {content!r}.")
    for name in content:
        if name in KEYS:
            raise UserError(f"`{name}` must stand at the top of the file, got it in [{section}].")
    plain(section, content)


def _check_keys(table: dict[str, Any]) -> None:
    """Refuses keys at the top of a file that do not belong there."""
    for name in table:
        if name not in KEYS:
            from ...training.config import Settings

            below = {field.name for field in dataclasses.fields(Settings)} | set(_ranges())
            if name in below:
                raise UserError(f"`{name}` must stand in [settings] or [space], got it at the top.")
            keys = (*KEYS, "settings", "space")
            hint = nearest(name, keys) or "."
            raise UserError(f"`{name}` must be a key of a job: {', '.join(keys)}{hint}")
    if "data" not in table:
        raise UserError("`data` must be the name of a data set or a path, got none.")


def _ready_space(
    table: dict[str, Any], settings: dict[str, Any], *, budget: bool
) -> tuple[SearchSpace, dict[str, Any]]:
    """The space of arguments of `paper_space`, and the settings that stay outside of it.

    What the settings decide is left out, except the network and what only some networks have: it
    moves into the space, where it is fixed for those that have it.
    """
    from ...training.networks import SEARCHED_NETWORKS
    from ...utils.validation import one_of, positive_integer
    from ..space.paper_space import DEPTHS, SIZES, paper_space

    given, settings = dict(table), dict(settings)
    for name in ("network", *DEPTHS):
        if name in settings and name not in given:
            with within("settings"):
                check = one_of(SEARCHED_NETWORKS) if name == "network" else positive_integer
                given[name] = check(name, settings.pop(name))
    absent = {*settings, *(depth for depth, sizes in SIZES.items() if sizes in settings)}
    for name in (*absent, "units") if budget else absent:
        if name in _ranges():
            given.setdefault(name, DEFAULT)
    with within("space"):
        for name, value in given.items():
            if name not in _ranges():
                hint = nearest(name, _ranges()) or "."
                raise UserError(f"`{name}` must be one of {', '.join(_ranges())}{hint}")
            if isinstance(value, dict):
                raise UserError(
                    f"`{name}` must be a range, choices or a value where others are, got a table."
                )
            if name != "network" and value == DEFAULT:
                given[name] = None
        return paper_space(**given), settings


def _ranges() -> tuple[str, ...]:
    """What [space] can hold where it holds no entries."""
    from ..space.paper_space import paper_space

    return tuple(inspect.signature(paper_space).parameters)

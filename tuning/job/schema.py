"""The JSON schema of job files, for completion and validation in editors.

`#:schema job.schema.json` as the first line of a job file associates it in editors that use Taplo,
such as VS Code with Even Better TOML.
"""

import dataclasses
from typing import Any

from pydantic import TypeAdapter

from ...training.config import Settings
from ...utils.fields import CONFIG, FieldInfo, PositiveInt, fields_of
from ..space.hyperparameter import KINDS, Hyperparameter
from ..space.paper_space import DEPTHS
from .job import Job
from .job_file import DEFAULT, KEYS, RANGES

_PLAIN = ["string", "number", "boolean"]
# Types of the fields of a hyperparameter; other fields take plain values and lists.
_TYPES = {"log": "boolean", "low": "number", "high": "number", "step": "number", "when": "object"}


def job_schema() -> dict[str, Any]:
    """The schema as a dict for JSON.

    Example:

    >>> schema = job_schema()
    >>> schema["properties"]["trials"]["maximum"]
    9999
    >>> schema["properties"]["settings"]["properties"]["optimizer"]["enum"]
    ['adamw', 'sgd', 'clipped_momentum']
    """
    job = fields_of(Job)
    top = {name: _schema(job[name]) for name in KEYS}
    settings = {
        name: _schema(field)
        for name, field in fields_of(Settings).items()
        if field.extra["searched"] and name not in KEYS
    }
    positive = TypeAdapter(PositiveInt).json_schema()
    settings |= {name: positive for name in (*DEPTHS, "deep_units") if name not in settings}
    hyperparameter = {
        "type": "object",
        "required": ["kind"],
        "additionalProperties": False,
        "properties": {
            field.name: {"type": _TYPES.get(field.name, [*_PLAIN, "array"])}
            for field in dataclasses.fields(Hyperparameter)
            if field.name not in ("name", "kind")
        }
        | {"kind": {"enum": list(KINDS)}},
    }
    ranges = {
        name: {
            "description": settings[name].get("description", ""),
            "anyOf": [
                settings[name],
                {"type": "array", "items": settings[name]},
                {"const": DEFAULT},
                hyperparameter,
            ],
        }
        for name in RANGES
    }
    top |= {
        "settings": _table(job["settings"].help, settings),
        "space": {**_table(job["space"].help, ranges), "additionalProperties": hyperparameter},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Job of deep-rnn tune",
        "required": ["data"],
        **_table("A search for the network, its depth and its hyperparameters.", top),
    }


def _schema(field: FieldInfo) -> dict[str, Any]:
    schema = TypeAdapter(field.type, config=CONFIG).json_schema()
    schema["description"] = f"{field.help} Must be {field.expected}."
    if field.default not in (None, dataclasses.MISSING):
        schema["default"] = field.default
    return schema


def _table(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "properties": properties,
    }

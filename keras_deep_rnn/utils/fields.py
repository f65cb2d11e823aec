"""Settings as pydantic dataclasses: types of their fields, and one-line errors.

The description of a field's type says what a value must be; command line, job file and errors show
it.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias, TypeVar

import pydantic
from pydantic import Field, TypeAdapter

from .errors import NOTHING, ArgumentError, nearest

PositiveInt: TypeAlias = Annotated[int, Field(ge=1, lt=2**63, description="a positive integer")]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63, description="an integer of at least 0")]
Seed: TypeAlias = Annotated[
    int, Field(ge=0, lt=2**32, description="an integer from 0 to 2**32 - 1")
]
Number: TypeAlias = Annotated[float, Field(description="a finite number")]
Positive: TypeAlias = Annotated[float, Field(gt=0, description="a finite number above 0")]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, description="a finite number of at least 0")]
AtLeastOne: TypeAlias = Annotated[float, Field(ge=1, description="a finite number of at least 1")]
Rate: TypeAlias = Annotated[
    float, Field(ge=0, lt=1, description="a number of at least 0 and below 1")
]
Flag: TypeAlias = Annotated[bool, Field(description="True or False")]
Text: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$", description="a text")]
Widths: TypeAlias = Annotated[
    tuple[PositiveInt, ...],
    Field(min_length=1, description="a non-empty list of positive integers, such as 400,400"),
]

# Values are not converted: "3" is not a number, and True is not 1.
CONFIG = pydantic.ConfigDict(
    strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
)

Class = TypeVar("Class", bound=type)


@dataclasses.dataclass(frozen=True)
class FieldInfo:
    """Description of a field.

    Attributes:
        name: Name of the field.
        type: Type of its values, without None.
        expected: Description of a valid value.
        default: Default value; `dataclasses.MISSING` for a required field.
        help: Help text, one line.
        extra: The field's `json_schema_extra`.
    """

    name: str
    type: Any
    expected: str
    default: Any
    help: str
    extra: dict[str, Any]

    def check(self, value: Any) -> Any:
        """Validates a value and returns it as the field's type.

        Raises:
            ArgumentError: The value is not valid.
        """
        try:
            return TypeAdapter(self.type, config=CONFIG).validate_python(plain(value))
        except pydantic.ValidationError as error:
            raise _wrong(self, error.errors()[0], value) from None


def with_argument_errors(cls: Class) -> Class:
    """Makes the constructor of a pydantic dataclass raise `ArgumentError` for the first mistake.

    It also takes NumPy scalars for numbers and lists for tuples.
    """
    build = cls.__init__

    @functools.wraps(build)
    def __init__(self: Any, *values: Any, **named: Any) -> None:
        arguments = {**dict(zip(fields_of(cls), values, strict=False)), **named}
        try:
            build(self, *map(plain, values), **{name: plain(v) for name, v in named.items()})
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raised = first.get("ctx", {}).get("error")  # by a __post_init__
            raise raised or _argument_error(cls, first, arguments) from None

    cls.__init__ = __init__
    return cls


@functools.cache
def fields_of(cls: type) -> dict[str, FieldInfo]:
    """Fields of a pydantic dataclass: {name: FieldInfo}."""
    types_ = typing.get_type_hints(cls, include_extras=True)
    fields = {}
    for name, field in cls.__pydantic_fields__.items():  # pyright: ignore[reportAttributeAccessIssue]
        type_ = _without_none(types_[name])
        default = dataclasses.MISSING if field.is_required() else field.default
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        fields[name] = FieldInfo(
            name, type_, _expected(type_), default, field.description or "", dict(extra)
        )
    return fields


def choices(type_: Any) -> tuple[Any, ...]:
    """Values of a `Literal`; () for any other type."""
    return typing.get_args(type_) if typing.get_origin(type_) is typing.Literal else ()


def base(type_: Any) -> Any:
    """Plain type of an annotated one: int, float, bool, str or tuple.

    Example:

    >>> base(PositiveInt), base(Widths)
    (<class 'int'>, <class 'tuple'>)
    """
    if typing.get_origin(type_) is Annotated:
        return base(typing.get_args(type_)[0])
    if choices(type_):
        return str
    return typing.get_origin(type_) or type_


def plain(value: Any) -> Any:
    """Converts NumPy scalars to Python numbers, and lists to tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(plain(part) for part in value)
    item = getattr(value, "item", None)
    return item() if item is not None and getattr(value, "shape", None) == () else value


def _without_none(type_: Any) -> Any:
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        (type_,) = (part for part in typing.get_args(type_) if part is not types.NoneType)
    return type_


def _expected(type_: Any) -> str:
    if choices(type_):
        return f"one of {', '.join(map(repr, choices(type_)))}"
    return next(_descriptions(type_), getattr(type_, "__name__", str(type_)))


def _descriptions(type_: Any) -> Iterator[str]:
    for part in getattr(type_, "__metadata__", ()):
        description = getattr(part, "description", None)
        if description:
            yield description


def _argument_error(cls: type, error: Any, arguments: dict[str, Any]) -> ArgumentError:
    known, (name, *place) = fields_of(cls), error["loc"]
    if isinstance(name, int):  # the index of a positional argument
        name = list(known)[name]
    if name not in known:
        hint = nearest(name, known)
        return ArgumentError(name, f"left out: {cls.__name__} has no such setting", hint=hint)
    return _wrong(known[name], {**error, "loc": place}, arguments.get(name, NOTHING))


def _wrong(field: FieldInfo, error: Any, got: Any) -> ArgumentError:
    """Error of a field, or of the element of its value that is not valid."""
    name, type_ = field.name, field.type
    for index in error["loc"]:
        if isinstance(index, int) and base(type_) is tuple:
            name, got = f"{name}[{index}]", got[index]
            type_ = typing.get_args(typing.get_args(type_)[0])[0]
    return ArgumentError(name, _expected(type_), got, nearest(got, choices(type_)))

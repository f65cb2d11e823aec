"""Settings as pydantic dataclasses: types of their fields, and errors of one line.

A field's type says in its description what a value must be; command line, job file and errors show
the same words.
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
Rate: TypeAlias = Annotated[
    float, Field(ge=0, lt=1, description="a number of at least 0 and below 1")
]
Flag: TypeAlias = Annotated[bool, Field(description="True or False")]
Text: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$", description="a text")]
Widths: TypeAlias = Annotated[
    tuple[PositiveInt, ...],
    Field(min_length=1, description="a non-empty list of positive integers, such as 400,400"),
]

# Values are taken as they are: "3" is no number, and True no 1.
CONFIG = pydantic.ConfigDict(
    strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
)

Class = TypeVar("Class", bound=type)


@dataclasses.dataclass(frozen=True)
class FieldInfo:
    """What is known of a field: its type without None, words for its values, help and more.

    Attributes:
        name: Name of the field.
        type: Type of a value that is not None; its description is `expected`.
        expected: What a value must be, in words.
        default: Its default; `dataclasses.MISSING` where it is required.
        help: One line about it.
        extra: What the field says of itself beside that, as its JSON schema has it.
    """

    name: str
    type: Any
    expected: str
    default: Any
    help: str
    extra: dict[str, Any]

    def check(self, value: Any) -> Any:
        """`value` as the field's own type.

        Raises:
            ArgumentError: It is none.
        """
        try:
            return TypeAdapter(self.type, config=CONFIG).validate_python(plain(value))
        except pydantic.ValidationError as error:
            raise _wrong(self, error.errors()[0], value) from None


def one_line(cls: Class) -> Class:
    """Makes the constructor of a pydantic dataclass raise `ArgumentError`, of the first mistake.

    NumPy's scalars and JSON's lists are taken for the numbers and tuples that they stand for.
    """
    build = cls.__init__

    @functools.wraps(build)
    def __init__(self: Any, *values: Any, **named: Any) -> None:
        given = {**dict(zip(fields_of(cls), values, strict=False)), **named}
        try:
            build(self, *map(plain, values), **{name: plain(v) for name, v in named.items()})
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            own = first.get("ctx", {}).get("error")  # raised by a __post_init__
            raise own or _argument_error(cls, first, given) from None

    cls.__init__ = __init__
    return cls


@functools.cache
def fields_of(cls: type) -> dict[str, FieldInfo]:
    """{name: FieldInfo} of a pydantic dataclass."""
    types_ = typing.get_type_hints(cls, include_extras=True)
    found = {}
    for name, field in cls.__pydantic_fields__.items():  # pyright: ignore[reportAttributeAccessIssue]
        type_ = _without_none(types_[name])
        default = dataclasses.MISSING if field.is_required() else field.default
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        found[name] = FieldInfo(
            name, type_, _expected(type_), default, field.description or "", dict(extra)
        )
    return found


def choices(type_: Any) -> tuple[Any, ...]:
    """The values of a `Literal`; none of any other type."""
    return typing.get_args(type_) if typing.get_origin(type_) is typing.Literal else ()


def base(type_: Any) -> Any:
    """The plain type below annotations: int, float, bool, str or tuple.

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
    """NumPy's scalars as Python's, and lists as tuples."""
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


def _argument_error(cls: type, error: Any, given: dict[str, Any]) -> ArgumentError:
    known, (name, *place) = fields_of(cls), error["loc"]
    if isinstance(name, int):  # the place of an argument without a name
        name = list(known)[name]
    if name not in known:
        hint = nearest(name, known)
        return ArgumentError(name, f"left out: {cls.__name__} has no such setting", hint=hint)
    return _wrong(known[name], {**error, "loc": place}, given.get(name, NOTHING))


def _wrong(field: FieldInfo, error: Any, got: Any) -> ArgumentError:
    """The error of a field; of one of its values where the mistake lies there."""
    name, type_ = field.name, field.type
    for index in error["loc"]:
        if isinstance(index, int) and base(type_) is tuple:
            name, got = f"{name}[{index}]", got[index]
            type_ = typing.get_args(typing.get_args(type_)[0])[0]
    return ArgumentError(name, _expected(type_), got, nearest(got, choices(type_)))

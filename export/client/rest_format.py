"""Bodies of TF Serving's REST predict API: parsing of requests, writing of responses.

Rows (`instances`, answered by `predictions`) list one example after the other; columns (`inputs`,
answered by `outputs`) hold each tensor whole.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.signature_specs import Arrays
from .status import Failure

# The keys of a request and of its answer.
Form = tuple[str, str]
# Bytes of JSON that a number takes, about: as many values as that fit into a message.
BYTES_PER_VALUE = 20
# The most axes that NumPy's iterators take.
MAX_AXES = 32
ROWS, COLUMNS = ("instances", "predictions"), ("inputs", "outputs")


def parse(body: bytes, max_values: int | None = None) -> tuple[str, Any, Form]:
    """Parses a body: name of the signature, JSON of the tensors, `ROWS` or `COLUMNS`.

    Args:
        body: The body of a request.
        max_values: The most values and lists in it; None for any number.

    Raises:
        Failure: With INVALID_ARGUMENT, it is no request, or has too many values.

    Example:

    >>> parse(b'{"signature_name": "step", "inputs": {"x": [1]}}')
    ('step', {'x': [1]}, ('inputs', 'outputs'))
    """
    # Before anything is made of them: an empty list of two bytes takes 64 in memory.
    if max_values is not None and sum(map(body.count, (b",", b"[", b"{"))) > max_values:
        raise _invalid(f"more than {max_values} values of JSON: send fewer, or over gRPC")
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"JSON Parse error: {error}") from None
    if not isinstance(message, dict):
        raise _invalid("JSON Value: Is not object")
    given = [form for form in (ROWS, COLUMNS) if form[0] in message]
    if len(given) != 1:
        raise _invalid("Expecting exactly one of the keys 'inputs' and 'instances'")
    name = message.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid("'signature_name' key must be a string value.")
    return name, message[given[0][0]], given[0]


def arrays(value: Any, form: Form, dtypes: Mapping[str, Any]) -> Arrays:
    """Parses the tensors of a body; names and shapes are as they were sent.

    Args:
        value: JSON of the tensors.
        form: `ROWS` or `COLUMNS`.
        dtypes: {name of each input of the signature: its type}.

    Raises:
        Failure: With INVALID_ARGUMENT, it holds none, or others.

    Example:

    >>> arrays([{"x": [1, 2], "n": 3}], ROWS, {"x": "float32", "n": "int32"})
    {'x': array([[1., 2.]], dtype=float32), 'n': array([3], dtype=int32)}
    """
    if form is ROWS:
        value = _columns(value)
    if not isinstance(value, dict):
        if len(dtypes) != 1:
            raise _invalid(
                f"'{form[0]}' is a plain list, but there are the inputs {', '.join(dtypes)}"
            )
        value = {next(iter(dtypes)): value}
    unknown = sorted(set(value) - set(dtypes))
    if unknown:
        raise _invalid(f"JSON object: does not have named input: {', '.join(unknown)}")
    return {name: _array(name, part, dtypes[name]) for name, part in value.items()}


def answer(outputs: Arrays, form: Form) -> bytes:
    """The body, as bytes, with the outputs of a signature by name.

    Raises:
        Failure: With INVALID_ARGUMENT, rows are asked of outputs that have none.

    Example:

    >>> answer({"y": np.array([[0.5], [2]]), "n": np.array([1, 2])}, ROWS)
    b'{"predictions": [{"y": [0.5], "n": 1}, {"y": [2.0], "n": 2}]}'
    """
    lists = {name: array.tolist() for name, array in outputs.items()}
    if len(lists) == 1:
        (value,) = lists.values()
    elif form is ROWS:
        if len({array.shape[:1] for array in outputs.values()}) != 1:
            raise _invalid("The outputs have no common rows: ask with 'inputs'")
        value = [dict(zip(lists, row)) for row in zip(*lists.values())]
    else:
        value = lists
    return json.dumps({form[1]: value}).encode("ascii")


def _columns(rows: Any) -> Any:
    """Rows of objects as one object, or rows of values as they are."""
    if not isinstance(rows, list) or not rows:
        raise _invalid("Expecting 'instances' to be a list with at least one value")
    objects = [isinstance(row, dict) for row in rows]
    if not any(objects):
        return rows
    if not all(objects) or any(row.keys() != rows[0].keys() for row in rows):
        raise _invalid("The objects of 'instances' must have the same keys")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _array(name: str, value: Any, dtype: Any) -> np.ndarray:
    """Nested lists as an array; a number of another kind is refused, as TF Serving does."""
    dtype = np.dtype(dtype)
    try:
        objects = np.array(value, dtype=object)
    except ValueError:
        raise _invalid(f"{name}: lists of unequal lengths") from None
    if objects.ndim > MAX_AXES:
        raise _invalid(f"{name}: lists nested deeper than {MAX_AXES}")
    kinds = set(map(type, objects.flat))
    if list in kinds or isinstance(value, dict):
        raise _invalid(f"{name}: lists of unequal lengths")
    wrong = kinds - ({int} if dtype.kind in "iu" else {int, float})
    if wrong:
        names = ", ".join(sorted(kind.__name__ for kind in wrong))
        raise _invalid(f"{name}: a value of JSON of type {names} is not of expected type: {dtype}")
    try:
        with np.errstate(over="raise"):
            return objects.astype("float64" if dtype.kind == "f" else dtype).astype(dtype)
    except (OverflowError, FloatingPointError):
        raise _invalid(f"{name}: a number is too large for {dtype}") from None


def _invalid(reason: str) -> Failure:
    return Failure("INVALID_ARGUMENT", reason)

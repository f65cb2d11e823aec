"""Reads pickles of lists, tuples, dicts, strings and numbers, and runs no code of theirs.

`pickle.Unpickler` cannot be restricted to that: an allowed NumPy dtype takes a state that points
anywhere in memory, ten bytes make a memo of gigabytes, and a deep tuple as a key overflows the
stack of C. This one has the opcodes of such values alone, no classes, and a budget of memory.
"""

import functools
import pickle
import pickletools
import re
import struct
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO

import numpy as np

from ..utils.limits import MAX_PICKLE_BYTES

# Longest string or line: keys, names of types and the bytes of a scalar are shorter.
MAX_STRING = 1000
# Containers around a value that are still open; values that go to a container at once.
MAX_DEPTH, MAX_VALUES = 100, 1_000_000
# Bytes of memory: an object without what it refers to, a reference to one on the stack, in a
# container or in the memo, and an item of a dict.
OBJECT, NUMBER, REFERENCE, ITEM = 80, 48, 10, 110
# Integers that Python has once.
SMALL = range(257)


def load(path: Path) -> Any:
    """Reads the value of a pickle.

    Strings of Python 2 are bytes, NumPy scalars are numbers of Python.

    Raises:
        ValueError: The pickle needs more than the values above, or takes more memory than
            `MAX_PICKLE_BYTES`. A corrupt one raises other exceptions too.
    """
    with open(path, "rb") as file:
        return _Machine(file).run()


class _Machine:
    """The machine of a pickle: a stack of values, where open containers begin on it, the memo."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.strings: dict[bytes | str, bytes | str] = {}
        self.spent = 0

    def run(self) -> Any:
        """Carries out the opcodes and returns the value."""
        while (opcode := self.file.read(1)) != pickle.STOP:
            if opcode not in OPCODES:
                raise ValueError(_unsupported(opcode))
            cost, step = OPCODES[opcode]
            self.spend(cost)
            step(self)
        return self.stack.pop()

    def spend(self, cost: int) -> None:
        """Counts `cost` bytes of memory."""
        self.spent += cost
        if self.spent > MAX_PICKLE_BYTES:
            limit = f"{MAX_PICKLE_BYTES // 10**6} MB"
            raise ValueError(
                f"it takes more than {limit} of memory, the limit: save piano-rolls in a .npz file"
            )

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= MAX_STRING:
            raise ValueError(f"it has a string of {size} bytes, the limit is {MAX_STRING}")
        content = self.file.read(size)
        if len(content) != size:
            raise ValueError("it ends too early")
        return content

    def unpack(self, layout: str) -> Any:
        """The next number, in a layout of `struct`."""
        (value,) = struct.unpack(layout, self.read(struct.calcsize(layout)))
        return value

    def byte(self) -> int:
        """The next byte."""
        return self.read(1)[0]

    def string(self, size: int) -> bytes:
        """The next string of `size` bytes."""
        return self.once(self.read(size))

    def text(self, size: int) -> str:
        """The next string of `size` bytes, as text."""
        return self.once(self.read(size).decode("utf-8"))

    def once(self, string: Any) -> Any:
        """The one object for a string: scalars repeat theirs."""
        if string not in self.strings:
            self.spend(ITEM + OBJECT + 4 * len(string))  # a character takes up to four bytes
            self.strings[string] = string
        return self.strings[string]

    def line(self) -> bytes:
        """The next line, without its end."""
        line = self.file.readline(MAX_STRING)
        if not line.endswith(b"\n"):
            raise ValueError(f"it ends within a line, or has one of more than {MAX_STRING} bytes")
        return line[:-1]

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self.stack.append(value)

    def mark(self) -> None:
        """Begins a container."""
        if len(self.marks) == MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels, the limit")
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        """Takes what the last container to begin holds from the stack."""
        mark = self.marks.pop()
        if len(self.stack) - mark > MAX_VALUES:
            raise ValueError(f"it has a tuple of more than {MAX_VALUES:,} values, the limit")
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def last(self, count: int) -> tuple[Any, ...]:
        """Takes the last `count` values from the stack."""
        return tuple(self.stack.pop() for _ in range(count))[::-1]

    def put(self, index: int) -> None:
        """Puts the last value into the memo."""
        new = index + 1 - len(self.memo)
        if new > 0:
            self.spend(REFERENCE * new)
            if new > MAX_VALUES:
                raise ValueError(f"its memo skips more than {MAX_VALUES:,} places, the limit")
            self.memo.extend([None] * new)
        self.memo[index] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Adds values to the list that is the last on the stack."""
        if type(self.stack[-1]) is not list:
            raise ValueError("it adds values to what is no list")
        self.stack[-1].extend(values)

    def dict_of(self, items: list[Any]) -> dict[str, Any]:
        """The dict of keys and values, by turns."""
        self.spend(ITEM * len(items))
        return dict(zip(map(_text, items[::2]), items[1::2], strict=True))

    def update(self, items: list[Any]) -> None:
        """Adds keys and values, by turns, to the dict that is the last on the stack."""
        if type(self.stack[-1]) is not dict:
            raise ValueError("it sets keys of what is no dict")
        self.stack[-1].update(self.dict_of(items))

    def call(self, arguments: Any, function: Any) -> None:
        """Calls one of `GLOBALS`: no other functions are ever on the stack."""
        if type(function) is not FunctionType or type(arguments) is not tuple:
            raise ValueError("it calls what is no function")
        value = function(*arguments)
        if isinstance(value, bytes):
            value = self.once(value)
        elif isinstance(value, float) or (isinstance(value, int) and value not in SMALL):
            self.spend(NUMBER)
        self.push(value)

    def set_state(self, state: Any) -> None:
        """Checks the state of the dtype that is the last on the stack, which has it already."""
        version, order, *others = state
        if (
            not isinstance(self.stack[-1], np.dtype)
            or _text(order) not in ("<", "|", "=")
            or [version, *others] != [3, None, None, None, -1, -1, 0]
        ):
            raise ValueError("it sets the state of what is no plain NumPy dtype")


def _text(value: Any) -> str:
    """A string of Python 3 or 2."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError("it has another value in place of a string")
    return value


def _unquoted(line: bytes) -> bytes:
    """The value of a string literal of Python 2."""
    return line[1:-1].decode("unicode_escape").encode("latin1")


def _int(digits: bytes) -> int:
    if digits in (b"00", b"01"):
        return digits == b"01"
    if len(digits) > 20:
        raise ValueError("it has an integer of more than 64 bits")
    return int(digits)


def _long(content: bytes) -> int:
    if len(content) > 8:
        raise ValueError("it has an integer of more than 64 bits")
    return int.from_bytes(content, "little", signed=True)


def _global(module: str, name: str) -> Callable[..., Any]:
    if (module, name) not in GLOBALS:
        raise ValueError(f"it imports {f'{module}.{name}'!r}, which is not allowed")
    return GLOBALS[module, name]


def _unsupported(opcode: bytes) -> str:
    if not opcode:
        return "it ends too early"
    known = {op.code: op for op in pickletools.opcodes}.get(opcode.decode("latin1"))
    if known is None:
        return f"it has the unknown opcode {opcode!r}"
    return f"it needs {known.name}, but only lists, tuples, dicts, strings and numbers are read"


@functools.cache
def _number_dtype(name: str) -> np.dtype:
    if not re.fullmatch("[<|=]?[biuf][1248]", name):
        raise ValueError("it has a NumPy scalar that is no number")
    return np.dtype(name).newbyteorder("<")


def _dtype(name: Any, align: Any = False, copy: Any = False) -> np.dtype:
    return _number_dtype(_text(name))


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
        raise ValueError("it has a broken NumPy scalar")
    (value,) = np.frombuffer(content, dtype)
    return value.item()


def _encode(text: Any, encoding: Any) -> bytes:
    """The bytes that Python 3 writes so in the older protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("it has broken bytes")
    return text.encode("latin1")


# What a pickle may import. The module of `scalar` differs between versions of NumPy.
GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,
}
# Each opcode with the memory that it takes and what it does; `pickletools` describes them.
OPCODES: dict[bytes, tuple[int, Callable[[_Machine], Any]]] = {
    pickle.PROTO: (0, lambda m: m.read(1)),
    pickle.FRAME: (0, lambda m: m.read(8)),
    pickle.NONE: (REFERENCE, lambda m: m.push(None)),
    pickle.NEWTRUE: (REFERENCE, lambda m: m.push(True)),
    pickle.NEWFALSE: (REFERENCE, lambda m: m.push(False)),
    pickle.INT: (NUMBER + REFERENCE, lambda m: m.push(_int(m.line()))),
    pickle.LONG: (NUMBER + REFERENCE, lambda m: m.push(_int(m.line().rstrip(b"L")))),
    pickle.BININT: (NUMBER + REFERENCE, lambda m: m.push(m.unpack("<i"))),
    pickle.BININT1: (REFERENCE, lambda m: m.push(m.byte())),
    pickle.BININT2: (NUMBER + REFERENCE, lambda m: m.push(m.unpack("<H"))),
    pickle.LONG1: (NUMBER + REFERENCE, lambda m: m.push(_long(m.read(m.byte())))),
    pickle.FLOAT: (NUMBER + REFERENCE, lambda m: m.push(float(m.line()))),
    pickle.BINFLOAT: (NUMBER + REFERENCE, lambda m: m.push(m.unpack(">d"))),
    pickle.STRING: (REFERENCE, lambda m: m.push(m.once(_unquoted(m.line())))),
    pickle.BINSTRING: (REFERENCE, lambda m: m.push(m.string(m.unpack("<i")))),
    pickle.SHORT_BINSTRING: (REFERENCE, lambda m: m.push(m.string(m.byte()))),
    pickle.BINBYTES: (REFERENCE, lambda m: m.push(m.string(m.unpack("<I")))),
    pickle.SHORT_BINBYTES: (REFERENCE, lambda m: m.push(m.string(m.byte()))),
    pickle.UNICODE: (REFERENCE, lambda m: m.push(m.once(m.line().decode("raw-unicode-escape")))),
    pickle.BINUNICODE: (REFERENCE, lambda m: m.push(m.text(m.unpack("<I")))),
    pickle.SHORT_BINUNICODE: (REFERENCE, lambda m: m.push(m.text(m.byte()))),
    pickle.MARK: (0, _Machine.mark),
    pickle.EMPTY_LIST: (OBJECT + REFERENCE, lambda m: m.push([])),
    pickle.LIST: (OBJECT, lambda m: m.push(m.since_mark())),
    pickle.APPEND: (0, lambda m: m.extend([m.stack.pop()])),
    pickle.APPENDS: (0, lambda m: m.extend(m.since_mark())),
    pickle.EMPTY_TUPLE: (REFERENCE, lambda m: m.push(())),
    pickle.TUPLE: (OBJECT, lambda m: m.push(tuple(m.since_mark()))),
    pickle.TUPLE1: (OBJECT, lambda m: m.push(m.last(1))),
    pickle.TUPLE2: (OBJECT, lambda m: m.push(m.last(2))),
    pickle.TUPLE3: (OBJECT, lambda m: m.push(m.last(3))),
    pickle.EMPTY_DICT: (OBJECT + REFERENCE, lambda m: m.push({})),
    pickle.DICT: (OBJECT, lambda m: m.push(m.dict_of(m.since_mark()))),
    pickle.SETITEM: (0, lambda m: m.update(list(m.last(2)))),
    pickle.SETITEMS: (0, lambda m: m.update(m.since_mark())),
    pickle.PUT: (0, lambda m: m.put(int(m.line()))),
    pickle.BINPUT: (0, lambda m: m.put(m.byte())),
    pickle.LONG_BINPUT: (0, lambda m: m.put(m.unpack("<I"))),
    pickle.MEMOIZE: (0, lambda m: m.put(len(m.memo))),
    pickle.GET: (REFERENCE, lambda m: m.push(m.memo[int(m.line())])),
    pickle.BINGET: (REFERENCE, lambda m: m.push(m.memo[m.byte()])),
    pickle.LONG_BINGET: (REFERENCE, lambda m: m.push(m.memo[m.unpack("<I")])),
    pickle.GLOBAL: (REFERENCE, lambda m: m.push(_global(m.line().decode(), m.line().decode()))),
    pickle.STACK_GLOBAL: (REFERENCE, lambda m: m.push(_global(*map(_text, m.last(2))))),
    pickle.REDUCE: (0, lambda m: m.call(m.stack.pop(), m.stack.pop())),
    pickle.BUILD: (0, lambda m: m.set_state(m.stack.pop())),
}

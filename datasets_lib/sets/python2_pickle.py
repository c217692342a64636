"""Reads what Python 2 pickled of dictionaries, lists, numbers, strings and arrays; runs nothing.

A pickle is a program for a stack machine. This machine has those instructions of protocol 2 alone
that such data need. A name in the file is never imported: a call is put down as the name and its
arguments, for the caller to make sense of.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


class DamagedPickle(Exception):
    """The bytes are no whole pickle of plain data; the message says what was found."""


@dataclass(frozen=True)
class Name:
    """A name that the file refers to, such as ``numpy.dtype``."""

    path: str


@dataclass(eq=False)
class Call:
    """What a file wants made by a call.

    Attributes:
        name: Of what is called.
        arguments: What with.
        state: What the result is to be given then; None if nothing.
    """

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


def read_pickle(data: bytes) -> Any:
    """The object of a pickle; its strings are bytes, its calls are `Call`.

    Raises:
        DamagedPickle: It is cut off, damaged, or anything but plain data of protocol 2.
    """
    try:
        return _Machine(data).run()
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        found = f"a reference to nothing ({type(error).__name__}: {error})"
        raise DamagedPickle(found) from error


class _Machine:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.take(1)) != pickle.STOP:
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise DamagedPickle(f"the instruction {code!r}, which plain data do not need")
            instruction(self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise DamagedPickle("its end missing")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        return self.take(end + 1 - self.at)[:-1].decode("ascii")

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise DamagedPickle("an instruction for more than there is")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            found = type(self.stack[-1]).__name__
            raise DamagedPickle(f"a {found} where a {kind.__name__} belongs")
        return self.stack[-1]

    def set_protocol(self) -> None:
        if (protocol := self.number(1)) != 2:
            raise DamagedPickle(f"protocol {protocol}, not 2")

    def remember(self, size: int) -> None:
        self.memo[self.number(size)] = self.stack[-1]

    def recall(self, size: int) -> None:
        self.stack.append(self.memo[self.number(size)])

    def append_items(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=False):
            if type(key) is not bytes:
                raise DamagedPickle(f"a {type(key).__name__} as a key")
            target[key] = value

    def pack(self, count: int) -> None:
        self.stack.append(tuple(self.last(count)))

    def call(self) -> None:
        arguments = self.top(tuple)
        del self.stack[-1]
        self.stack[-1] = Call(self.top(Name).path, arguments)

    def build(self) -> None:
        state = self.stack.pop()
        self.top(Call).state = state


_INSTRUCTIONS: Mapping[bytes, Callable[[_Machine], None]] = MappingProxyType(
    {
        pickle.PROTO: _Machine.set_protocol,
        pickle.MARK: lambda m: m.marks.append(len(m.stack)),
        pickle.NONE: lambda m: m.stack.append(None),
        pickle.NEWTRUE: lambda m: m.stack.append(True),
        pickle.NEWFALSE: lambda m: m.stack.append(False),
        pickle.BININT: lambda m: m.stack.append(m.number(4, signed=True)),
        pickle.BININT1: lambda m: m.stack.append(m.number(1)),
        pickle.BININT2: lambda m: m.stack.append(m.number(2)),
        pickle.BINSTRING: lambda m: m.stack.append(m.take(m.number(4, signed=True))),
        pickle.SHORT_BINSTRING: lambda m: m.stack.append(m.take(m.number(1))),
        pickle.EMPTY_DICT: lambda m: m.stack.append({}),
        pickle.SETITEM: lambda m: m.set_items(m.last(2)),
        pickle.SETITEMS: lambda m: m.set_items(m.since_mark()),
        pickle.EMPTY_LIST: lambda m: m.stack.append([]),
        pickle.APPEND: lambda m: m.append_items(m.last(1)),
        pickle.APPENDS: lambda m: m.append_items(m.since_mark()),
        pickle.TUPLE: lambda m: m.stack.append(tuple(m.since_mark())),
        pickle.TUPLE1: lambda m: m.pack(1),
        pickle.TUPLE2: lambda m: m.pack(2),
        pickle.TUPLE3: lambda m: m.pack(3),
        pickle.BINPUT: lambda m: m.remember(1),
        pickle.LONG_BINPUT: lambda m: m.remember(4),
        pickle.BINGET: lambda m: m.recall(1),
        pickle.LONG_BINGET: lambda m: m.recall(4),
        pickle.GLOBAL: lambda m: m.stack.append(Name(f"{m.line()}.{m.line()}")),
        pickle.REDUCE: _Machine.call,
        pickle.BUILD: _Machine.build,
    }
)
